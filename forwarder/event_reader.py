"""The events of one JSON text, an envelope's or a page's of the System Log, each kept byte for byte as it was received.

What is no event becomes a `MalformedEvent` and holds up none of its neighbours. Work goes in steps of some milliseconds at the
most, so that a text of 100,000 events does not keep a POST waiting.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from forwarder.core import surrogates
from forwarder.core.errors import NotAnEventError
from forwarder.core.event import Event, MalformedEvent, Source, read_event
from forwarder.core.time import Micros

STEP = 1_000_000
"""Cost of one step, where a byte costs 1 and an element `ELEMENT`: some 2 ms."""

ELEMENT = 2_000

_SURROGATES = 1_000  # escapes, or elements that may hold one, looked at in one step


async def read_events(
    elements: Sequence[bytes | msgspec.Raw],
    *,
    org: str,
    source: Source,
    received_at: Micros,
    envelope_id: str = "",
) -> tuple[list[Event], list[MalformedEvent]]:
    """What the elements are, each in the order received.

    Args:
        elements: of a JSON list.
        org: whose they are.
        source: where they came from.
        received_at: when they came.
        envelope_id: of the POST; empty where there was none.
    """
    events: list[Event] = []
    malformed: list[MalformedEvent] = []
    spent = 0
    for element in elements:
        body = bytes(element)  # a copy: a slice would keep the whole text alive as long as one event
        try:
            events.append(
                read_event(body, org=org, source=source, received_at=received_at, envelope_id=envelope_id)
            )
        except NotAnEventError as error:
            malformed.append(MalformedEvent(org, received_at, envelope_id, str(error), body))
        spent += len(body) + ELEMENT
        if spent > STEP:
            spent = 0
            await asyncio.sleep(0)
    return events, malformed


async def mend(text: bytes) -> bytes | None:
    """`text` with every half of a surrogate pair replaced, each offset as before; None where it has none."""
    mended = bytearray(text)
    found = False
    for number, (at, lone) in enumerate(surrogates.escapes(text)):
        if lone:
            surrogates.replace(mended, at)
            found = True
        if number % _SURROGATES == 0:
            await asyncio.sleep(0)
    return bytes(mended) if found else None


async def originals(
    text: bytes, mended: bytes, elements: Sequence[msgspec.Raw], behind_bracket: int
) -> list[bytes]:
    """The elements of a list as they stand in `text`, once they are read from `mended`.

    msgspec gives the text of a part but not its place, so each is found by its text.

    Args:
        text: as it was received.
        mended: `text` as `mend` gave it.
        elements: all of the list, in order.
        behind_bracket: where the list begins, behind its bracket.
    """
    found = []
    at = behind_bracket
    for number, element in enumerate(elements):
        inner = bytes(element)
        # Only blanks and a comma can stand before it, and no element begins with those.
        at = mended.find(inner, at)
        found.append(text[at : at + len(inner)])
        at += len(inner)
        if number % _SURROGATES == 0:
            await asyncio.sleep(0)
    return found
