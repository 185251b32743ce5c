"""An event: one Okta LogEvent, its raw JSON bytes kept as they were received."""

from datetime import datetime
from enum import StrEnum

import msgspec

from forwarder.core import surrogates
from forwarder.core.errors import NotAnEventError
from forwarder.core.time import Micros, to_micros


class Source(StrEnum):
    """The way that an event came in."""

    HOOK = "hook"
    LOG = "log"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One Okta LogEvent. `(org, uuid)` identifies it; the first copy seen wins.

    Attributes:
        org: the org's name in the configuration.
        uuid: Okta's id of the event, exactly as it was spelled.
        event_type: Okta's dotted name, an open set.
        published: when it happened, by Okta's clock.
        received_at: when it reached us, by our clock.
        source: where it came from.
        envelope_id: Okta's `eventId` of the POST that brought it; empty where there was none.
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
    """An event with its place in the store: `seq` counts from 1 without a gap."""

    seq: int
    event: Event


class MalformedEvent(msgspec.Struct, frozen=True, gc=False):
    """An element of an envelope that is no event; the receiver's dead letter.

    Attributes:
        org: the org whose hook sent it.
        received_at: when it reached us.
        envelope_id: Okta's `eventId` of the POST; empty where there was none.
        detail: what is wrong with it, for a human.
        body: the element, byte for byte as received.
    """

    org: str
    received_at: Micros
    envelope_id: str
    detail: str
    body: bytes


class _Head(msgspec.Struct):
    """The three keys without which an element is no event. Everything else may be absent or null."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    published: datetime


_decode_head = msgspec.json.Decoder(_Head).decode
_MOST_SURROGATES = 10_000  # some 5 ms of mending


def _read_head(body: bytes) -> _Head:
    try:
        return _decode_head(body)
    except msgspec.MsgspecError:
        mended = surrogates.mend(body, _MOST_SURROGATES)
        if mended is None:
            raise
    head = _decode_head(mended)
    if "\ufffd" in head.uuid + head.event_type:
        # Mended, two different uuids could become one, and the second event would be dropped as a duplicate.
        raise NotAnEventError("`uuid` or `eventType` holds half of a surrogate pair")
    return head


def read_event(body: bytes, *, org: str, source: Source, received_at: Micros, envelope_id: str = "") -> Event:
    """Read one LogEvent.

    Raises:
        NotAnEventError: `body` is no JSON object with a `uuid`, an `eventType` and a readable `published`.
    """
    try:
        head = _read_head(body)
        body.decode()  # msgspec skips over what it does not read, so only this finds a broken byte in it
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEventError(str(error)) from error
    if not head.uuid.strip() or not head.event_type.strip():
        raise NotAnEventError("`uuid` and `eventType` must not be blank")
    return Event(
        org, head.uuid, head.event_type, to_micros(head.published), received_at, source, envelope_id, body
    )
