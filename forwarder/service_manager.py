"""Tells the service manager how the process is: ready, reloading, stopping, alive (sd_notify(3)).

Own code, because the protocol is one datagram to a Unix socket, and the package for it on PyPI is of 2017. Without
`NOTIFY_SOCKET`, as in a container or a terminal, nothing is sent.
"""

import asyncio
import faulthandler
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """What systemd asks of a unit with `Type=notify` and `WatchdogSec=`.

    Attributes:
        watchdog_interval: seconds between two signs of life; None if no watchdog waits for them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # "@": an abstract socket
        self.watchdog_interval = _watchdog_interval(environment) if address else None

    def ready(self, status: str) -> None:
        """Say that Okta can post, after the start or a reload; `systemctl status` shows `status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the stop has begun."""
        self._send("STOPPING=1\nSTATUS=finishes requests, and delivers what it can")

    async def keep_alive(self) -> None:
        """Give signs of life until cancelled. They come from the event loop: if that hangs, the manager ends the process
        with SIGABRT, whose traceback on stderr shows where, and starts it again."""
        if self.watchdog_interval is None:
            return
        with suppress(OSError, ValueError, RuntimeError):  # no stderr
            faulthandler.enable()
        while True:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_interval)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not stop the forwarder, nor hold up the event loop.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), self._address)


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Half of the time after which the manager ends the process, as sd_watchdog_enabled(3) recommends."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for another process
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdecimal() and int(microseconds) else None
