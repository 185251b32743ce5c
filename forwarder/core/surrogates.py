r"""JSON text with lone halves of surrogate pairs: `\ud800` without its partner.

JSON's grammar allows them and Java writes them, but msgspec refuses the whole text for one of them, even in a
field that it skips. So a copy without them is decoded; what is stored stays as received.
"""

import re
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

import msgspec

T = TypeVar("T")

_MAX_ESCAPES = 10_000  # those that may be examined on the event loop: 5 ms
_ESCAPE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>[89a-fA-F][0-9a-fA-F]{2}))"
)
_REPLACEMENT = rb"\ufffd"  # as long as what it replaces, so that every offset stays


def replace_lone_surrogates(text: bytes, limit: int | None = _MAX_ESCAPES) -> bytes | None:
    """Return JSON `text` with each lone half replaced by U+FFFD, at the same length; None if it has none.

    Only the first `limit` escapes of surrogates are examined. None examines all: 1 s for 10 MiB of nothing else.
    """
    repaired: bytearray | None = None
    searchable = text.replace(rb"\\", b"__")  # an escaped backslash before `ud800` makes it plain letters
    for match in islice(_ESCAPE.finditer(searchable), limit):
        if match["lone"]:
            repaired = bytearray(text) if repaired is None else repaired
            repaired[match.start() : match.end()] = _REPLACEMENT
    return None if repaired is None else bytes(repaired)


def decode_leniently(
    decode: Callable[[bytes], T], text: bytes, limit: int | None = _MAX_ESCAPES
) -> tuple[T, bytes]:
    """Decode JSON that may hold lone halves, by the `decode` of a msgspec decoder. Return the value, and the text
    that it was read from: `text` itself, or a repaired copy of the same length.

    Raises:
        msgspec.MsgspecError: `text` is not what `decode` expects.
        RecursionError: it is nested too deeply.
    """
    try:
        return decode(text), text
    except msgspec.MsgspecError:
        repaired = replace_lone_surrogates(text, limit)
        if repaired is None:
            raise
    return decode(repaired), repaired
