"""What the ops listener needs of the forwarder; `app.py` connects it."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

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


class DeadLetterFilter(msgspec.Struct, frozen=True):
    """Selects the dead letters that match every given field; all of them if none is given. `last`: none that came later."""

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    last: int | None = None


class StoreData(Protocol):
    """What else an operator sees of the store, ready for JSON. Each method raises ForwarderError if it cannot be used."""

    async def dead_letters(self, wanted: DeadLetterFilter, limit: int) -> dict[str, Any]:
        """Return how many events they are, by sink and reason, and the newest of them."""

    async def dead_letter(self, number: int) -> tuple[dict[str, Any], bytes | None] | None:
        """Return one with the body of its event, if it has one; None if there is none with this id."""

    async def replay(self, wanted: DeadLetterFilter) -> int:
        """Send them again; return how many."""

    async def discard(self, wanted: DeadLetterFilter) -> int:
        """Remove them for good; return how many events they were."""

    async def gaps(self, limit: int) -> dict[str, Any]:
        """Return the events that the hook missed, and the newest of them."""
