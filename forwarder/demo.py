"""The demo: the whole pipe in one process, with an emulated Okta org; nothing leaves the machine."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.config_types import Listen
from forwarder.core.errors import SettingsError
from forwarder.emulator.http.app import serve
from forwarder.emulator.org import Emulator
from forwarder.emulator.settings import EmulatorSettings
from forwarder.okta.api.client import OktaClient
from forwarder.okta.hooks.admin import HookAdmin
from forwarder.okta.hooks.desired import DesiredHook, plan
from forwarder.okta.hooks.event_type_presets import resolve
from forwarder.settings import Settings, load
from forwarder.store.engine import open_commands
from forwarder.store.sqlite.lock import FileLock

_MARK = "# Made by `forwarder demo`; this folder is emptied by the next demo.\n"
_OKTA_PORT, _RECEIVER_PORT, _OPS_PORT = 8085, 8080, 9464
_ORG, _SINK = "demo", "archive"
_SECRET, _TOKEN = "the-secret-of-the-demo", "the-token-of-the-demo"

_LISTED = 5
"""Missed events that the demo lists at its end; `forwarder gaps` lists all."""

_SETTLE_TIMEOUT = 120.0
"""Seconds to wait for the last event at the end, beside 10 ms for each event."""


def prepare(folder: Path) -> Path:
    """Empty the demo's folder and write its configuration. Return the configuration's path.

    Raises:
        SettingsError: the folder contains files that no demo made.
        StoreLockedError: a demo is running there.
        OSError: the folder cannot be written.
    """
    config = folder / "forwarder.yaml"
    if folder.exists() and any(folder.iterdir()):
        if not config.exists() or not config.read_text(encoding="utf-8").startswith(_MARK):
            raise SettingsError([f"--dir {folder}: contains files that no demo made; choose another folder"])
        FileLock(folder / "store.db").release()
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    absolute = folder.absolute()  # so that `forwarder stats -c` works from any directory
    okta, receiver, ops = (f"127.0.0.1:{_free_port(p)}" for p in (_OKTA_PORT, _RECEIVER_PORT, _OPS_PORT))
    org = {
        "url": f"http://{okta}",
        "secrets": [_SECRET],
        "api": {"token": _TOKEN},
        "hook": {"uri": f"http://{receiver}/okta/events", "check_interval": "5s"},
    }
    tree = {
        "orgs": {_ORG: org},
        "receiver": {"listen": receiver},
        "store": {"path": str(absolute / "store.db")},
        "sinks": {_SINK: {"kind": "file", "path": str(absolute / "events.ndjson"), "format": "ecs"}},
        # Short, so that missed events show up soon.
        "reconcile": {"poll": "2s", "grace": "3s", "rate_share": 1},
        "ops": {"listen": ops},
    }
    config.write_text(_MARK + json.dumps(tree, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
    return config


async def run(config: Path, events: int | None, *, rate: float, seed: int, leave: bool) -> int:
    """Run a demo until Ctrl-C, and return its exit code.

    Args:
        config: from `prepare`.
        events: emit this many at once; None emits `rate` events per second.
        rate: where `events` is None.
        seed: of the emulated org.
        leave: end when all `events` are accounted for; the exit code tells whether they are.
    """
    clock, stop = SystemClock(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = load(config)
    url = settings.orgs[_ORG].url or ""
    org = {
        "token": _TOKEN,
        "url": url,
        "seed": seed,
        "rate": 0 if events else rate,
        "log_only_share": 0.1,
        "faults": {"duplicate": 0.05, "drop": 0.02},
    }
    emulated = serve(EmulatorSettings.model_validate(org), Listen(url.removeprefix("http://")), clock)
    async with emulated as (emulator, _):
        forwarder = Forwarder(settings, clock)
        await forwarder.start()
        view = _View(forwarder, emulator, config)
        showing = asyncio.create_task(view.show())
        try:
            await _create_hook(settings, clock)
            if events:
                await emulator.emit(events)
            if leave and events:
                await _settled(forwarder, emulator, stop, _SETTLE_TIMEOUT + events / 100)
            else:
                await stop.wait()
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            return await view.verdict() if leave else 0
        finally:
            showing.cancel()
            await forwarder.stop()


async def _create_hook(settings: Settings, clock: SystemClock) -> None:
    """Create and verify the hook over the org's API, as `forwarder hooks sync` does."""
    org = settings.orgs[_ORG]
    assert org.url and org.api and org.hook  # noqa: PT018  # all from `prepare`
    types = resolve(org.hook.events)
    desired = DesiredHook(org.hook.name, org.hook.uri, types, org.header, org.secrets[0])
    api = OktaClient(org.url, org.api, settings.reconcile.rate_share, clock)
    try:
        await HookAdmin(api).apply(plan(desired, None), desired, None)
    finally:
        await api.close()


