"""Reports to the service manager that the process is ready, reloading, stopping or alive (sd_notify(3)).

Without the variable `NOTIFY_SOCKET`, for example in a container or a terminal, nothing is sent. This is our own code,
because the protocol is one datagram to a Unix socket, and the package for it on PyPI is from 2017.
"""

import asyncio
import faulthandler
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """Sends the notifications that systemd expects from a unit with `Type=notify` and `WatchdogSec=`.

    Attributes:
        watchdog_interval: the number of seconds between two watchdog notifications; None if systemd expects none.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # "@": an abstract socket
        self.watchdog_interval = _watchdog_interval(environment) if address else None

    def ready(self, status: str) -> None:
        """Report that the start or a reload has ended. `systemctl status` shows the text `status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Report that a reload begins. Call `ready` when it has ended."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the forwarder is stopping."""
        self._send("STOPPING=1\nSTATUS=finishing requests and delivering waiting events")

    async def keep_alive(self) -> None:
        """Send watchdog notifications until cancelled. Return at once if the service manager expects none.

        If the event loop hangs, it sends no notifications. The service manager then ends the process with SIGABRT and
        starts a new one. The traceback on stderr shows where the process hung.
        """
        if self.watchdog_interval is None:
            return
        with suppress(OSError, ValueError, RuntimeError):  # stderr is closed
            faulthandler.enable()
        while True:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_interval)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A service manager that does not listen must neither stop the forwarder nor hold up the event loop.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), self._address)


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Return half of the watchdog's timeout, in seconds, as sd_watchdog_enabled(3) advises; None without a watchdog."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # the watchdog expects another process
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdecimal() and int(microseconds) else None
