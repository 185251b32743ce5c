"""The callers that change the org through its API, and the record of their calls."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from forwarder.emulator.events.fixtures import SYSTEM, entity

API_TOKEN_ID = "00Tthetokenoftheorg00"  # noqa: S105  # an id, not the token


class Actor:
    """The actor of an event: a base class of structs."""

    __slots__ = ()

    def actor(self) -> dict[str, Any]:
        """Build the event's `actor`."""
        raise NotImplementedError

    def transaction(self) -> dict[str, Any]:
        """Return the details of the event's transaction."""
        return {}

    def origin(self) -> dict[str, Any]:
        """Return the fields of the event that say from where the actor acted; the generator makes up missing
        fields."""
        return {}


class Caller(Actor, msgspec.Struct, frozen=True):
    """The caller of Okta's API: a service app, or the admin who made the API token.

    Attributes:
        id: the app's client id, or the admin's user id.
        by_token: whether the caller uses the API token.
        ip: the caller's address; empty if it is not known.
        agent: the caller's `User-Agent`.
    """

    id: str
    by_token: bool
    ip: str = ""
    agent: str = ""

    def actor(self) -> dict[str, Any]:
        """Build the `actor` of an event about a change by this caller."""
        if self.by_token:
            return entity(self.id, "User", "Ada Admin", alternate_id="admin@example.com")
        return entity(self.id, "PublicClientApp", self.id, alternate_id=self.id)

    def transaction(self) -> dict[str, Any]:
        """Build `transaction.detail` of the event: the id of the API token, if the caller uses it."""
        return {"requestApiTokenId": API_TOKEN_ID} if self.by_token else {}

    def origin(self) -> dict[str, Any]:
        """Build the event's fields about the caller's address and user agent, as far as they are known."""
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
        """Build the `actor` of an event about a change by Okta itself."""
        return dict(SYSTEM)


Report = Callable[..., None]
"""Writes an event to the log, and sends it to the hooks: event type, its `Actor`, `target=`, and other fields of it."""


class Call(msgspec.Struct, frozen=True):
    """A call of a method that can change the org.

    Attributes:
        caller: `Caller.id`.
        body: the request body as text; empty if there was none.
        status: status of the answer; 0 if the answer was lost.
        effect: whether the call changed anything, even if the answer was lost; False for a repetition.
    """

    at: str
    caller: str
    method: str
    path: str
    body: str
    status: int
    effect: bool


class Calls:
    """The record of calls that can change the org, in order."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Add a call."""
        self._calls.append(call)

    def all(self) -> Sequence[Call]:
        """Return all recorded calls, the oldest first."""
        return tuple(self._calls)
