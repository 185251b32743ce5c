"""What the contract suite asks of the other side of a sink, whatever protocol it speaks."""

from collections.abc import Collection
from enum import Enum
from typing import Protocol

RETRY_AFTER = 7.0
"""Seconds that a throttling peer asks for, where its protocol can say so."""


class Fault(Enum):
    """How the other side fails, from `fail_with` until `heal`."""

    THROTTLED = "every request is refused as too many (429), with RETRY_AFTER where the protocol can say so"
    THROTTLED_SOME = "the events named are refused as too many (429 of one item), the others are taken"
    SERVER_ERROR = "every request fails on the server's side (503)"
    REFUSED = "nobody listens, or the disk cannot be reached"
    SILENT = "a request is taken and never answered"
    REDIRECT = "every request is sent elsewhere (302)"
    UNAUTHORIZED = "every request is refused for its credentials (401)"
    FORBIDDEN = "every request is refused for its rights (403)"
    NOT_FOUND = "the place that the requests go to does not exist (404)"
    REJECTED = "the events named will never be taken (400), the others are"
    TOO_LARGE = "a request with more than one event is too large (413)"


class Peer(Protocol):
    """The other side of one sink, in the hands of a test."""

    @property
    def cannot(self) -> Collection[Fault]:
        """The faults that this peer has no way to stage. The tests that need them are skipped for it."""
        ...

    async def received(self) -> list[str]:
        """The uuids of the events that it holds, in the order of arrival; one that it holds twice is there twice."""
        ...

    async def fail_with(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        """Fail like this from now on; `uuids` are the events that the fault concerns, where it concerns some."""
        ...

    async def heal(self) -> None:
        """Work again; what was received before is still there."""
        ...
