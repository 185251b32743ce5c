"""Shows a demo while it runs. On a terminal it draws a picture; elsewhere it prints a line every few
seconds."""

import asyncio
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live

from forwarder.app import Forwarder
from forwarder.core.errors import StoreError
from forwarder.core.wording import count
from forwarder.demo.disk import Disk
from forwarder.demo.keyboard import listening
from forwarder.demo.picture import Picture
from forwarder.demo.snapshot import SINK, Snapshot, Watcher
from forwarder.emulator.org import Emulator

_PICTURES = 0.25
_LINES = 5.0
"""The seconds between two pictures, and the seconds between two lines."""

_LAST_LOOKS = 12
"""The largest number of further snapshots at the end of a demo, while events still wait for the sink."""


def program() -> str:
    """Return the shell command that starts this program again, such as `forwarder`."""
    called = Path(sys.argv[0])
    if called.name != "forwarder":
        return f"{shlex.quote(sys.executable)} -m forwarder"
    found = shutil.which("forwarder")
    return "forwarder" if found and Path(found).samefile(called) else shlex.quote(str(called))


class View:
    """The output of a demo.

    Attributes:
        console: the console that prints the output.
    """

    def __init__(self, forwarder: Forwarder, emulator: Emulator, config: Path, stop: asyncio.Event) -> None:
        """Args: `config` is the path of the configuration file; the key q sets `stop`."""
        self.console = Console(highlight=False)
        self._clock = emulator.clock
        self._watcher = Watcher(forwarder, emulator)
        self._config = config
        self._page = f"http://{forwarder.ops.address}/"
        self._disk = Disk(config.parent / SINK)
        self._stop = stop

    async def show(self) -> None:
        """Show the demo until cancelled."""
        if not self.console.is_terminal:
            await self._print_lines()
        keys = {"u": self._disk.unplug, "p": self._disk.plug, "q": self._stop.set}
        with listening(keys), Live(console=self.console, screen=True, auto_refresh=False) as live:
            while True:
                # A user may break the store on purpose; the next snapshot may succeed.
                with suppress(StoreError):
                    seen = await self._watcher.look()
                    live.update(Picture(seen, self._page, plugged=self._disk.plugged), refresh=True)
                await self._clock.sleep(_PICTURES)

    async def close(self, showing: asyncio.Task[None]) -> None:
        """Cancel `showing`, the task of `show`, and put the folder of the sink back if it is unplugged."""
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        self._disk.plug()

    async def say_goodbye(self) -> None:
        """Print the last numbers, and commands that show the events of the demo."""
        seen = await self._watcher.look()
        for _ in range(_LAST_LOOKS):
            if not seen.waiting:
                break
            await self._clock.sleep(_PICTURES)
            seen = await self._watcher.look()
        self.console.print(_line(seen), soft_wrap=True)
        for command in ("stats", "gaps", "find --type user.session.start"):
            self.console.print(f"  {program()} {command} -c {shlex.quote(str(self._config))}", soft_wrap=True)

    async def _print_lines(self) -> None:
        print_line = self.console.print
        print_line("okta-forwarder demo (Ctrl-C stops it)")
        print_line(f"  status page     {self._page}")
        print_line(f"  events on disk  {self._config.parent / SINK / 'events.ndjson'}", soft_wrap=True)
        while True:
            print_line(_line(await self._watcher.look()), soft_wrap=True)
            await self._clock.sleep(_LINES)


def _line(seen: Snapshot) -> str:
    return (
        f"{count(seen.happened, 'event')} happened: {seen.stored:,} stored ({seen.by_hook:,} by the hook, {seen.by_log:,} from the "
        f"System Log, of which the hook missed {seen.missed:,}), {seen.on_the_way:,} on the way; "
        f"of the stored ones {seen.delivered:,} delivered, {seen.waiting:,} waiting, {seen.dead:,} dead letters"
    )
