"""`forwarder demo`: the whole circle in one process, with an emulated org for Okta; nothing to install."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from forwarder.core.ports import Clock
    from forwarder.emulator.org import Emulator
    from forwarder.store.gaps import Gaps

MARK = "# Made by `forwarder demo`; this folder is emptied by the next demo.\n"
OKTA, DOOR, OPS = 8085, 8080, 9464
"""The usual ports."""

ORG = "demo"
SECRET, TOKEN = "the-secret-of-the-demo", "the-token-of-the-demo"

_NAMED = 5
"""Missed events that are named at the end; `forwarder gaps` names all."""

RATE = 5.0
SETTLE = 120.0
"""Seconds that a demo of so many events waits for the last one to land, beyond what the events themselves take."""


@click.command()
@click.option("--events", type=click.IntRange(1, 1_000_000), help="Let this many events happen at once.")
@click.option(
    "--exit", "leave", is_flag=True, help="Leave when the ledger accounts for all of them: 0 if it does."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=RATE,
    show_default=True,
    help="Events a second, where --events is not given.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Where the demo keeps its files; emptied at the start.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same events.")
def demo(events: int | None, folder: Path, seed: int, *, leave: bool, rate: float) -> None:
    """Show the whole circle at work: an Okta org, its hook, the receiver, the store, a file sink, in one process.

    The hook is made and verified over the org's API. Nothing is installed, started or sent anywhere else. Of the
    events that hooks carry, one in twenty is delivered twice and one in fifty is never delivered; one in ten is of a
    type that no hook carries. The System Log brings what the hook did not, and `forwarder gaps` names it.
    """
    if leave and events is None:
        raise click.UsageError("--exit needs --events: without a number there is no end")
    from forwarder import logs

    logs.setup("error")
    try:
        config = _prepare(folder)
    except OSError as error:
        hint = "name a folder that can be written, with --dir"
        raise click.UsageError(f"--dir {folder}: cannot be made ready: {error.strerror}; {hint}") from None
    raise SystemExit(asyncio.run(_demo(config, events, rate=rate, seed=seed, leave=leave)))


def _prepare(folder: Path) -> Path:
    """An empty folder with a configuration of its own.

    Raises:
        SettingsError: the folder holds something that no demo made.
        StoreLockedError: a demo runs there.
    """
    from forwarder.core.errors import SettingsError
    from forwarder.store.sqlite.lock import FileLock

    config = folder / "forwarder.yaml"
    if folder.exists() and any(folder.iterdir()):
        if not config.exists() or not config.read_text(encoding="utf-8").startswith(MARK):
            raise SettingsError([f"--dir {folder}: holds files that no demo made; name another folder"])
        FileLock(folder / "store.db").release()
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(config, *(_port(usual) for usual in (OKTA, DOOR, OPS)))
    return config


def _port(usual: int) -> int:
    """A port of this machine that nobody listens on: the usual one, if it is free."""
    for wanted in (usual, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    return usual


def _write(config: Path, okta: int, door: int, ops: int) -> None:
    folder = config.parent.absolute()  # so that `forwarder stats -c` works from anywhere
    org = {
        "url": f"http://127.0.0.1:{okta}",
        "secrets": [SECRET],
        "api": {"token": TOKEN},
        "hook": {"uri": f"http://127.0.0.1:{door}/okta/events", "watch": "5s"},
    }
    tree = {
        "orgs": {ORG: org},
        "receiver": {"listen": f"127.0.0.1:{door}"},
        "store": {"path": str(folder / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(folder / "events.ndjson"), "format": "ecs"}},
        "reconcile": {
            "poll": "2s",
            "grace": "3s",
            "rate_share": 1,
        },  # quick, so that there is something to see
        "ops": {"listen": f"127.0.0.1:{ops}"},
    }
    config.write_text(MARK + json.dumps(tree, indent=2) + "\n", encoding="utf-8")  # JSON is YAML


@contextlib.asynccontextmanager
async def _okta(url: str, rate: float, seed: int, clock: "Clock") -> AsyncIterator["Emulator"]:
    """The org, serving its API at `url`."""
    from forwarder.config_types import Listen
    from forwarder.emulator.http.app import create_app
    from forwarder.emulator.org import Emulator
    from forwarder.emulator.settings import EmulatorSettings
    from forwarder.http.connections import ConnectionLimiter
    from forwarder.http.server import Server
    from forwarder.http.settings import ListenerLimits

    org = {
        "token": TOKEN,
        "url": url,
        "seed": seed,
        "rate": rate,
        "log_only_share": 0.1,
        "faults": {"duplicate": 0.05, "drop": 0.02},
    }
    async with Emulator(EmulatorSettings.model_validate(org), clock) as emulator:
        address = Listen(url.removeprefix("http://"))
        server = Server(
            create_app(emulator), address, ConnectionLimiter(ListenerLimits(), clock, lambda _: None)
        )
        await server.start()
        try:
            yield emulator
        finally:
            await server.stop(1.0)


async def _register(config: Path) -> None:
    """Make the hook over the org's API, and let it be verified: what `forwarder hooks sync` does.

    Raises:
        OktaError: that does not work.
    """
    from forwarder.cli.hook_selection import connect, load_desired_hook
    from forwarder.okta.hooks.desired import plan

    selection, desired = load_desired_hook(config, ORG)
    async with connect(selection) as admin:
        await admin.apply(plan(desired, None), desired, None)


async def _demo(config: Path, events: int | None, *, rate: float, seed: int, leave: bool) -> int:
    from forwarder.app import Forwarder
    from forwarder.clock import SystemClock
    from forwarder.settings import load

    clock, stop = SystemClock(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = load(config)
    url = settings.orgs[ORG].url or ""
    async with _okta(url, 0 if events else rate, seed, clock) as emulator:
        forwarder = Forwarder(settings, clock)
        await forwarder.start()
        view = _View(forwarder, emulator, config)
        viewing = asyncio.create_task(view.show())
        try:
            await _register(config)
            if events:
                await emulator.emit(events)
            if leave and events:
                await _settled(forwarder, emulator, stop, SETTLE + events / 100)
            else:
                await stop.wait()
            viewing.cancel()
            await asyncio.gather(viewing, return_exceptions=True)
            return await view.verdict() if leave else 0
        finally:
            viewing.cancel()
            await forwarder.stop()


async def _settled(forwarder: Any, emulator: Any, stop: asyncio.Event, patience: float) -> None:
    """Return when every event is stored and delivered, and every dropped one is known to be missed, or patience ends."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await emulator.drain()
            while not stop.is_set():
                status, org = await forwarder.status.gather(), emulator.counts()
                waiting = sum(sink["waiting"] for sink in status["sinks"].values())
                missed = status["okta"][ORG]["log"]["missed"]
                if not waiting and status["stored"] >= org.events + org.own and missed >= org.dropped:
                    return
                await emulator.clock.sleep(0.05)


