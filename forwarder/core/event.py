"""The type of an event (one Okta LogEvent, with its JSON bytes as received), functions that read events from JSON, and
the digest of an event."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from forwarder.core.errors import NotAnEventError
from forwarder.core.lenient_json import decode_leniently
from forwarder.core.time import FIRST, LAST, Micros, to_micros

T = TypeVar("T")


class Source(StrEnum):
    """The source of an event.

    HOOK is an event hook, LOG is Okta's System Log, ALERT is a rule of the forwarder, ACTION is a reaction of the
    forwarder.
    """

    HOOK = "hook"
    LOG = "log"
    ALERT = "alert"
    ACTION = "action"


OKTA_SOURCES = (Source.HOOK, Source.LOG)
"""The sources of events that Okta made. The forwarder itself makes the events of the other sources."""


BACKFILL = "backfill"
"""The `envelope_id` of an event that the command `backfill` read from the System Log."""


class Who(msgspec.Struct, gc=False):
    """An actor or a target of an event. A field that the event does not have is None, here and in the classes below."""

    id: str | None = None
    type: str | None = None
    login: str | None = msgspec.field(name="alternateId", default=None)


class GeographicalContext(msgspec.Struct, gc=False):
    """The location of the client of an event, as Okta reports it."""

    country: str | None = None


class Client(msgspec.Struct, gc=False):
    """The HTTP client whose request caused an event."""

    address: str | None = msgspec.field(name="ipAddress", default=None)
    place: GeographicalContext | None = msgspec.field(name="geographicalContext", default=None)


class Result(msgspec.Struct, gc=False):
    """The outcome that an event reports."""

    result: str | None = None
    reason: str | None = None


class Head(msgspec.Struct, kw_only=True, gc=False):
    """The three keys that every event must have. All other keys of an event may be missing or null."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    published: datetime


class Essentials(Head, kw_only=True, gc=False):
    """The keys of `Head`, and the fields that rules and reactions need most: users, outcome, address and country."""

    actor: Who | None = None
    target: list[Who] | None = None
    outcome: Result | None = None
    client: Client | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One Okta LogEvent, or an event of the forwarder itself.

    `(org, uuid)` identifies the event. If several copies of an event arrive, the store keeps the first copy.

    Attributes:
        org: the org's name in the configuration.
        uuid: Okta's ID of the event, spelled exactly as received.
        event_type: Okta's dotted name of the type, such as `user.session.start`. Okta may add types at any time.
        published: when the event happened, by Okta's clock.
        received_at: when the forwarder received the event, by its own clock.
        envelope_id: the `eventId` of the hook's POST; `BACKFILL` if a backfill read the event; else empty.
        body: the JSON object, byte for byte as received.
        essentials: the result of `read_essentials(body)`; None if the result is not kept in memory.
    """

    org: str
    uuid: str
    event_type: str
    published: Micros
    received_at: Micros
    source: Source
    envelope_id: str
    body: bytes
    essentials: Essentials | None = None


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event and its number `seq` in the store. The numbers start at 1 and have no gaps."""

    seq: int
    event: Event


class MalformedEvent(msgspec.Struct, frozen=True, gc=False):
    """An element of a POST or of a page of the System Log that is not an event. The forwarder stores the element as a
    dead letter under the name `receiver`.

    Attributes:
        detail: what is wrong with the element, as text for an operator.
        body: the element, byte for byte as received.
    """

    org: str
    received_at: Micros
    envelope_id: str
    detail: str
    body: bytes


_MAX_ID = 256
"""The maximum length in bytes of an ID or an event type. Okta's IDs have 36 bytes, and its event types at most 90;
Elasticsearch accepts IDs of up to 512 bytes. The store keeps these texts in addition to the body, so they must be
short."""


def is_short(text: str) -> bool:
    """Return whether `text` is short enough for an ID or an event type: at most 256 bytes in UTF-8."""
    return len(text) <= _MAX_ID and (text.isascii() or len(text.encode(errors="replace")) <= _MAX_ID)


_decode_head = msgspec.json.Decoder(Head).decode
_decode_essentials = msgspec.json.Decoder(Essentials).decode

# Until an event is committed, its essentials are in memory in addition to its body, and only the bytes of bodies are
# limited. So the essentials must not take much more memory than the body. A target takes 48 bytes of memory, even if
# the body has only `{},`.
_LARGE = 65_536
"""The size in bytes above which `read_event` reads only the head of a body, because reading more would block the event
loop. Okta's events have about 3,000 bytes."""
_LEAST_TARGET = 32
"""The minimum number of bytes of a body divided by the number of its targets. Below this minimum, the essentials are
not kept. Okta's bodies have more than 100 bytes for each target."""
_LEAST_OBJECT = 16
"""The minimum number of bytes of a large body divided by the number of its JSON objects. Below this minimum, the
essentials are not read, because the digest takes more than 100 bytes of memory for each target."""


