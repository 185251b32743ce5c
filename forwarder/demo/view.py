"""Shows a demo while it runs, and carries out what the user asks for by pressing a key.

On a terminal it draws a picture; elsewhere it prints a line every few seconds, and reads no keys.
"""

import asyncio
import os
import shlex
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live

from forwarder.app import Forwarder
from forwarder.core.errors import StoreError
from forwarder.core.wording import count
from forwarder.demo.picture import Picture
from forwarder.demo.snapshot import SINK, Snapshot, Watcher
from forwarder.emulator.emulator import Emulator
from forwarder.tasks import end_tasks

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
    """The output of a demo."""

    def __init__(self, forwarder: Forwarder, emulator: Emulator, config: Path, stop: asyncio.Event) -> None:
        """Args: `config` is the path of the configuration file; `stop` is set when the user presses the key q."""
        self.console = Console(highlight=False)
        self._clock = emulator.clock
        self._watcher = Watcher(forwarder, emulator)
        self._config = config
        self._page = f"http://{forwarder.ops.address}/"
        self._folder = _SinkFolder(config.parent / SINK)
        self._stop = stop

    async def show(self) -> None:
        """Show the demo until cancelled."""
        if not self.console.is_terminal:
            await self._print_lines()
        keys = {"u": self._folder.unplug, "p": self._folder.plug, "q": self._stop.set}
        with _key_presses(keys), Live(console=self.console, screen=True, auto_refresh=False) as live:
            while True:
                # A user may break the store on purpose; the next snapshot may succeed.
                with suppress(StoreError):
                    seen = await self._watcher.look()
                    live.update(Picture(seen, self._page, plugged=self._folder.plugged), refresh=True)
                await self._clock.sleep(_PICTURES)

    async def close(self, showing: asyncio.Task[None]) -> None:
        """Cancel `showing`, the task of `show`, and put the folder of the sink back if it is unplugged."""
        await end_tasks([showing])
        self._folder.plug()

    async def print_final_numbers(self) -> None:
        """Print the numbers at the end of the demo, after the events that still wait for the sink were delivered."""
        seen = await self._watcher.look()
        for _ in range(_LAST_LOOKS):
            if not seen.waiting:
                break
            await self._clock.sleep(_PICTURES)
            seen = await self._watcher.look()
        self.console.print(_line(seen), soft_wrap=True)

    def print_commands(self) -> None:
        """Print commands that show the events of the demo."""
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


class _SinkFolder:
    """The folder of the demo's sink, which the user can unplug like a disk.

    While the folder is unplugged, an empty file has the path of the folder, so that the sink cannot write to the
    folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.with_name(f"{folder.name}.unplugged")
        self.plugged = True

    def unplug(self) -> None:
        """Rename the folder, and put an empty file at its path."""
        if self.plugged and self._folder.is_dir():
            self._folder.rename(self._aside)
            self._folder.touch()
            self.plugged = False

    def plug(self) -> None:
        """Move the folder back to its path."""
        if not self.plugged:
            self._folder.unlink(missing_ok=True)
            self._aside.rename(self._folder)
            self.plugged = True


@contextmanager
def _key_presses(keys: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Inside the `with` block, call `keys[key]` each time the user presses that key.

    If stdin is not a terminal, no key is read. The settings of the terminal are restored at the end of the block. Ctrl-C
    still sends SIGINT.
    """
    if not sys.stdin.isatty():
        yield
        return
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        for key in os.read(terminal, 64).decode(errors="replace"):
            if key in keys:
                keys[key]()

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _line(seen: Snapshot) -> str:
    return (
        f"{count(seen.happened, 'event')} happened: {seen.stored:,} stored ({seen.by_hook:,} by the hook, {seen.by_log:,} from the "
        f"System Log, {seen.missed:,} of these missed by the hook), {seen.on_the_way:,} on the way; "
        f"of the stored events {seen.delivered:,} delivered, {seen.waiting:,} waiting, {seen.dead:,} dead letters"
    )
