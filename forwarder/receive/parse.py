"""An envelope into its events, by `forwarder.event_reader`."""

import asyncio
from typing import NamedTuple

import msgspec

from forwarder import event_reader
from forwarder.core.errors import BadRequestError
from forwarder.core.event import Event, MalformedEvent, Source
from forwarder.core.surrogates import decode_leniently
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


class _EventsSpan(msgspec.Struct):
    events: msgspec.Raw


class _Envelope(msgspec.Struct, kw_only=True):
    """What is read of an envelope: its events, and Okta's id of the POST, which early drafts spelled `eventID`."""

    data: _EventsSpan
    event_id: msgspec.Raw = msgspec.field(name="eventId", default_factory=msgspec.Raw)
    event_id_too: msgspec.Raw = msgspec.field(name="eventID", default_factory=msgspec.Raw)


_decode = msgspec.json.Decoder(_Envelope).decode
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
    try:
        envelope_id, events_text = await _find_events(body.removeprefix(_BOM))
        elements = await event_reader.split_list(events_text)
    except msgspec.MsgspecError as error:
        raise BadRequestError(400, str(error)) from None
    except RecursionError:
        raise BadRequestError(400, "the JSON is nested too deeply") from None
    if len(elements) > _FEW + len(body) // _SHORTEST:
        raise BadRequestError(400, "most elements of `data.events` are too short to be events")
    return Parsed(
        *await event_reader.read_events(
            elements, org=org, source=Source.HOOK, received_at=received_at, envelope_id=envelope_id
        )
    )


def _envelope_id(envelope: _Envelope) -> str:
    """Okta's id of the POST; empty where it is absent or no text. It is only kept for tracing, so nothing fails here."""
    for raw in (envelope.event_id, envelope.event_id_too):
        try:
            return _decode_text(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return ""


async def _find_events(body: bytes) -> tuple[str, bytes]:
    """Return the envelope's id and the list of its events, byte for byte."""
    try:
        envelope = _decode(body)
    except msgspec.MsgspecError:
        envelope, repaired = await asyncio.to_thread(decode_leniently, _decode, body, None)
        found = bytes(envelope.data.events)
        # A list that stands there twice: of two equal keys the last one counts.
        at = repaired.rfind(found)
        return _envelope_id(envelope), body[at : at + len(found)]
    return _envelope_id(envelope), bytes(envelope.data.events)
