"""What an event is found by: its uuid, type and users; and for reactions, the user and the address of a sign-in."""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.event import Event, decode_leniently

_MAX_ID = 100  # characters of a user's id
_MAX_NAME = 256  # characters of an id or a login by which an event is found; Okta's have at most 100
_SUCCESSES = ("SUCCESS", "ALLOW")

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


class _Fields(msgspec.Struct, gc=False):
    """The fields of an event, whatever their types are."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    actor: _Actor | _Other = None
    client: _Client | _Other = None
    outcome: _Outcome | _Other = None
    target: msgspec.Raw = msgspec.Raw(b"null")

    def actors(self) -> list[_Actor]:
        """Return who did it; for an event that reports an action of a reaction, to whom it was done."""
        if self.event_type != ACTION_EVENT_TYPE:
            return [self.actor] if isinstance(self.actor, _Actor) else []
        try:
            return _decode_actors(self.target)
        except (msgspec.MsgspecError, RecursionError):
            return []


_decode = msgspec.json.Decoder(_Fields).decode
_decode_actors = msgspec.json.Decoder(list[_Actor]).decode


class Searchable(msgspec.Struct, gc=False):
    """What one event is found by.

    Attributes:
        names: the id and the login of the actor, without one that the event lacks or that is longer than any of Okta's. For
            an event that reports an action of a reaction, those of its targets.
        user_at: (address, user's id) of a successful event of a user; None for any other event.
    """

    uuid: str
    event_type: str
    names: Sequence[str]
    user_at: tuple[str, str] | None

    def users(self) -> list[str]:
        """Return `names` in lower case, as users are searched for."""
        return [name.lower() for name in self.names]


def searchable(body: bytes) -> Searchable | None:
    """Read `body`; None if it cannot be read."""
    try:
        fields = decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return None
    names = [
        name
        for actor in fields.actors()
        for name in (actor.id, actor.login)
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME
    ]
    actor, client, outcome = fields.actor, fields.client, fields.outcome
    user_at = None
    if (
        isinstance(actor, _Actor)
        and isinstance(client, _Client)
        and isinstance(outcome, _Outcome)
        and outcome.result in _SUCCESSES
        and actor.type == "User"
        and isinstance(actor.id, str)
        and 0 < len(actor.id) <= _MAX_ID
        and isinstance(client.address, str)
    ):
        user_at = client.address, actor.id
    return Searchable(fields.uuid, fields.event_type, names, user_at)


def searchable_from(event: Event) -> Searchable | None:
    """Return `searchable(event.body)`, from what was read of the body before: a third of the time."""
    essentials = event.essentials
    if essentials is None or event.event_type == ACTION_EVENT_TYPE:
        return searchable(event.body)
    actor, client, outcome = essentials.actor, essentials.client, essentials.outcome
    if actor is None:
        return Searchable(event.uuid, event.event_type, (), None)
    user_at = None
    if (
        client is not None
        and outcome is not None
        and outcome.result in _SUCCESSES
        and actor.type == "User"
        and actor.id
        and len(actor.id) <= _MAX_ID
        and client.address is not None
    ):
        user_at = client.address, actor.id
    names = [name for name in (actor.id, actor.login) if name and len(name) <= _MAX_NAME]
    return Searchable(event.uuid, event.event_type, names, user_at)