class _View:
    """A live line for each stage of the pipe."""

    def __init__(self, forwarder: Any, emulator: Any, config: Path) -> None:
        from rich.console import Console

        self._forwarder, self._emulator = forwarder, emulator
        self._config, self._folder = config, config.parent
        self._console = Console()

    async def show(self) -> None:
        """Show the stages until cancelled; where no one watches, only where things lie."""
        from rich.live import Live

        self._console.print(self._where())
        if not self._console.is_terminal:
            await asyncio.Event().wait()
        with Live(await self._table(), console=self._console, auto_refresh=False) as live:
            while True:
                live.update(await self._table(), refresh=True)
                await self._emulator.clock.sleep(0.25)

    def _where(self) -> str:
        return (
            f"[bold]okta-forwarder demo[/] — Ctrl-C ends it\n"
            f"  events land in   {self._folder / 'events.ndjson'}\n"
            f"  look inside      http://{self._forwarder.ops.address}/\n"
            f"  the ledger       forwarder stats -c {self._config}\n"
            f"  what is missed   forwarder gaps -c {self._config}\n"
        )

    async def _table(self) -> Any:
        from rich.table import Table

        status, org = await self._forwarder.status.gather(), self._emulator.counts()
        table = Table(box=None, show_header=False, padding=(0, 1))
        for width in (11, 24, 20):
            table.add_column(no_wrap=True, min_width=width)
        table.add_row("[bold]Okta org[/]", f"{org.events:,} events happened", f"{org.waiting:,} on their way")
        okta = status["okta"][ORG]
        hook, log = okta["hook"], okta["log"]
        table.add_row("[bold]hook[/]", f"{hook['condition']}", f"{org.dropped:,} never delivered")
        codes = self._counted("hook_requests", "code")
        refused = sum(count for code, count in codes.items() if code != "200")
        table.add_row(
            "[bold]receive[/]", f"{codes.get('200', 0):,} requests answered 200", f"{refused:,} refused"
        )
        polled = self._counted("events_received", "via").get("log", 0)
        table.add_row(
            "[bold]System Log[/]",
            f"{polled:,} events it alone brought",
            f"{log['missed']:,} missed by the hook",
        )
        table.add_row(
            "[bold]store[/]",
            f"{status['stored']:,} events stored and synced",
            f"{status['duplicates']:,} copies dropped",
        )
        for name, sink in status["sinks"].items():
            told = f"{sink['waiting']:,} waiting, {sink['dead']:,} dead letters"
            table.add_row(f"[bold]{name}[/]", f"{sink['delivered']:,} events delivered", told)
        table.add_row("[dim]latest[/]", *_latest(self._folder / "events.ndjson"))
        return table

    def _counted(self, counter: str, label: str) -> dict[str, int]:
        """What a counter of the forwarder has counted, by one of its labels."""
        counts: Counter[str] = Counter()
        for sample in getattr(self._forwarder.metrics, counter).collect()[0].samples:
            if sample.name.endswith("_total"):
                counts[sample.labels[label]] += int(sample.value)
        return counts

    async def verdict(self) -> int:
        """Print whether every event that happened is accounted for; the exit code."""
        from forwarder.clock import SystemClock
        from forwarder.store.engine import open_commands

        status, ledger = await self._forwarder.status.gather(), self._emulator.ledger()
        happened = {*ledger.events, *ledger.own}
        landed = list(_landed(self._folder / "events.ndjson"))
        gaps = open_commands(self._forwarder.settings.store, SystemClock()).gaps()
        dropped = {uuid for hook in ledger.hooks.values() for uuid in hook.dropped}
        faults = []
        if status["stored"] != len(happened):
            faults.append(f"{len(happened)} events happened and {status['stored']} are stored")
        if not status["balanced"]:
            faults.append("the ledger does not balance")
        for name, sink in status["sinks"].items():
            if sink["delivered"] + sink["dead"] != status["stored"]:
                faults.append(f"{name}: {sink['delivered']} of {status['stored']} events are delivered")
        if status["sinks"]["archive"]["dead"] == 0 and (
            set(landed) != happened or len(landed) != len(happened)
        ):
            faults.append(f"{len(happened)} events happened and {len(landed)} lines are in the file")
        if {gap.uuid for gap in gaps.events} != dropped:
            faults.append(f"the hook never brought {len(dropped)} events and {gaps.count} are called missed")
        self._console.print(await self._table())
        self._name(gaps)
        for fault in faults:
            self._console.print(f"[red]{fault}[/]")
        if not faults:
            own = f", and {len(ledger.own):,} that Okta wrote of the hook itself" if ledger.own else ""
            self._console.print(f"[green]All {len(ledger.events):,} events are accounted for{own}.[/]")
        return 1 if faults else 0

    def _name(self, gaps: "Gaps") -> None:
        """The first of the missed events, by name."""
        for gap in gaps.events[:_NAMED]:
            self._console.print(f"  [yellow]missed[/] {gap.uuid} {gap.event_type}", soft_wrap=True)
        if gaps.count > _NAMED:
            self._console.print(f"  … and {gaps.count - _NAMED:,} more, the System Log brought them all")


def _landed(path: Path) -> Iterator[str]:
    """The uuid of every document in the file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["event"]["id"]


def _latest(path: Path) -> tuple[str, str]:
    """The last document of the file in a few words."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65_536))
            document = json.loads(file.read().splitlines()[-1])
    except (OSError, IndexError, ValueError):
        return "", ""
    event = document["event"]
    return f"{event['action']}", f"{document.get('user', {}).get('name', '')} {event.get('outcome', '')}"
