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

SECRETS_LOOK = 2.0
"""Seconds between two looks at the files that secrets come from."""

SWITCH_INTERVAL = 0.0002
"""Seconds after which a thread that computes lets another one go on. A commit takes the store's thread some twenty such
turns, each as long as this while a sink maps a backlog: with Python's own 5 ms, an answer took seconds then."""

LARGE = 1024 * 1024
"""Bytes from which on a block of memory goes back to the system as soon as it is free."""

_MALLOPT = {"M_TRIM_THRESHOLD": -1, "M_MMAP_THRESHOLD": -3}  # the numbers of glibc's malloc.h

_logger = logs.get("app")


def _fingerprint(settings: Settings) -> list[str]:
    """What the files of secrets hold now; a file that cannot be read counts as unchanged."""
    found = []
    for secret in settings.secrets():
        if secret.file is not None:
            with suppress(ValueError):
                secret = secret.reread()  # noqa: PLW2901  # the old value stands where the file is gone
            found.append(secret.reveal())
    return found


async def _reload_on_change(
    forwarder: Forwarder, reread: Callable[[], Settings], hangup: asyncio.Event
) -> None:
    """Reload on SIGHUP, and when a file that holds a secret has changed."""
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(hangup.wait(), SECRETS_LOOK)
        known = [secret.reveal() for secret in forwarder.settings.secrets() if secret.file is not None]
        if not hangup.is_set() and await asyncio.to_thread(_fingerprint, forwarder.settings) == known:
            continue
        hangup.clear()
        try:
            await forwarder.reload(await asyncio.to_thread(reread))
        except ForwarderError as error:
            _logger.exception(
                "the old configuration stays in force", action="reload_failed", error=str(error)
            )


async def _run(settings: Settings, reread: Callable[[], Settings], clock: Clock) -> None:
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    forwarder = Forwarder(settings, clock)
    await forwarder.start()
    # What lives from here to the end need not be looked at by every collection: shorter pauses of the loop.
    gc.collect()
    gc.freeze()
    reloading = asyncio.create_task(_reload_on_change(forwarder, reread, hangup), name="reload")
    try:
        await stop.wait()
    finally:
        _logger.info("stopping", action="stopping")
        reloading.cancel()
        await asyncio.gather(reloading, return_exceptions=True)
        await forwarder.stop()
        _logger.info("stopped", action="stopped")


def _give_memory_back() -> None:
    """Keep nothing of a large body once it is done with.

    Left alone, glibc learns from the first body of 10 MiB to take such blocks from its heap, where one small block
    that lives on above them holds them for good: the process stayed at twice its size.
    """
    with suppress(AttributeError, OSError):  # another C library, which has its own ways
        library = ctypes.CDLL(None)
        for option in _MALLOPT.values():
            library.mallopt(option, LARGE)


def run_until_signal(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Run a forwarder until SIGTERM or SIGINT; a second one ends it at once.

    Args:
        settings: what to run.
        reread: reads the configuration anew, for SIGHUP and for changed files of secrets.

    Raises:
        ForwarderError: it cannot start.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    _give_memory_back()
    uvloop.run(_run(settings, reread, SystemClock()))
