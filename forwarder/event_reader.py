"""Reads the events of a JSON list: of a POST from Okta, or of a page of the System Log."""

import asyncio
from collections.abc import Sequence

import msgspec

from forwarder.cooperative import Cooperative
from forwarder.core.errors import NotAnEventError
from forwarder.core.event import Event, MalformedEvent, Source, decode_leniently, read_event
from forwarder.core.time import Micros

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def split_list(text: bytes) -> Sequence[bytes | msgspec.Raw]:
    """Split a JSON list into its elements, each byte for byte.

    Raises:
        msgspec.MsgspecError: `text` is not a JSON list.
        RecursionError: it is nested too deeply.
    """
    try:
        return _decode_list(text)
    except msgspec.MsgspecError:
        return await asyncio.to_thread(_split_leniently, text)


def _split_leniently(text: bytes) -> list[bytes]:
    elements, repaired = decode_leniently(_decode_list, text, limit=None)
    originals = []
    at = repaired.find(b"[") + 1
    for element in elements:
        inner = bytes(element)
        # Only blanks and a comma stand before it, and no element begins with those.
        at = repaired.find(inner, at)
        originals.append(text[at : at + len(inner)])
        at += len(inner)
    return originals


async def read_events(
    elements: Sequence[bytes | msgspec.Raw],
    *,
    org: str,
    source: Source,
    received_at: Micros,
    envelope_id: str = "",
) -> tuple[list[Event], list[MalformedEvent]]:
    """Sort the elements of a list into events and malformed events, each in the order received."""
    events: list[Event] = []
    malformed: list[MalformedEvent] = []
    cooperative = Cooperative()
    for element in elements:
        body = bytes(element)  # a copy: a slice would keep the whole text alive as long as one event
        try:
            event = read_event(body, org=org, source=source, received_at=received_at, envelope_id=envelope_id)
            events.append(event)
        except NotAnEventError as error:
            malformed.append(MalformedEvent(org, received_at, envelope_id, str(error), body))
        await cooperative.yield_if_due()
    return events, malformed
