"""Runs one forwarder as a process: handles its signals, its reloads and its memory settings."""

import asyncio
import ctypes
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop

from forwarder import config_check, logs
from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError, SettingsError
from forwarder.core.ports import Clock
from forwarder.http.server import raise_open_files_limit
from forwarder.safe_files import read_small
from forwarder.service_manager import ServiceManager
from forwarder.settings import Settings
from forwarder.system_limits import free_files
from forwarder.tasks import end_tasks
from forwarder.threads import Loop

FILES_INTERVAL = 2.0
"""The number of seconds between two checks whether the files that the settings name have changed."""

SWITCH_INTERVAL = 0.0002
"""The number of seconds after which a computing thread releases the GIL. A commit needs about 20 switches between
threads. While a sink converts a backlog, each switch takes this time. With Python's default of 5 ms, responses to Okta
took seconds."""

LARGE = 1024 * 1024
"""A block of memory of at least this size, in bytes, goes back to the system as soon as it is free."""

_FEWEST_FILES = 64
"""At the start, the limit of open files is raised to this number, if the system allows it. The listeners raise it
further."""

_FEWEST_FREE_FILES = 20
"""The number of further files that the process must be able to open. With fewer, the forwarder cannot start, whatever
its configuration."""

_COLLECT_AFTER = 10_000  # new objects in memory, until garbage is collected; Python's default is 700
_MALLOPT = {"M_TRIM_THRESHOLD": -1, "M_MMAP_THRESHOLD": -3}  # the numbers of glibc's malloc.h

_logger = logs.get("app")


