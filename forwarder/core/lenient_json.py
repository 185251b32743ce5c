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

AT_ONCE = 65_536
"""The largest number of bytes of a text that `decode_leniently` may repair on the event loop, which takes 1 ms."""

_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_replace_lone = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!"
    + _LOW
    + rb")|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
).sub
_rest_of_escape = re.compile(rb"\\*+(?:u[0-9a-fA-F]{4})?(?:" + _LOW + rb")?").match
_ESCAPE = 6  # bytes of an escape such as `\ud800`
_REPLACEMENT = rb"\\ufffd"  # a template of `sub`; its result has the length of an escape, so that no offset changes
_HIDDEN = b"\xff\xff"
"""Stands for an escaped backslash while a text is searched, so that each backslash that is left begins an escape. A text
with such a byte is not UTF-8, and so not JSON."""


def replace_lone_surrogates(text: bytes) -> bytes | None:
    """Return the JSON `text` with each lone half of a surrogate pair replaced by U+FFFD; None if `text` has no lone
    half, or is not UTF-8.

    The result has the same length as `text`. To repair 10 MiB of lone halves takes 0.2 s.
    """
    steps = replace_lone_surrogates_in_steps(text)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        repaired: bytes | None = end.value
        return repaired


def replace_lone_surrogates_in_steps(text: bytes) -> Generator[None, None, bytes | None]:
    """Do what `replace_lone_surrogates` does, as a generator. It yields after each `AT_ONCE` bytes, so that other tasks
    can run, and returns the result at the end."""
    if _HIDDEN[:1] in text:
        return None
    repaired = bytearray()
    at = 0
    while at < len(text):
        end = _end_of_escape(text, at + AT_ONCE)
        piece = text[at:end].replace(rb"\\", _HIDDEN)
        repaired += _replace_lone(_REPLACEMENT, piece).replace(_HIDDEN, rb"\\")
        at = end
        yield
    return None if repaired == text else bytes(repaired)


def _end_of_escape(text: bytes, at: int) -> int:
    """Return the first position from `at` on that is neither inside a run of backslashes, nor inside an escape, nor
    between the halves of a surrogate pair."""
    begin = text.rfind(b"\\", at - _ESCAPE, at)
    rest = _rest_of_escape(text, at if begin < 0 else begin)
    return max(at, rest.end()) if rest else at


def decode_leniently(decode: Callable[[bytes], T], text: bytes) -> tuple[T, bytes]:
    """Decode the JSON `text`, even if it has lone halves of surrogate pairs. `decode` is the method `decode` of a
    msgspec decoder.

    Return the value, and the text from which it was decoded: `text`, or `replace_lone_surrogates(text)` if
    msgspec cannot decode `text`.

    Raises:
        msgspec.MsgspecError: `decode` does not accept the text.
        RecursionError: the JSON is nested too deeply.
    """
    try:
        return decode(text), text
    except msgspec.MsgspecError:
        repaired = replace_lone_surrogates(text)
        if repaired is None:
            raise
    return decode(repaired), repaired
