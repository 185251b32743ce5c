"""Reads the body of a POST from Okta: receive, inflate, and split it into events."""

import asyncio
import gzip
import io
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from forwarder import event_reader
from forwarder.core.errors import BadRequestError, ForwarderError
from forwarder.core.event import Source, decode_leniently
from forwarder.core.ports import Batch
from forwarder.core.time import Micros

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_BOM = b"\xef\xbb\xbf"

# A body with far more elements than could be events is rejected, or it would become millions of dead letters.
_SMALLEST_EVENT = 60  # bytes
_ALWAYS_ALLOWED = 1_000  # elements


class ClientDisconnectedError(ForwarderError):
    """The client disconnected before its body was complete."""


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """Receive a body and undo its `Content-Encoding`. `limit` is in bytes, both as sent and inflated.

    Raises:
        BadRequestError: 413 above `limit`, as soon as it is known; 415 for an encoding other than gzip;
            400 if the body is not valid gzip.
        ClientDisconnectedError: the client disconnected.
    """
    encoding = b""
    for name, value in headers:
        if name == b"content-length":
            _check_size(int(value), limit)  # digits only: the parser has refused anything else
        elif name == b"content-encoding":
            encoding = encoding + b"," + value if encoding else value
    encoding = encoding.strip().lower()
    body = await _receive_all(receive, limit)
    if encoding in (b"", b"identity"):
        return body
    if encoding not in (b"gzip", b"x-gzip"):
        raise BadRequestError(415, "the only supported Content-Encoding is gzip")
    try:
        body = await asyncio.to_thread(inflate, body, limit)
    except (zlib.error, OSError, EOFError):
        raise BadRequestError(400, "Content-Encoding is gzip, but the body is not valid gzip") from None
    _check_size(len(body), limit)
    return body


async def _receive_all(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        _check_size(len(body), limit)
        if not message.get("more_body", False):
            return bytes(body)
    raise ClientDisconnectedError("the client disconnected before its body was complete")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise BadRequestError(413, f"the body is larger than {limit} bytes")


def inflate(body: bytes, limit: int) -> bytes:
    """Inflate gzip; of a body that is larger than `limit`, return one byte more than that.

    Raises:
        zlib.error, OSError, EOFError: `body` is not gzip, or incomplete.
    """
    if not body:
        raise EOFError
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
        return stream.read(limit + 1)


class _EventsSpan(msgspec.Struct):
    events: msgspec.Raw


class _Envelope(msgspec.Struct, kw_only=True):
    """Only what is read. `eventId` is Okta's id of the POST; early drafts spelled it `eventID`."""

    data: _EventsSpan
    event_id: msgspec.Raw = msgspec.field(name="eventId", default_factory=msgspec.Raw)
    draft_event_id: msgspec.Raw = msgspec.field(name="eventID", default_factory=msgspec.Raw)


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_text = msgspec.json.Decoder(str).decode


async def parse(body: bytes, *, org: str, received_at: Micros) -> Batch:
    """Split an envelope of `org` into its events.

    Raises:
        BadRequestError: 400, `body` is not a JSON object with a list at `data.events`.
    """
    try:
        envelope_id, events_text = await _find_events(body.removeprefix(_BOM))
        elements = await event_reader.split_list(events_text)
    except msgspec.MsgspecError as error:
        raise BadRequestError(400, str(error)) from None
    except RecursionError:
        raise BadRequestError(400, "the JSON is nested too deeply") from None
    if len(elements) > _ALWAYS_ALLOWED + len(body) // _SMALLEST_EVENT:
        raise BadRequestError(400, "most elements of `data.events` are too short to be events")
    events, malformed = await event_reader.read_events(
        elements, org=org, source=Source.HOOK, received_at=received_at, envelope_id=envelope_id
    )
    return Batch(events, malformed)


async def _find_events(body: bytes) -> tuple[str, bytes]:
    """Return the envelope's id and the list of its events, byte for byte."""
    try:
        envelope = _decode(body)
        events = bytes(envelope.data.events)
    except msgspec.MsgspecError:
        envelope, repaired = await asyncio.to_thread(decode_leniently, _decode, body, None)
        found = bytes(envelope.data.events)
        at = repaired.rfind(found)  # the last one: if a key is there twice, the second counts
        events = body[at : at + len(found)]
    return _envelope_id(envelope), events


def _envelope_id(envelope: _Envelope) -> str:
    """Return Okta's id of the POST, empty if it has none. It serves only tracing, so nothing fails here."""
    for raw in (envelope.event_id, envelope.draft_event_id):
        try:
            return _decode_text(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return ""
