"""An event: one Okta LogEvent, with its raw JSON bytes as received."""

from datetime import datetime
from enum import StrEnum

import msgspec

from forwarder.core.errors import NotAnEventError
from forwarder.core.surrogates import decode_leniently
from forwarder.core.time import Micros, to_micros


class Source(StrEnum):
    """Where an event came from: an event hook or the System Log."""

    HOOK = "hook"
    LOG = "log"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One Okta LogEvent. `(org, uuid)` identifies it; the first copy seen wins.

    Attributes:
        org: the org's name in the configuration.
        uuid: Okta's id of the event, spelled exactly as received.
        event_type: Okta's dotted name, an open set.
        published: when it happened, by Okta's clock.
        received_at: when the forwarder received it, by its own clock.
        envelope_id: Okta's `eventId` of the POST; empty if there was none.
        body: the JSON object, byte for byte as received.
    """

    org: str
    uuid: str
    event_type: str
    published: Micros
    received_at: Micros
    source: Source
    envelope_id: str
    body: bytes


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event and its number in the store: `seq` counts from 1 without a gap."""

    seq: int
    event: Event


class MalformedEvent(msgspec.Struct, frozen=True, gc=False):
    """An element that is not an event; it becomes a dead letter of the receiver.

    Attributes:
        detail: what is wrong with it, for a person.
        body: the element, byte for byte as received.
    """

    org: str
    received_at: Micros
    envelope_id: str
    detail: str
    body: bytes


class _Head(msgspec.Struct):
    """The three keys that every event has. Everything else may be absent or null."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    published: datetime


_decode_head = msgspec.json.Decoder(_Head).decode


def read_event(body: bytes, *, org: str, source: Source, received_at: Micros, envelope_id: str = "") -> Event:
    """Read one LogEvent.

    Raises:
        NotAnEventError: `body` is not a JSON object with a `uuid`, an `eventType` and a readable `published`.
    """
    try:
        head, text = decode_leniently(_decode_head, body)
        body.decode()  # msgspec skips what it does not read, so only this finds a broken byte there
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEventError(str(error)) from error
    if text is not body and "\ufffd" in head.uuid + head.event_type:
        # Two different uuids could become one, and the second event would be dropped as a duplicate.
        raise NotAnEventError("`uuid` or `eventType` holds half of a surrogate pair")
    if not head.uuid.strip() or not head.event_type.strip():
        raise NotAnEventError("`uuid` and `eventType` must not be blank")
    return Event(
        org, head.uuid, head.event_type, to_micros(head.published), received_at, source, envelope_id, body
    )
