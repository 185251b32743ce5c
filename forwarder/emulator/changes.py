"""Who changes the org by its API, and the calls that did."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from forwarder.emulator.events.fixtures import SYSTEM, entity

API_TOKEN_ID = "00Tthetokenoftheorg00"  # noqa: S105  # an id, not the token


class Actor:
    """Who an event says did it. A base of structs."""

    __slots__ = ()

    def actor(self) -> dict[str, Any]:
        """Build the actor of the event."""
        raise NotImplementedError

    def transaction(self) -> dict[str, Any]:
        """Return the details of the event's transaction."""
        return {}

    def origin(self) -> dict[str, Any]:
        """Return the parts of the event that say where it came from; what is absent is made up."""
        return {}


class Caller(Actor, msgspec.Struct, frozen=True):
    """Who calls Okta's API: a service app, or the admin who made the API token.

    Attributes:
        id: the app's client id, or the admin's user id.
        by_token: whether it shows the API token.
        ip: from where it calls; empty if that is not known.
        agent: its `User-Agent`.
    """

    id: str
    by_token: bool
    ip: str = ""
    agent: str = ""

    def actor(self) -> dict[str, Any]:
        """Build the actor of an event about what it did."""
        if self.by_token:
            return entity(self.id, "User", "Ada Admin", alternate_id="admin@example.com")
        return entity(self.id, "PublicClientApp", self.id, alternate_id=self.id)

    def transaction(self) -> dict[str, Any]:
        """Build the details of the transaction of such an event: they name the API token."""
        return {"requestApiTokenId": API_TOKEN_ID} if self.by_token else {}

    def origin(self) -> dict[str, Any]:
        """Build the parts that say from where it calls, as far as that is known."""
        if not self.ip:
            return {}
        version = "V6" if ":" in self.ip else "V4"
        hop = {"ip": self.ip, "geographicalContext": None, "version": version, "source": None}
        return {
            "client": {
                "userAgent": {"rawUserAgent": self.agent, "os": "Unknown", "browser": "UNKNOWN"},
                "zone": "null",
                "device": "Unknown",
                "id": None if self.by_token else self.id,
                "ipAddress": self.ip,
                "geographicalContext": None,
            },
            "request": {"ipChain": [hop]},
            "securityContext": dict.fromkeys(("asNumber", "asOrg", "isp", "domain", "isProxy")),
        }


class System(Actor, msgspec.Struct, frozen=True):
    """Okta itself."""

    def actor(self) -> dict[str, Any]:
        """Build the actor of an event about what Okta does by itself."""
        return dict(SYSTEM)


Report = Callable[..., None]
"""Writes an event to the log, and sends it to the hooks: event type, its `Actor`, `target=`, and other fields of it."""


class Call(msgspec.Struct, frozen=True):
    """A call that was meant to change something.

    Attributes:
        caller: `Caller.id`.
        body: as text; empty if there was none.
        status: what was answered; 0 if the answer was lost.
        effect: whether it changed anything, though the answer may be lost; False for a repetition.
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
