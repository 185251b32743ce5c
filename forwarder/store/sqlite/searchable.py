"""What is read from the body of an event to find it again: its uuid, type and users, and the address of a sign-in."""

from typing import Any

import msgspec

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.event import decode_leniently

_MAX_ID = 100  # characters of a user's id

_Other = str | int | float | bool | list[Any] | None
"""What a sender may write in place of an object; the other fields of the event are read all the same."""


class _Actor(msgspec.Struct, gc=False):
    id: Any = None
    type: Any = None
    login: Any = msgspec.field(name="alternateId", default=None)


class _Client(msgspec.Struct, gc=False):
    address: Any = msgspec.field(name="ipAddress", default=None)


class _Outcome(msgspec.Struct, gc=False):
    result: Any = None


class Searchable(msgspec.Struct, gc=False):
    """The fields of one event."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    actor: _Actor | _Other = None
    client: _Client | _Other = None
    outcome: _Outcome | _Other = None
    target: msgspec.Raw = msgspec.Raw(b"null")

    def users(self) -> list[str]:
        """Return the id and the login of the actor, in lower case; leave out one that the event lacks.

        For an event that reports an action of a reaction, return the ids and logins of its targets.
        """
        return [
            text.lower()
            for actor in self._actors()
            for text in (actor.id, actor.login)
            if isinstance(text, str) and text
        ]

    def _actors(self) -> list[_Actor]:
        if self.event_type != ACTION_EVENT_TYPE:
            return [self.actor] if isinstance(self.actor, _Actor) else []
        try:
            return _decode_actors(self.target)
        except (msgspec.MsgspecError, RecursionError):
            return []

    def user_at(self) -> tuple[str, str] | None:
        """Return (address, user's id) of a successful event of a user; None for any other event."""
        actor, client, outcome = self.actor, self.client, self.outcome
        if (
            isinstance(actor, _Actor)
            and isinstance(client, _Client)
            and isinstance(outcome, _Outcome)
            and outcome.result in ("SUCCESS", "ALLOW")
            and actor.type == "User"
            and isinstance(actor.id, str)
            and 0 < len(actor.id) <= _MAX_ID
            and isinstance(client.address, str)
        ):
            return client.address, actor.id
        return None


_decode = msgspec.json.Decoder(Searchable).decode
_decode_actors = msgspec.json.Decoder(list[_Actor]).decode


def searchable(body: bytes) -> Searchable | None:
    """Read `body`; None if it cannot be read."""
    try:
        return decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return None
