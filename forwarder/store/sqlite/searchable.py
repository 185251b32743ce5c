"""Reads the texts by which an event can be found: its uuid, its type and the names of its users.

For reactions, this module also reads which user did something from which address.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.event import Event, decode_leniently

_MAX_ID = 100  # the most characters of a user's id
_MAX_NAME = 256  # the most characters of an id or a login by which an event is found; Okta's have at most 100
_SUCCESSES = ("SUCCESS", "ALLOW")

_Other = str | int | float | bool | list[Any] | None
"""The types of values that a sender may write in place of an object. The other fields of such an event can still be read."""


class _Actor(msgspec.Struct, gc=False):
    id: Any = None
    type: Any = None
    login: Any = msgspec.field(name="alternateId", default=None)


class _Client(msgspec.Struct, gc=False):
    address: Any = msgspec.field(name="ipAddress", default=None)


class _Outcome(msgspec.Struct, gc=False):
    result: Any = None


class _Fields(msgspec.Struct, gc=False):
    """The fields of an event that are read, whatever the types of their values are."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    actor: _Actor | _Other = None
    client: _Client | _Other = None
    outcome: _Outcome | _Other = None
    target: msgspec.Raw = msgspec.Raw(b"null")

    def actors(self) -> list[_Actor]:
        """Return the actor of the event; for an event that reports an action of a reaction, the targets of the action."""
        if self.event_type != ACTION_EVENT_TYPE:
            return [self.actor] if isinstance(self.actor, _Actor) else []
        try:
            return _decode_actors(self.target)
        except (msgspec.MsgspecError, RecursionError):
            return []


_decode = msgspec.json.Decoder(_Fields).decode
_decode_actors = msgspec.json.Decoder(list[_Actor]).decode


class Searchable(msgspec.Struct, gc=False):
    """The texts of one event by which it can be found.

    Attributes:
        uuid: the uuid of the event.
        event_type: the type of the event.
        names: the id and the login of the event's actor, as far as the event has them and they are not too long. For an
            event that reports an action of a reaction, the ids and the names of the action's targets.
        user_at: (address, id of the user) of a successful event of a user; None for any other event.
    """

    uuid: str
    event_type: str
    names: Sequence[str]
    user_at: tuple[str, str] | None

    def users(self) -> list[str]:
        """Return `names` in lower case, in which a search compares them."""
        return [name.lower() for name in self.names]


def searchable(body: bytes) -> Searchable | None:
    """Read the texts by which an event can be found from its `body`; return None if the body cannot be read."""
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
    """Return the same as `searchable(event.body)`, from fields that were read before. This takes a third of the time."""
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
