r"""Decodes JSON that Okta may send and that msgspec refuses: JSON with lone halves of surrogate pairs.

JSON's grammar allows a lone half of a surrogate pair (such as `\ud800` without the second half), and Java writes such
halves. But msgspec refuses the whole text if it has one, even in a field that msgspec skips. So this module decodes a
copy of the text without lone halves. The forwarder stores the bytes as received.
"""

import re
from collections.abc import Callable, Generator
from typing import TypeVar

import msgspec

T = TypeVar("T")

_MAX_ESCAPES = 10_000  # to examine this many takes 10 ms, for which the event loop may be blocked
SURELY_EXAMINED = _MAX_ESCAPES * len(rb"\ud800")
"""The number of bytes up to which `decode_leniently` always examines every escape of a text. A longer text may have
more than `_MAX_ESCAPES` escapes."""

_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_surrogate = re.compile(_HIGH + _LOW + rb"|(?P<lone>" + _HIGH + rb"|" + _LOW + rb")").match
_to_surrogate = re.compile(rb"(?:[^\\]++|\\(?:[^u]|u[0-9a-ce-fA-CE-F]|u[dD][0-7]))*+", re.DOTALL).match
_WINDOW = 16_384  # bytes that one step searches
_STEPS = 64  # number of steps between two yields
_REPLACEMENT = rb"\ufffd"  # has the length of the escape that it replaces, so that no offset changes


def replace_lone_surrogates(text: bytes, limit: int | None = _MAX_ESCAPES) -> bytes | None:
    """Return the JSON `text` with each lone half of a surrogate pair replaced by U+FFFD; None if `text` has no lone
    half.

    The result has the same length as `text`. Only the first `limit` escapes of surrogates are examined. If `limit` is
    None, all escapes are examined, which takes 1 s for 10 MiB of escapes.
    """
    steps = replace_lone_surrogates_in_steps(text, limit)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        repaired: bytes | None = end.value
        return repaired


def replace_lone_surrogates_in_steps(text: bytes, limit: int | None = None) -> Generator[None, None, bytes | None]:
    """Do what `replace_lone_surrogates` does, as a generator. It yields about every millisecond, so that other tasks
    can run, and returns the result at the end."""
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
    """Decode the JSON `text`, even if it has lone halves of surrogate pairs. `decode` is the method `decode` of a
    msgspec decoder.

    Return the value, and the text from which it was decoded: `text`, or `replace_lone_surrogates(text, limit)` if
    msgspec cannot decode `text`.

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
