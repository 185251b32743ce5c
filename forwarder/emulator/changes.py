"""Who changes the org by its API, and the calls that did."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from forwarder.emulator.events.fixtures import SYSTEM, entity

API_TOKEN_ID = "00Tthetokenoftheorg00"  # noqa: S105  # an id, not the token


class Actor(Protocol):
    """Who an event says did it."""

    def actor(self) -> dict[str, Any]:
        """Build the actor of the event."""
        ...

    def transaction(self) -> dict[str, Any]:
        """Build the details of the event's transaction."""
        ...


class Caller(msgspec.Struct, frozen=True):
    """Who calls Okta's API: a service app, or the admin who made the API token.

    Attributes:
        id: the app's client id, or the admin's user id.
        by_token: whether it shows the API token.
    """

    id: str
    by_token: bool

    def actor(self) -> dict[str, Any]:
        """Build the actor of an event about what it did."""
        if self.by_token:
            return entity(self.id, "User", "Ada Admin", alternate_id="admin@example.com")
        return entity(self.id, "PublicClientApp", self.id, alternate_id=self.id)

    def transaction(self) -> dict[str, Any]:
        """Build the details of the transaction of such an event: they name the API token."""
        return {"requestApiTokenId": API_TOKEN_ID} if self.by_token else {}


class System(msgspec.Struct, frozen=True):
    """Okta itself."""

    def actor(self) -> dict[str, Any]:
        """Build the actor of an event about what Okta does by itself."""
        return dict(SYSTEM)

    def transaction(self) -> dict[str, Any]:
        """Return the details of its transaction: none."""
        return {}


Report = Callable[..., None]
"""Writes an event to the log, and sends it to the hooks: event type, its `Actor`, `target=`, and other fields of it."""


class Call(msgspec.Struct, frozen=True):
    """A call that was meant to change something.

    Attributes:
        caller: `Caller.id`.
        body: as text; empty if there was none.
        status: what was answered; 0 if the answer was lost.
        effect: whether it was carried out.
    """

    at: str
    caller: str
    method: str
    path: str
    body: str
    status: int
    effect: bool


class Calls:
    """The changing calls, in order."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Add a call."""
        self._calls.append(call)

    def all(self) -> Sequence[Call]:
        """Return them, the oldest first."""
        return tuple(self._calls)
