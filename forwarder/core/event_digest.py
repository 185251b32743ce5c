"""Calculates a short digest of an event. The copies of one event from the hook and from the System Log have the same
digest.

Anyone who has the secret of a hook can post a forged event with the uuid of a real event. So the System Log confirms an
event from the hook only if the log has an event with the same uuid and the same values in the fields on which rules and
reactions decide.

The two copies from Okta are not equal byte for byte. The log has `null` where the hook lacks a key, and
`request.ipChain` where the hook has `client.ipChain`. A preview org writes `success` for `SUCCESS`.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from forwarder.core.event import Client, Essentials, Event, Result, Who, read_essentials
from forwarder.core.time import Micros, to_micros

_SIZE = 8  # bytes


_NO_ACTOR, _NO_CLIENT, _NO_OUTCOME = Who(), Client(), Result()

_encode = msgspec.json.Encoder().encode


def digest(event: Event) -> bytes:
    """Return the digest of `event`. If Okta cannot have sent the body, this is a digest of the whole body.

    The function runs for each stored event, and takes 4 µs of the 100 µs that a POST takes.
    """
    essentials = event.essentials or read_essentials(event.body)
    if essentials is None:
        return blake2b(event.body, digest_size=_SIZE).digest()
    return _digest(event.published, essentials)


def digest_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the digest of a decoded event; None if a field has a wrong type, or if a required field is missing."""
    try:
        essentials = msgspec.convert(event, Essentials)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _digest(to_micros(essentials.published), essentials)


def _digest(published: Micros, event: Essentials) -> bytes:
    actor, outcome, client = (
        event.actor or _NO_ACTOR,
        event.outcome or _NO_OUTCOME,
        event.client or _NO_CLIENT,
    )
    targets = [(one.id or "", one.type or "") for one in event.target or ()]
    if len(targets) > 1:
        targets.sort()
    agreed = (
        event.event_type,
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
