"""The real clock. The rooms get a clock as an argument, so that tests can pass another one."""

import asyncio
import time

from forwarder.core.time import Micros


class SystemClock:
    """The clock of this machine. It implements `core.ports.Clock`."""

    def now(self) -> Micros:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
