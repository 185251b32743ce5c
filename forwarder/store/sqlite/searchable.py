"""What an event is found by: its uuid, type and users; and for reactions, the user and the address of a sign-in."""

from typing import Any, NamedTuple

import msgspec

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.event import Event, decode_leniently
from forwarder.core.event_digest import NO_ACTOR, NO_CLIENT, NO_OUTCOME, Essentials

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


class Searchable(NamedTuple):
    """What one event is found by.

    Attributes:
        users: the id and the login of the actor, in lower case, without those that the event lacks. For an event that
            reports an action of a reaction, those of its targets.
        user_at: (address, user's id) of a successful event of a user; None for any other event.
    """

    uuid: str
    event_type: str
    users: list[str]
    user_at: tuple[str, str] | None


def searchable(body: bytes) -> Searchable | None:
    """Read `body`; None if it cannot be read."""
    try:
        fields = decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return None
    users = [text for actor in fields.actors() for text in _names(actor.id, actor.login)]
    actor, client, outcome = fields.actor, fields.client, fields.outcome
    user_at = None
    if isinstance(actor, _Actor) and isinstance(client, _Client) and isinstance(outcome, _Outcome):
        user_at = _user_at(actor.type, actor.id, outcome.result, client.address)
    return Searchable(fields.uuid, fields.event_type, users, user_at)


def searchable_from(event: Event, essentials: Essentials | None) -> Searchable | None:
    """Return `searchable(event.body)`, from what `read_essentials` has read of the body: a third of the time."""
    if essentials is None or event.event_type == ACTION_EVENT_TYPE:
        return searchable(event.body)
    actor, client = essentials.actor or NO_ACTOR, essentials.client or NO_CLIENT
    result = (essentials.outcome or NO_OUTCOME).result
    return Searchable(
        event.uuid,
        event.event_type,
        _names(actor.id, actor.login),
        _user_at(actor.type, actor.id, result, client.address),
    )


def _names(*names: Any) -> list[str]:
    return [name.lower() for name in names if isinstance(name, str) and name]


def _user_at(actor_type: Any, actor_id: Any, result: Any, address: Any) -> tuple[str, str] | None:
    if (
        result in ("SUCCESS", "ALLOW")
        and actor_type == "User"
        and isinstance(actor_id, str)
        and 0 < len(actor_id) <= _MAX_ID
        and isinstance(address, str)
    ):
        return address, actor_id
    return None
