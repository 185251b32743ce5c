"""`forwarder demo`: an emulated org, the receiver, the store and a file sink in one process; nothing to install."""

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from forwarder.app import Forwarder
    from forwarder.core.ports import Clock

MARK = "# Made by `forwarder demo`; this folder is emptied by the next demo.\n"
DOOR, OPS = 8080, 9464
"""The usual ports."""

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
    """Show the whole pipe at work: an Okta org, the receiver, the store, a file sink, in one process.

    Nothing is installed, started or sent anywhere else. One event in twenty is delivered twice, as Okta does when
    an answer comes late, so that the store has duplicates to drop.
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
    from forwarder.store.lock import FileLock

    config = folder / "forwarder.yaml"
    if folder.exists() and any(folder.iterdir()):
        if not config.exists() or not config.read_text(encoding="utf-8").startswith(MARK):
            raise SettingsError([f"--dir {folder}: holds files that no demo made; name another folder"])
        FileLock(folder / "store.db").release()
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(config, DOOR, OPS)
    return config


def _write(config: Path, door: int, ops: int) -> None:
    folder = config.parent.absolute()  # so that `forwarder stats -c` works from anywhere
    tree = {
        "orgs": {"demo": {"secrets": ["the-secret-of-the-demo"]}},
        "receiver": {"listen": f"127.0.0.1:{door}"},
        "store": {"path": str(folder / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(folder / "events.ndjson"), "format": "ecs"}},
        "ops": {"listen": f"127.0.0.1:{ops}"},
    }
    config.write_text(MARK + json.dumps(tree, indent=2) + "\n", encoding="utf-8")  # JSON is YAML


async def _started(config: Path, clock: "Clock") -> "Forwarder":
    """A forwarder that runs; where the usual ports are taken, on ports that the system chooses."""
    from forwarder.app import Forwarder
    from forwarder.core.errors import SettingsError
    from forwarder.settings import load

    forwarder = Forwarder(load(config), clock)
    try:
        await forwarder.start()
    except SettingsError:
        _write(config, 0, 0)
        forwarder = Forwarder(load(config), clock)
        await forwarder.start()
    return forwarder


async def _demo(config: Path, events: int | None, *, rate: float, seed: int, leave: bool) -> int:
    from forwarder.clock import SystemClock
    from forwarder.emulator.org import Emulator
    from forwarder.emulator.settings import EmulatorSettings

    clock, stop = SystemClock(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    forwarder = await _started(config, clock)
    org = EmulatorSettings.model_validate(
        {
            "token": "the-token-of-the-demo",
            "url": "https://demo.okta.example",
            "seed": seed,
            "rate": 0 if events else rate,
            "faults": {"duplicate": 0.05},
        }
    )
    try:
        async with Emulator(org, clock) as emulator:
            hook = emulator.add_hook(f"http://{forwarder.door.address}/okta/events", "the-secret-of-the-demo")
            await emulator.verify(hook.id)
            view = _View(forwarder, emulator, config.parent)
            viewing = asyncio.create_task(view.show())
            try:
                if events:
                    await emulator.happen(events)
                if leave and events:
                    await _settled(forwarder, emulator, stop, SETTLE + events / 100)
                else:
                    await stop.wait()
            finally:
                viewing.cancel()
                await asyncio.gather(viewing, return_exceptions=True)
            return await view.verdict() if leave else 0
    finally:
        await forwarder.stop()


async def _settled(forwarder: Any, emulator: Any, stop: asyncio.Event, patience: float) -> None:
    """Return when every event that happened is delivered by the hook and by every sink, or patience ends."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await emulator.drain()
            while not stop.is_set():
                status = await forwarder.status.gather()
                if all(sink["waiting"] == 0 for sink in status["sinks"].values()):
                    return
                await emulator.clock.sleep(0.05)


class _View:
    """A live line for each stage of the pipe."""

    def __init__(self, forwarder: Any, emulator: Any, folder: Path) -> None:
        from rich.console import Console

        self._forwarder, self._emulator, self._folder = forwarder, emulator, folder
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
            f"  the ledger       forwarder stats -c {self._folder / 'forwarder.yaml'}\n"
        )

    async def _table(self) -> Any:
        from rich.table import Table

        status, org = await self._forwarder.status.gather(), self._emulator.progress()
        table = Table(box=None, show_header=False, padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_row(
            "[bold]Okta org[/]", f"{org.happened:,} events happened", f"{org.waiting:,} on their way"
        )
        codes = self._codes()
        refused = sum(count for code, count in codes.items() if code != "200")
        table.add_row(
            "[bold]receive[/]", f"{codes.get('200', 0):,} requests answered 200", f"{refused:,} refused"
        )
        table.add_row(
            "[bold]store[/]",
            f"{status['stored']:,} events stored and synced",
            f"{status['duplicates']:,} copies dropped, {status['store_bytes'] / 1e6:.1f} MB",
        )
        for name, sink in status["sinks"].items():
            told = f"{sink['waiting']:,} waiting, {sink['dead']:,} dead letters"
            table.add_row(f"[bold]{name}[/]", f"{sink['delivered']:,} events delivered", told)
        table.add_row("[dim]latest[/]", *_latest(self._folder / "events.ndjson"))
        return table

    def _codes(self) -> dict[str, int]:
        return {
            sample.labels["code"]: int(sample.value)
            for sample in self._forwarder.metrics.hook_requests.collect()[0].samples
            if sample.name.endswith("_total") and sample.value
        }

    async def verdict(self) -> int:
        """Print whether every event that happened is accounted for; the exit code."""
        status, ledger = await self._forwarder.status.gather(), self._emulator.ledger()
        happened = set(ledger.events)
        landed = list(_landed(self._folder / "events.ndjson"))
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
        self._console.print(await self._table())
        for fault in faults:
            self._console.print(f"[red]{fault}[/]")
        if not faults:
            self._console.print(f"[green]All {len(happened):,} events are accounted for.[/]")
        return 1 if faults else 0


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
