"""An envelope into its events, each kept byte for byte as it was received.

What is no event becomes a `Reject` and holds up none of its neighbours. Work goes in steps of about a
millisecond, so that a body of 100,000 events does not keep another POST waiting.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from forwarder.core import surrogates
from forwarder.core.errors import BadRequestError, NotAnEventError
from forwarder.core.event import Event, Micros, Reject, Via, read_event

_BOM = b"\xef\xbb\xbf"
_STEP = 1_000_000  # of cost, where a byte costs 1 and an element _ELEMENT: some 2 ms
_ELEMENT = 2_000
_SURROGATES = 1_000  # escapes, or elements that may hold one, looked at in one step
_SHORTEST = (
    60  # bytes of an event with its three keys; so what holds far more elements brings next to no event,
)
_FEW = 1_000  # but a dead letter for each of millions


class Parsed(NamedTuple):
    """What one envelope holds, each in the order received."""

    events: list[Event]
    rejects: list[Reject]


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
        mended = await _mend(body)
        if mended is None:
            raise BadRequestError(400, str(error)) from None
        envelope, elements = await _split_mended(body, mended)
    if len(elements) > _FEW + len(body) // _SHORTEST:
        raise BadRequestError(400, "most elements of `data.events` are too short to be events")
    return await _read(elements, org, received_at, _envelope_id(envelope))


def _split(body: bytes) -> tuple[_Envelope, list[msgspec.Raw]]:
    try:
        envelope = _decode(body)
    except RecursionError:
        raise BadRequestError(400, "the JSON is nested too deeply") from None
    return envelope, envelope.data.events


async def _read(
    elements: Sequence[bytes | msgspec.Raw], org: str, received_at: Micros, envelope_id: str
) -> Parsed:
    events: list[Event] = []
    rejects: list[Reject] = []
    spent = 0
    for element in elements:
        raw = bytes(element)  # a copy: a slice would keep the whole body alive as long as one event
        try:
            events.append(
                read_event(raw, org=org, via=Via.HOOK, received_at=received_at, envelope_id=envelope_id)
            )
        except NotAnEventError as error:
            rejects.append(Reject(org, received_at, envelope_id, str(error), raw))
        spent += len(raw) + _ELEMENT
        if spent > _STEP:
            spent = 0
            await asyncio.sleep(0)
    return Parsed(events, rejects)


def _envelope_id(envelope: _Ids) -> str:
    """Okta's id of the POST; empty where it is absent or no text. It is only kept for tracing, so nothing fails here."""
    for raw in (envelope.event_id, envelope.event_id_too):
        try:
            return _decode_text(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return ""


async def _mend(body: bytes) -> bytes | None:
    """`body` with every half of a surrogate pair replaced, each offset as before; None where it has none."""
    mended = bytearray(body)
    found = False
    for number, (at, lone) in enumerate(surrogates.escapes(body)):
        if lone:
            surrogates.replace(mended, at)
            found = True
        if number % _SURROGATES == 0:
            await asyncio.sleep(0)
    return bytes(mended) if found else None


async def _split_mended(body: bytes, mended: bytes) -> tuple[_Ids, list[bytes]]:
    """The ids as read from `mended`, and the elements as they stand in `body`.

    msgspec gives the text of a part but not its place. The list is found by its text: where the same text
    stands twice, the last one counts, as it does for a key that is written twice.
    """
    try:
        envelope = _decode_whole(mended)
        whole = bytes(envelope.data.events)
        raws = _decode_list(whole)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequestError(400, str(error)) from None
    start = mended.rfind(whole)
    elements = []
    at = 1  # behind the bracket
    for number, raw in enumerate(raws):
        text = bytes(raw)
        # Only blanks and a comma can stand before it, and no element begins with those.
        at = whole.find(text, at)
        elements.append(body[start + at : start + at + len(text)])
        at += len(text)
        if number % _SURROGATES == 0:
            await asyncio.sleep(0)
    return envelope, elements
