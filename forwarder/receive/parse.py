"""An envelope into its events, by `forwarder.event_reader`."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from forwarder import event_reader
from forwarder.core.errors import BadRequestError
from forwarder.core.event import Event, MalformedEvent, Source
from forwarder.core.time import Micros

_BOM = b"\xef\xbb\xbf"
_SHORTEST = (
    60  # bytes of an event with its three keys; so what holds far more elements brings next to no event,
)
_FEW = 1_000  # but a dead letter for each of millions


class Parsed(NamedTuple):
    """What one envelope holds, each in the order received."""

    events: list[Event]
    malformed: list[MalformedEvent]


class _Ids(msgspec.Struct, kw_only=True):
    """Okta's id of the POST, which early drafts spelled `eventID`."""

    event_id: msgspec.Raw = msgspec.field(name="eventId", default_factory=msgspec.Raw)
    event_id_too: msgspec.Raw = msgspec.field(name="eventID", default_factory=msgspec.Raw)


class _Split(msgspec.Struct):
    events: list[msgspec.Raw]


class _Envelope(_Ids):
    """What is read of an envelope. Nothing else in it matters here."""

    data: _Split


class _Whole(msgspec.Struct):
    events: msgspec.Raw


class _WholeEnvelope(_Ids):
    data: _Whole


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_whole = msgspec.json.Decoder(_WholeEnvelope).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


async def parse(body: bytes, *, org: str, received_at: Micros) -> Parsed:
    """The events of an envelope.

    Args:
        body: the JSON text of a POST.
        org: whose hook sent it.
        received_at: when it came.

    Raises:
        BadRequestError: 400, `body` is no event hook: no JSON object with a list at `data.events`.
    """
    body = body.removeprefix(_BOM)
    try:
        envelope: _Ids
        elements: Sequence[bytes | msgspec.Raw]
        envelope, elements = _split(body)
    except msgspec.MsgspecError as error:
        mended = await event_reader.mend(body)
        if mended is None:
            raise BadRequestError(400, str(error)) from None
        envelope, elements = await _split_mended(body, mended)
    if len(elements) > _FEW + len(body) // _SHORTEST:
        raise BadRequestError(400, "most elements of `data.events` are too short to be events")
    return Parsed(
        *await event_reader.read_events(
            elements, org=org, source=Source.HOOK, received_at=received_at, envelope_id=_envelope_id(envelope)
        )
    )


def _split(body: bytes) -> tuple[_Envelope, list[msgspec.Raw]]:
    try:
        envelope = _decode(body)
    except RecursionError:
        raise BadRequestError(400, "the JSON is nested too deeply") from None
    return envelope, envelope.data.events


def _envelope_id(envelope: _Ids) -> str:
    """Okta's id of the POST; empty where it is absent or no text. It is only kept for tracing, so nothing fails here."""
    for raw in (envelope.event_id, envelope.event_id_too):
        try:
            return _decode_text(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return ""


async def _split_mended(body: bytes, mended: bytes) -> tuple[_Ids, list[bytes]]:
    """The ids as read from `mended`, and the elements as they stand in `body`.

    The list is found by its text, as its elements are: where the same text stands twice, the last one counts, as it
    does for a key that is written twice.
    """
    try:
        envelope = _decode_whole(mended)
        whole = bytes(envelope.data.events)
        elements = _decode_list(whole)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequestError(400, str(error)) from None
    return envelope, await event_reader.originals(body, mended, elements, mended.rfind(whole) + 1)
