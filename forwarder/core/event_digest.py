"""A short digest of the fields that the hook's copy and the System Log's copy of one event must have in common.

Anyone with the secret of a hook can post a forged event under the uuid of a real event. So the System Log
confirms an event of the hook only if the log has the same uuid, with the same values in the fields that decisions use.
Okta's two copies are not equal byte for byte: the log has `null` where the hook lacks a key, and `request.ipChain`
where the hook has `client.ipChain`. A preview org writes `success` for `SUCCESS`.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from forwarder.core.event import Event, decode_leniently
from forwarder.core.time import Micros, to_micros

_SIZE = 8  # bytes


class _Who(msgspec.Struct, gc=False):
    id: str | None = None
    type: str | None = None
    login: str | None = msgspec.field(name="alternateId", default=None)


class _Place(msgspec.Struct, gc=False):
    country: str | None = None


class _Client(msgspec.Struct, gc=False):
    address: str | None = msgspec.field(name="ipAddress", default=None)
    place: _Place | None = msgspec.field(name="geographicalContext", default=None)


class _Outcome(msgspec.Struct, gc=False):
    result: str | None = None
    reason: str | None = None


class Essentials(msgspec.Struct, gc=False):
    """The fields that decisions of rules and reactions depend on: users, outcome and address."""

    actor: _Who | None = None
    target: list[_Who] | None = None
    outcome: _Outcome | None = None
    client: _Client | None = None


class _Whole(Essentials, kw_only=True, gc=False):
    event_type: str = msgspec.field(name="eventType")
    published: datetime


_NO_ACTOR, _NO_CLIENT, _NO_OUTCOME = _Who(), _Client(), _Outcome()

_decode = msgspec.json.Decoder(Essentials).decode
_encode = msgspec.json.Encoder().encode


def read_essentials(body: bytes) -> Essentials | None:
    """Read the body of an event; None if a field has a type that Okta does not send."""
    try:
        return decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return None


def digest(event: Event) -> bytes:
    """Return the digest of `event`. If the body cannot be from Okta, it is a digest of the whole body."""
    return digest_from(event, read_essentials(event.body))


def digest_from(event: Event, essentials: Essentials | None) -> bytes:
    """Return the digest of `event`, whose body `read_essentials` has read.

    This runs for each stored event. With the reading, it takes 4 µs of the 100 µs that a POST takes.
    """
    if essentials is None:
        return blake2b(event.body, digest_size=_SIZE).digest()
    return _digest(event.event_type, event.published, essentials)


def digest_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the digest of a decoded event; None if a field has a wrong type, or a required field is missing."""
    try:
        whole = msgspec.convert(event, _Whole)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _digest(whole.event_type, to_micros(whole.published), whole)


def _digest(event_type: str, published: Micros, event: Essentials) -> bytes:
    actor, outcome, client = (
        event.actor or _NO_ACTOR,
        event.outcome or _NO_OUTCOME,
        event.client or _NO_CLIENT,
    )
    targets = [(one.id or "", one.type or "") for one in event.target or ()]
    if len(targets) > 1:
        targets.sort()
    agreed = (
        event_type,
        published,
        actor.id,
        actor.type,
        actor.login,
        targets,
        (outcome.result or "").upper(),
        outcome.reason,
        client.address,
        client.place and client.place.country,
    )
    return blake2b(_encode(agreed), digest_size=_SIZE).digest()