def _contents(settings: Settings) -> dict[Path, bytes | str]:
    """Return the content of each file that the settings name (secrets, certificates, keys), by path.

    A missing file is left out: another process may be replacing it. If a file cannot be read for another reason, the
    text of the error stands for its content. So the content seems to change, and the reload that follows reports the
    error.
    """
    contents: dict[Path, bytes | str] = {}
    for path in settings.files():
        try:
            contents[path] = read_small(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            contents[path] = str(error)
    return contents


class _Reloads:
    """Reloads the configuration on SIGHUP, and when the content of a file that the settings name changes.

    If the configuration cannot be used, the reload is repeated until it succeeds; each new error is logged.
    """

    def __init__(
        self, forwarder: Forwarder, reread: Callable[[], Settings], hangup: asyncio.Event, manager: ServiceManager
    ) -> None:
        """Read the files that the settings name. Create the object before the forwarder starts, so that a change of a
        file during the start causes a reload."""
        self._seen = _contents(forwarder.settings)
        self._forwarder = forwarder
        self._reread = reread
        self._hangup = hangup
        self._manager = manager
        self._failure: str | None = None

    async def run(self) -> None:
        """Wait for changes and reload, until this task is cancelled. Errors are only logged, so that later changes are
        still read."""
        while True:
            # Not `asyncio.wait_for`: before Python 3.12, it drops a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(FILES_INTERVAL):
                    await self._hangup.wait()
            try:
                await self._reload_if_due()
            except ForwarderError as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001  # neither a bug nor a lack of threads may end the reloads
                self._failed(f"{type(error).__name__}: {error}", exc_info=error)

    async def _reload_if_due(self) -> None:
        running = self._forwarder.settings
        found = self._seen | await asyncio.to_thread(_contents, running)
        if self._hangup.is_set():
            self._hangup.clear()
            self._failure = None  # so that an error is logged even if it is the same as before
            self._manager.reloading()
        elif found == self._seen and self._failure is None:
            return
        settings = await asyncio.to_thread(self._read)
        await self._forwarder.reload(settings)
        for warning in await asyncio.to_thread(_new_warnings, settings, running):
            logs.get("config").warning(warning, action="config_warning")
        # A change during the reload is noticed at the next check. A file that only the new settings name does not cause
        # another reload.
        self._seen = await asyncio.to_thread(_contents, settings) | found
        self._failure = None
        self._forwarder.status.reload_failed_reason = None
        self._manager.ready(_state(self._forwarder))

    def _read(self) -> Settings:
        """Read the configuration again, and return its settings.

        Raises:
            SettingsError: the configuration is not valid, or has a problem that the configuration in force does not
                have.
        """
        settings = self._reread()
        if problems := config_check.new_problems(settings, self._forwarder.settings):
            raise SettingsError(problems)
        return settings

    def _failed(self, error: str, **more: object) -> None:
        self._forwarder.metrics.config_reload_successful.set(0)
        if error != self._failure:
            _logger.error(
                "the reload failed; the old configuration stays in force",
                action="reload_failed",
                error=error,
                hint="run `forwarder check`, and correct the configuration",
                **more,
            )
        self._failure = error
        self._forwarder.status.reload_failed_reason = error
        self._manager.ready(
            "the reload failed, and the old configuration stays in force; run `forwarder check`, and correct the "
            "configuration"
        )


def _new_warnings(settings: Settings, running: Settings) -> list[str]:
    """Return the warnings about `settings` that `running`, the settings before the reload, did not cause already."""
    known = config_check.warnings(running)
    return [warning for warning in config_check.warnings(settings) if warning not in known]


def _state(forwarder: Forwarder) -> str:
    """Return the line that `systemctl status` shows, unless the last reload failed."""
    return f"receives on {forwarder.server.address}; status page on {forwarder.ops.address}"


@contextmanager
def _logged_stop() -> Iterator[None]:
    _logger.info("the forwarder is stopping", action="stopping")
    yield
    _logger.info("the forwarder has stopped", action="stopped")


async def _run(settings: Settings, reread: Callable[[], Settings], signals: "_Signals", clock: Clock) -> None:
    signals.listen(asyncio.get_running_loop())
    forwarder, manager = Forwarder(settings, clock), ServiceManager(os.environ)
    reloads = _Reloads(forwarder, reread, signals.hangup, manager)
    starting = asyncio.create_task(forwarder.start(), name="start")
    stopping = asyncio.create_task(signals.stop.wait(), name="stop")
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        with _logged_stop():
            await end_tasks([starting])  # `start` then stops the parts that it has started
        return
    stopping.cancel()
    await starting
    # The objects that exist now live until the end. Garbage collections skip them, so that a collection stops the event
    # loop for less time. Nearly all objects of a POST are freed without a collection, so rare collections save
    # 6 % of its CPU.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    manager.ready(_state(forwarder))
    alive = asyncio.create_task(manager.keep_alive(), name="watchdog")  # until the event loop ends
    reloading = asyncio.create_task(reloads.run(), name="reload")
    try:
        await signals.stop.wait()
    finally:
        with _logged_stop():
            manager.stopping()
            await end_tasks([reloading])
            await forwarder.stop()
            alive.cancel()


class _Signals:
    """Handles the signals of the process. Create the object before anything else starts: by default, each of these
    signals ends a process.

    SIGTERM, SIGINT and SIGQUIT stop the forwarder; a second SIGTERM, SIGINT or SIGQUIT ends the process at once. SIGHUP
    reloads the configuration. SIGUSR1 and SIGUSR2 are only logged: scripts send them, because other daemons then reopen
    their log.
    """

    def __init__(self) -> None:
        self.stop, self.hangup = asyncio.Event(), asyncio.Event()
        signal.signal(signal.SIGHUP, lambda *_: self.hangup.set())

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the signals in `loop` from now on.

        A handler that is added to uvloop may be called twice for one signal, if the signal arrives right after another.
        So a SIGTERM after a SIGHUP would end the process as two SIGTERMs do.
        """
        handlers: dict[int, Callable[[int], None]] = {signal.SIGHUP: lambda _: self.hangup.set()}
        handlers |= dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), self._end)
        handlers |= dict.fromkeys((signal.SIGUSR1, signal.SIGUSR2), self._ignore)

        def handle(number: int, _: object) -> None:
            with suppress(RuntimeError):  # the loop is closed, because the process ends
                loop.call_soon_threadsafe(handlers[number], number)

        for number in handlers:
            signal.signal(number, handle)
            signal.siginterrupt(number, False)

    def _ignore(self, number: int) -> None:
        _logger.warning(
            "a signal arrived that the forwarder does not use; it was ignored",
            action="signal_ignored",
            signal=signal.Signals(number).name,
            hint="send SIGHUP to reload the configuration, SIGTERM to stop",
        )

    def _end(self, number: int) -> None:
        if self.stop.is_set():
            # No event is lost: acknowledged events are on disk. The rest of the stop saves work at the next start.
            _logger.warning(
                "a second signal arrived; the process ends at once", action="ended", signal=signal.Signals(number).name
            )
            os._exit(128 + number)
        self.stop.set()


def _tune_malloc() -> None:
    """Let glibc return the memory of a large body to the system as soon as the memory is free.

    By default, after the first body of 10 MiB, glibc takes the memory of large bodies from its heap. In the heap, a
    small block behind a free large block keeps the large block from going back to the system: the process stayed at
    twice its size.
    """
    with suppress(AttributeError, OSError):  # the C library is not glibc
        library = ctypes.CDLL(None)
        for option in _MALLOPT.values():
            library.mallopt(option, LARGE)


def run_until_signal(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Run a forwarder until SIGTERM, SIGINT or SIGQUIT; a second of these signals ends the process at once.

    `reread` is called after SIGHUP, and after a change of a file that the settings name.

    Raises:
        ForwarderError: the forwarder cannot start.
        OSError: this process may open too few files.
    """
    raise_open_files_limit(_FEWEST_FILES)
    if free_files() < _FEWEST_FREE_FILES:  # without files for its loop, libuv aborts the process
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    sys.setswitchinterval(SWITCH_INTERVAL)
    _tune_malloc()
    try:
        uvloop.run(_run(settings, reread, _Signals(), SystemClock()), loop_factory=Loop)
    finally:
        # While Python ends, it restores the default of each signal that it handles, but not of ignored signals.
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
