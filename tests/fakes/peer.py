"""What the contract suite needs from the other side of a sink, whatever its protocol."""

from collections.abc import Collection
from enum import Enum
from typing import Protocol

RETRY_AFTER = 7.0
"""Seconds that a throttling peer asks for, if its protocol can say so."""


class Fault(Enum):
    """How the other side fails, from `fail_with` until `recover`."""

    THROTTLED = "every request is throttled (429), with RETRY_AFTER if the protocol can say so"
    THROTTLED_SOME = "the given events are throttled (429 of one item), the others are accepted"
    SERVER_ERROR = "every request fails on the server's side (503)"
    REFUSED = "no process listens, or the disk is not available"
    SILENT = "a request is read and never answered"
    REDIRECT = "every request is redirected (302)"
    UNAUTHORIZED = "every request is refused for its credentials (401)"
    FORBIDDEN = "every request is refused for its rights (403)"
    NOT_FOUND = "the target of the requests does not exist (404)"
    REJECTED = "the given events are rejected (400), the others are accepted"
    SPOILED_SILENT = "a request with one of the given events is read and never answered"
    SPOILED_RESET = "the connection of a request with one of the given events is reset"
    SPOILED_ERROR = "a request with one of the given events fails on the server's side (503)"
    SPOILED_FORBIDDEN = "a request with one of the given events is refused (403)"
    TOO_LARGE = "a request with more than one event is too large (413)"


SPOILED = {
    Fault.SPOILED_SILENT: Fault.SILENT,
    Fault.SPOILED_RESET: Fault.REFUSED,
    Fault.SPOILED_ERROR: Fault.SERVER_ERROR,
    Fault.SPOILED_FORBIDDEN: Fault.FORBIDDEN,
}
"""How a request fails that one event spoils: as every request does in the fault that it is mapped to."""


class Peer(Protocol):
    """The other side of one sink, controlled by a test."""

    @property
    def cannot(self) -> Collection[Fault]:
        """The faults that this peer cannot simulate. The tests that need them are skipped for it."""
        ...

    async def received(self) -> list[str]:
        """The uuids of the events that it has, in the order of arrival; one that it has twice is there twice."""
        ...

    async def fail_with(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        """Fail like this from now on; `uuids` are the events that the fault concerns, if it concerns only some."""
        ...

    async def recover(self) -> None:
        """Work again; what was received before is kept."""
        ...
