r"""Halves of surrogate pairs in JSON text: `\ud800` with no partner.

JSON's grammar allows the escape, Java writes it, and msgspec refuses the whole text for one of them, even in a
field that it only skips. Here they are mended for reading; what is stored stays as it was received.
"""

import re
from collections.abc import Iterator

_ESCAPE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})|[89a-fA-F][0-9a-fA-F]{2})"
)
_WIDTH = 6  # of one escape
REPLACEMENT = rb"\ufffd"
"""What a lone half becomes; as long as what it replaces, so that every offset stays."""


def escapes(text: bytes | bytearray) -> Iterator[tuple[int, bool]]:
    """Every escape of a surrogate in `text`, in order: where it begins, and whether it is a lone half.

    Yields for each, so that a caller on the event loop can pause wherever it likes.
    """
    at = 0
    while match := _ESCAPE.search(text, at):
        start = match.start()
        if _is_escaped(text, start):
            at = start + 1  # two backslashes and then letters: no escape at all
            yield start, False
        else:
            at = match.end()
            yield start, match[1] is None


def _is_escaped(text: bytes | bytearray, at: int) -> bool:
    """Whether an odd number of backslashes stands before `at`."""
    first = at
    while first and text[first - 1] == ord("\\"):
        first -= 1
    return (at - first) % 2 == 1


def replace(text: bytearray, at: int) -> None:
    """Replace the lone half that begins at `at`."""
    text[at : at + _WIDTH] = REPLACEMENT


def mend(text: bytes, most: int) -> bytes | None:
    """`text` of the same length with each lone half replaced, or None where there is none.

    Args:
        text: JSON.
        most: how many escapes of surrogates to look at; what lies beyond is left as it is, so that hostile text
            cannot hold the event loop.
    """
    mended: bytearray | None = None
    for number, (at, lone) in enumerate(escapes(text)):
        if number == most:
            break
        if lone:
            mended = bytearray(text) if mended is None else mended
            replace(mended, at)
    return None if mended is None else bytes(mended)
