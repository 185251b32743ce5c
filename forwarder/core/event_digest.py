"""What the two copies of one event, by the hook and by the System Log, must agree on, as a short digest.

Anybody with the secret of a hook can post any event under the uuid of a real one. So a uuid in the System Log proves an
event only if what is decided by is the same there. Okta's copies are not equal byte for byte: the log has `null` where
the hook has nothing, and `request.ipChain` where the hook has `client.ipChain`. A preview writes `success` for `SUCCESS`.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from forwarder.core.event import decode_leniently
from forwarder.core.time import to_micros

_SIZE = 8  # bytes


class _Who(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    login: str | None = msgspec.field(name="alternateId", default=None)


class _Place(msgspec.Struct):
    country: str | None = None


class _Client(msgspec.Struct):
    address: str | None = msgspec.field(name="ipAddress", default=None)
    place: _Place | None = msgspec.field(name="geographicalContext", default=None)


class _Outcome(msgspec.Struct):
    result: str | None = None
    reason: str | None = None


class _Essentials(msgspec.Struct):
    """Whom rules and reactions decide about, what happened, when, and from where."""

    event_type: str = msgspec.field(name="eventType")
    published: datetime
    actor: _Who | None = None
    target: list[_Who] | None = None
    outcome: _Outcome | None = None
    client: _Client | None = None


_decode = msgspec.json.Decoder(_Essentials).decode
_encode = msgspec.json.Encoder().encode


def digest(body: bytes) -> bytes:
    """Return the digest of an event, from its JSON. One that Okta cannot have sent has a digest of its own."""
    try:
        return _digest(decode_leniently(_decode, body)[0])
    except (msgspec.MsgspecError, RecursionError):
        return blake2b(body, digest_size=_SIZE).digest()


def digest_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the digest of an event that is decoded; None if Okta cannot have sent it."""
    try:
        return _digest(msgspec.convert(event, _Essentials))
    except (msgspec.MsgspecError, RecursionError):
        return None


def _digest(event: _Essentials) -> bytes:
    actor, outcome, client = event.actor or _Who(), event.outcome or _Outcome(), event.client or _Client()
    agreed = [
        event.event_type,
        to_micros(event.published),
        actor.id,
        actor.type,
        actor.login,
        sorted((one.id or "", one.type or "") for one in event.target or ()),
        (outcome.result or "").upper(),
        outcome.reason,
        client.address,
        client.place and client.place.country,
    ]
    return blake2b(_encode(agreed), digest_size=_SIZE).digest()
