"""What the ops listener needs of the forwarder; `app.py` connects it."""

from collections.abc import Callable
from typing import Any, Protocol

from forwarder.core.event import StoredEvent


class Status(Protocol):
    """The state of the whole forwarder."""

    async def gather(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        ...

    async def refresh_gauges(self) -> None:
        """Set the gauges of the metrics."""
        ...


class Events(Protocol):
    """The events that the store holds."""

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if there is none."""

    async def wait(self, after: int) -> None:
        """Return when there is an event with `seq > after`, or earlier."""

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return events with `seq > after` in `seq` order, with at most `max_bytes` of bodies together, but one at least.

        Raises:
            ForwarderError: the store cannot be read.
        """


NotReadyReason = Callable[[], str | None]
"""Returns why a POST could not be stored; None if it could."""
