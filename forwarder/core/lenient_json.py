r"""Decodes JSON that Okta may send and msgspec refuses: JSON with lone halves of surrogate pairs.

JSON's grammar allows such halves (`\ud800` without its partner), and Java writes them. But msgspec refuses the whole text
for one of them, even in a field that it skips. So a copy without them is decoded; the stored bytes stay as received.
"""

import re
from collections.abc import Callable, Generator
from typing import TypeVar

import msgspec

T = TypeVar("T")

_MAX_ESCAPES = 10_000  # this many take 10 ms, in which the event loop may be held
SURELY_EXAMINED = _MAX_ESCAPES * len(rb"\ud800")
"""A text of at most this many bytes cannot have more escapes than `decode_leniently` examines."""

_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_surrogate = re.compile(_HIGH + _LOW + rb"|(?P<lone>" + _HIGH + rb"|" + _LOW + rb")").match
_to_surrogate = re.compile(rb"(?:[^\\]++|\\(?:[^u]|u[0-9a-ce-fA-CE-F]|u[dD][0-7]))*+", re.DOTALL).match
_WINDOW = 16_384  # bytes that are searched in one step
_STEPS = 64  # between two yields
_REPLACEMENT = rb"\ufffd"  # as long as the escape that it replaces, so that no offset changes


def replace_lone_surrogates(text: bytes, limit: int | None = _MAX_ESCAPES) -> bytes | None:
    """Return the JSON `text` with each lone half of a surrogate pair replaced by U+FFFD. The length stays the same.

    Return None if `text` has no lone half. Only the first `limit` escapes of surrogates are examined. If `limit` is
    None, all are examined, which takes 1 s for 10 MiB of such escapes.
    """
    steps = replace_lone_surrogates_in_steps(text, limit)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        repaired: bytes | None = end.value
        return repaired


def replace_lone_surrogates_in_steps(text: bytes, limit: int | None = None) -> Generator[None, None, bytes | None]:
    """Do the same as `replace_lone_surrogates`, in a generator that yields about every millisecond."""
    repaired: bytearray | None = None
    at = examined = steps = 0
    while at < len(text) and examined != limit:
        if not (steps := (steps + 1) % _STEPS):
            yield
        if (plain := _to_surrogate(text, at, at + _WINDOW)) and plain.end() > at:
            at = plain.end()
        elif escape := _surrogate(text, at):
            examined += 1
            if escape["lone"]:
                repaired = bytearray(text) if repaired is None else repaired
                repaired[at : escape.end()] = _REPLACEMENT
            at = escape.end()
        else:
            at += 2  # a broken escape
    return None if repaired is None else bytes(repaired)


def decode_leniently(decode: Callable[[bytes], T], text: bytes, limit: int | None = _MAX_ESCAPES) -> tuple[T, bytes]:
    """Decode the JSON `text`, even if it has lone halves of surrogate pairs. `decode` is the method of a msgspec
    decoder.

    Return (value, decoded text). The decoded text is `text`, or `replace_lone_surrogates(text, limit)` if `text` cannot
    be decoded.

    Raises:
        msgspec.MsgspecError: `decode` does not accept the text.
        RecursionError: the JSON is nested too deeply.
    """
    try:
        return decode(text), text
    except msgspec.MsgspecError:
        repaired = replace_lone_surrogates(text, limit)
        if repaired is None:
            raise
    return decode(repaired), repaired