async def _settled(forwarder: Forwarder, emulator: Emulator, stop: asyncio.Event, timeout: float) -> None:
    """Return when all events are stored and delivered and dropped ones are marked, or at the timeout."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await emulator.drain()
            while not stop.is_set():
                status, ledger = await forwarder.status.gather(), emulator.ledger()
                stored = status["stored"] >= len(ledger.events) + len(ledger.own)
                missed = status["okta"][_ORG]["log"]["missed"] >= len(ledger.dropped)
                if stored and missed and not any(sink["waiting"] for sink in status["sinks"].values()):
                    return
                await emulator.clock.sleep(0.05)


class _View:
    """Shows one line for each stage of the pipe, and the verdict at the end."""

    def __init__(self, forwarder: Forwarder, emulator: Emulator, config: Path) -> None:
        self._forwarder = forwarder
        self._emulator = emulator
        self._config = config
        self._file = config.parent / "events.ndjson"
        self._console = Console()

    async def show(self) -> None:
        """Show the stages until cancelled; without a terminal, only where to find things."""
        self._console.print(
            f"[bold]okta-forwarder demo[/] (Ctrl-C stops it)\n"
            f"  status page      http://{self._forwarder.ops.address}/\n"
            f"  events on disk   {self._file}\n"
            f"  event counts     forwarder stats -c {self._config}\n"
            f"  missed events    forwarder gaps -c {self._config}\n"
        )
        if not self._console.is_terminal:
            await asyncio.Event().wait()
        with Live(await self._table(), console=self._console, auto_refresh=False) as live:
            while True:
                live.update(await self._table(), refresh=True)
                await self._emulator.clock.sleep(0.25)

    async def verdict(self) -> int:
        """Print whether every event was found where it should be; return 0 if so, else 1."""
        status, ledger = await self._forwarder.status.gather(), self._emulator.ledger()
        emitted = [*ledger.events, *ledger.own]
        gaps = open_commands(self._forwarder.settings.store, self._emulator.clock).gaps()
        problems = _problems(status, emitted, self._file)
        if {gap.uuid for gap in gaps.events} != ledger.dropped:
            problems.append(
                f"Okta dropped {len(ledger.dropped):,} events, but {gaps.count:,} are marked as missed"
            )
        self._console.print(await self._table())
        if gaps.count:
            self._console.print(
                f"{gaps.count:,} events never arrived by the hook; they were read from the System Log:"
            )
        for gap in gaps.events[:_LISTED]:
            self._console.print(f"  [yellow]missed[/] {gap.uuid} {gap.event_type}", soft_wrap=True)
        if gaps.count > _LISTED:
            self._console.print(f"  … and {gaps.count - _LISTED:,} more: forwarder gaps -c {self._config}")
        for problem in problems:
            self._console.print(f"[red]{problem}[/]")
        if problems:
            return 1
        own = f", and {len(ledger.own):,} events of Okta about the hook itself" if ledger.own else ""
        self._console.print(f"[green]All {len(ledger.events):,} events are accounted for{own}.[/]")
        return 0

    async def _table(self) -> Table:
        status, ledger = await self._forwarder.status.gather(), self._emulator.ledger()
        okta = status["okta"][_ORG]
        codes = self._counted("hook_requests", "code")
        accepted = codes.pop("200", 0)
        from_log = self._counted("events_received", "via").get("log", 0)
        waiting = self._emulator.waiting
        missed = okta["log"]["missed"]
        rows = [
            ("Okta org", f"{len(ledger.events):,} events emitted", f"{waiting:,} waiting for delivery"),
            ("hook", okta["hook"]["condition"], f"{len(ledger.dropped):,} events dropped by Okta"),
            ("receiver", f"{accepted:,} requests accepted", f"{sum(codes.values()):,} refused"),
            ("System Log", f"{from_log:,} events found only there", f"{missed:,} missed by the hook"),
            ("store", f"{status['stored']:,} events on disk", f"{status['duplicates']:,} duplicates removed"),
        ]  # fmt: skip
        for name, sink in status["sinks"].items():
            more = f"{sink['waiting']:,} waiting, {sink['dead']:,} dead letters"
            rows.append((f"sink {name}", f"{sink['delivered']:,} events delivered", more))
        table = Table(box=None, show_header=False, padding=(0, 1))
        for width in (12, 24, 20):
            table.add_column(no_wrap=True, min_width=width)
        for name, *cells in rows:
            table.add_row(f"[bold]{name}[/]", *cells)
        table.add_row("[dim]latest event[/]", *_latest(self._file))
        return table

    def _counted(self, counter: str, label: str) -> dict[str, int]:
        """Return the values of one of the forwarder's counters, by one of its labels."""
        counts: Counter[str] = Counter()
        for sample in getattr(self._forwarder.metrics, counter).collect()[0].samples:
            if sample.name.endswith("_total"):
                counts[sample.labels[label]] += int(sample.value)
        return counts


def _problems(status: dict[str, Any], emitted: list[str], file: Path) -> list[str]:
    """Return where the forwarder's counts, or the lines of its file, differ from the `emitted` uuids."""
    problems = []
    stored = status["stored"]
    if stored != len(emitted):
        problems.append(f"{len(emitted):,} events were emitted, but {stored:,} are stored")
    if not status["balanced"]:
        problems.append("the ledger does not balance: what became of the events does not add up to `stored`")
    for name, sink in status["sinks"].items():
        if sink["delivered"] + sink["dead"] != stored:
            problems.append(f"sink {name}: {sink['delivered']:,} of {stored:,} events are delivered")
    with file.open(encoding="utf-8") as lines:
        written = [json.loads(line)["event"]["id"] for line in lines]
    if not status["sinks"][_SINK]["dead"] and sorted(written) != sorted(emitted):
        problems.append(f"{len(emitted):,} events were emitted, but the file has {len(written):,} lines")
    return problems


def _latest(file: Path) -> tuple[str, str]:
    """Return the type of the file's last event, and its user and outcome; empty if the file is."""
    try:
        with file.open("rb") as lines:
            lines.seek(max(0, file.stat().st_size - 65_536))
            document = json.loads(lines.read().splitlines()[-1])
    except (OSError, IndexError, ValueError):
        return "", ""
    event = document["event"]
    return event["action"], f"{document.get('user', {}).get('name', '')} {event.get('outcome', '')}"


def _free_port(usual: int) -> int:
    """Return a free port of this machine: the usual one if possible."""
    for wanted in (usual, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    return usual