def read_event(
    body: bytes, *, org: str, source: Source, received_at: Micros, envelope_id: str = "", repaired: bytes | None = None
) -> Event:
    """Parse `body` as one LogEvent, and return the event. `repaired` is the result of `replace_lone_surrogates(body)`;
    None if the caller does not have this result.

    Raises:
        NotAnEventError: `body` is not a JSON object with a `uuid`, an `eventType` and a readable `published`.
    """
    try:
        head, essentials, text = _read(body, source, repaired)
        body.decode()  # msgspec skips the other keys, so only this finds an invalid byte in them
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotAnEventError(str(error)) from error
    except RecursionError as error:
        raise NotAnEventError("the JSON is nested too deeply") from error
    if text is not body and "\ufffd" in head.uuid + head.event_type:
        # Two different uuids could become one, and the second event would be dropped as a duplicate.
        raise NotAnEventError("`uuid` or `eventType` contains half of a surrogate pair")
    if not head.uuid.strip() or not head.event_type.strip():
        raise NotAnEventError("`uuid` and `eventType` must not be blank")
    if not is_short(head.uuid) or not is_short(head.event_type):
        raise NotAnEventError(f"`uuid` and `eventType` must have at most {_MAX_ID} bytes")
    published = to_micros(head.published)
    if not FIRST <= published <= LAST:  # a time zone can cause this, as in 0001-01-01T00:00:00+01:00
        raise NotAnEventError("`published` is not in the years 1 to 9999")
    return Event(org, head.uuid, head.event_type, published, received_at, source, envelope_id, body, essentials)


def _read(body: bytes, source: Source, repaired: bytes | None) -> tuple[Head, Essentials | None, bytes]:
    """Return three values: the required keys of `body`; its essentials, or None if the essentials cannot or should not
    be kept; and the text from which the keys were decoded (`body` or the repaired copy of `body`)."""
    if source in OKTA_SOURCES and len(body) <= _LARGE:
        text = body if repaired is None else repaired
        try:  # Parse once for both. Each parse takes 5 of the 100 µs of a POST.
            essentials = _decode_essentials(text)
        except msgspec.MsgspecError:
            pass  # the head alone may be readable
        else:
            is_small = len(essentials.target or ()) * _LEAST_TARGET <= len(body)
            return essentials, essentials if is_small else None, text
    head, text = _decode(_decode_head, body, repaired)
    return head, None, text


def read_essentials(body: bytes) -> Essentials | None:
    """Return the essentials of `body`, the body of an Okta event. Return None if Okta cannot have sent `body`, because
    a field has a wrong type, or because `body` has too many empty objects."""
    if len(body) > _LARGE and body.count(b"{") * _LEAST_OBJECT > len(body):
        return None
    try:
        return decode_leniently(_decode_essentials, body)[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _decode(decode: Callable[[bytes], T], body: bytes, repaired: bytes | None) -> tuple[T, bytes]:
    return decode_leniently(decode, body) if repaired is None else (decode(repaired), repaired)


# The digest. Anyone who has the secret of a hook can post a forged event with the uuid of a real event. So the System
# Log confirms an event from the hook only if the log has an event with the same uuid and the same digest: the same
# values in the fields on which rules and reactions decide.
#
# The two copies from Okta are not equal byte for byte. The log has `null` where the hook lacks a key, and
# `request.ipChain` where the hook has `client.ipChain`. A preview org writes `success` for `SUCCESS`.

_DIGEST_SIZE = 8  # bytes
_NO_ACTOR, _NO_CLIENT, _NO_OUTCOME = Who(), Client(), Result()

_encode = msgspec.json.Encoder().encode


def digest(event: Event) -> bytes:
    """Return the digest of `event`. If Okta cannot have sent the body of `event`, return a digest of the whole body.

    The function runs for each stored event, and takes 4 µs of the 100 µs that a POST takes.
    """
    essentials = event.essentials or read_essentials(event.body)
    if essentials is None:
        return blake2b(event.body, digest_size=_DIGEST_SIZE).digest()
    return _digest(event.published, essentials)


def digest_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the digest of `event`, a decoded JSON object; None if a field has a wrong type, or if a required field is
    missing."""
    try:
        essentials = msgspec.convert(event, Essentials)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _digest(to_micros(essentials.published), essentials)


def _digest(published: Micros, event: Essentials) -> bytes:
    actor, outcome, client = (event.actor or _NO_ACTOR, event.outcome or _NO_OUTCOME, event.client or _NO_CLIENT)
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
    return blake2b(_encode(agreed), digest_size=_DIGEST_SIZE).digest()
