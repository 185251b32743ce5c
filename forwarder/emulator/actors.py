"""The actors that change the org, and the record of the API calls that can change it."""

from collections.abc import Callable
from typing import Any

import msgspec

from forwarder.emulator.events.fixtures import SYSTEM, entity, hop

API_TOKEN_ID = "00Tthetokenoftheorg00"  # noqa: S105  # an id, not the token


class Actor:
    """Base class of the structs that can be the actor of an event."""

    __slots__ = ()

    def actor(self) -> dict[str, Any]:
        """Build the event's `actor`."""
        raise NotImplementedError

    def transaction(self) -> dict[str, Any]:
        """Build the event's `transaction.detail`."""
        return {}

    def origin(self) -> dict[str, Any]:
        """Build the event's fields about the actor's address and user agent; an empty dict if nothing is known.

        The generator of events invents every field that the result does not contain.
        """
        return {}


class Caller(Actor, msgspec.Struct, frozen=True):
    """The caller of Okta's API: a service app, or the admin who made the API token.

    Attributes:
        id: the app's client id, or the admin's user id.
        by_token: whether the caller uses the API token.
        ip: the caller's address; empty if unknown.
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
        """Build the event's `transaction.detail`: the id of the API token if the caller uses the token."""
        return {"requestApiTokenId": API_TOKEN_ID} if self.by_token else {}

    def origin(self) -> dict[str, Any]:
        """Build the event's fields about the caller's address and user agent; an empty dict if the address is
        unknown."""
        if not self.ip:
            return {}
        return {
            "client": {
                "userAgent": {"rawUserAgent": self.agent, "os": "Unknown", "browser": "UNKNOWN"},
                "zone": "null",
                "device": "Unknown",
                "id": None if self.by_token else self.id,
                "ipAddress": self.ip,
                "geographicalContext": None,
            },
            "request": {"ipChain": [hop(self.ip, None)]},
            "securityContext": dict.fromkeys(("asNumber", "asOrg", "isp", "domain", "isProxy")),
        }


class System(Actor, msgspec.Struct, frozen=True):
    """Okta itself."""

    def actor(self) -> dict[str, Any]:
        """Build the `actor` of an event about a change by Okta itself."""
        return dict(SYSTEM)


Report = Callable[..., None]
"""A function that writes an event to the System Log and sends it to the hooks.

The arguments are the event type, the `Actor`, and fields of the event as keywords, such as `target`.
"""


class Call(msgspec.Struct, frozen=True):
    """A recorded API call with a method that can change the org, such as POST.

    Attributes:
        caller: `Caller.id`; empty if the caller was not authenticated.
        path: path and query.
        body: the request body as text; empty if there was none.
        status: HTTP status of the response; 0 if a fault suppressed the response.
        effect: whether the call changed anything in the org, even if the response was an error. False for a
            refused call, and for most repetitions of a call.
    """

    at: str
    caller: str
    method: str
    path: str
    body: str
    status: int
    effect: bool
