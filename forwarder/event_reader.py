"""Reads the events of a JSON list from a POST of Okta or from a page of the System Log.

An element that cannot be read becomes a malformed event. The other elements still become events.
"""

from collections.abc import Sequence

import msgspec

from forwarder.core.errors import NotAnEventError
from forwarder.core.event import Event, MalformedEvent, Source, read_event
from forwarder.core.lenient_json import AT_ONCE, replace_lone_surrogates_in_steps
from forwarder.core.time import Micros
from forwarder.event_loop_steps import Cooperative, run_in_steps
from forwarder.json_scanner import check_end, scan_list

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

# A larger text is split piece by piece (`json_scanner.py`), so that the event loop is not held for long.
_SPLIT_AT_ONCE = 1024 * 1024  # bytes
_MAX_COMMAS = 100_000
"""The maximum number of commas in a text that is parsed at once. A text of at most 1 MiB with at most this many commas
takes 3 ms if its elements are events, and 7 ms if each element has one byte."""

# A text with far more elements than there could be events is rejected. Otherwise it would become millions of dead
# letters.
_SMALLEST_EVENT = 60  # bytes
_ALWAYS_ALLOWED = 1_000  # elements


def can_be_split_at_once(text: bytes) -> bool:
    """Whether msgspec would split `text` without holding the event loop for long."""
    if len(text) <= _MAX_COMMAS:
        return True
    return len(text) <= _SPLIT_AT_ONCE and text.count(b",") <= _MAX_COMMAS


def most_elements(text: bytes) -> int:
    """Return the maximum number of elements that a list as long as `text` may have; with more, most could not be
    events."""
    return _ALWAYS_ALLOWED + len(text) // _SMALLEST_EVENT


async def split_list(text: bytes) -> Sequence[bytes | msgspec.Raw]:
    """Split a JSON list into its elements, which are not parsed. Each element is a part of `text`, byte for byte.

    Raises:
        JsonStructureError: `text` is not a JSON list, or most of its elements are too short to be events.
    """
    if can_be_split_at_once(text):
        try:
            split = _decode_list(text)
        except (msgspec.MsgspecError, RecursionError):
            pass  # the list or one of its elements is invalid; only the scanner finds out which
        else:
            if len(split) <= most_elements(text):
                return split
    elements: list[bytes | msgspec.Raw] = []
    end = await run_in_steps(scan_list(text, 0, elements, most_elements(text)))
    check_end(text, end)
    return elements


async def read_events(
    elements: Sequence[bytes | msgspec.Raw], *, org: str, source: Source, received_at: Micros, envelope_id: str = ""
) -> tuple[list[Event], list[MalformedEvent]]:
    """Parse each element. Return the events and the malformed events, both in the order of `elements`."""
    events: list[Event] = []
    malformed: list[MalformedEvent] = []
    cooperative = Cooperative()
    for element in elements:
        body = bytes(element)  # a copy: a slice would keep the whole text in memory as long as the event
        repaired = None
        if len(body) > AT_ONCE:
            repaired = await run_in_steps(replace_lone_surrogates_in_steps(body))
        try:
            event = read_event(
                body, org=org, source=source, received_at=received_at, envelope_id=envelope_id, repaired=repaired
            )
            events.append(event)
        except NotAnEventError as error:
            malformed.append(MalformedEvent(org, received_at, envelope_id, str(error), body))
        await cooperative.yield_if_due()
    return events, malformed


def describe_malformed(malformed: Sequence[MalformedEvent]) -> dict[str, object]:
    """Return the fields of a log line about `malformed`, which must not be empty."""
    return {
        "elements": len(malformed),
        "reason": malformed[0].detail,
        "hint": "see forwarder dead-letters list --sink receiver",
    }
