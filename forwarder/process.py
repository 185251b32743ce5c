"""One forwarder as a process: its signals, its reloads, its memory."""

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import uvloop

from forwarder import logs
from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError
from forwarder.core.ports import Clock
from forwarder.settings import Settings

SECRETS_INTERVAL = 2.0
"""Seconds between two checks of the files that secrets come from."""

SWITCH_INTERVAL = 0.0002
"""Seconds until a computing thread releases the GIL. A commit needs about 20 switches, each of which takes
this long while a sink maps a backlog: with Python's default of 5 ms, responses took seconds then."""

LARGE = 1024 * 1024
"""Blocks of memory from this size in bytes go back to the system as soon as they are free."""

_MALLOPT = {"M_TRIM_THRESHOLD": -1, "M_MMAP_THRESHOLD": -3}  # the numbers of glibc's malloc.h

_logger = logs.get("app")


def _secret_changed(settings: Settings) -> bool:
    """Whether a file holds another secret now; one that cannot be read counts as unchanged."""
    for secret in settings.secrets():
        with suppress(ValueError):
            if secret.file is not None and secret.reread() != secret:
                return True
    return False


async def _reload_on_change(
    forwarder: Forwarder, reread: Callable[[], Settings], hangup: asyncio.Event
) -> None:
    """Reload on SIGHUP, and when a file that holds a secret has changed."""
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(hangup.wait(), SECRETS_INTERVAL)
        if not hangup.is_set() and not await asyncio.to_thread(_secret_changed, forwarder.settings):
            continue
        hangup.clear()
        try:
            await forwarder.reload(await asyncio.to_thread(reread))
        except ForwarderError as error:
            _logger.exception(
                "the reload failed; the old configuration stays in force",
                action="reload_failed",
                error=str(error),
            )


async def _run(settings: Settings, reread: Callable[[], Settings], clock: Clock) -> None:
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    forwarder = Forwarder(settings, clock)
    await forwarder.start()
    # Every garbage collection skips what lives until the end, so the event loop pauses less.
    gc.collect()
    gc.freeze()
    reloading = asyncio.create_task(_reload_on_change(forwarder, reread, hangup), name="reload")
    try:
        await stop.wait()
    finally:
        _logger.info("the forwarder is stopping", action="stopping")
        reloading.cancel()
        await asyncio.gather(reloading, return_exceptions=True)
        await forwarder.stop()
        _logger.info("the forwarder has stopped", action="stopped")


def _tune_malloc() -> None:
    """Let glibc return the memory of a large body as soon as it is free.

    By default, glibc learns from the first body of 10 MiB to take such blocks from its heap, where one small
    block above them keeps them from the system: the process stayed at twice its size.
    """
    with suppress(AttributeError, OSError):  # another C library
        library = ctypes.CDLL(None)
        for option in _MALLOPT.values():
            library.mallopt(option, LARGE)


def run_until_signal(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Run a forwarder until SIGTERM or SIGINT; a second signal ends it at once.

    `reread` is called after SIGHUP or a change of a secret's file.

    Raises:
        ForwarderError: the forwarder cannot start.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    _tune_malloc()
    uvloop.run(_run(settings, reread, SystemClock()))
