"""Finds the elements of a JSON list in short steps, even if some of the elements are not valid JSON.

A JSON parser refuses a whole text because of one invalid part: a number such as NaN, a control character, or too many
levels. So the parser splits the list piece by piece. Where it refuses a piece, a scanner splits the text. The scanner
looks only at brackets, commas and strings, so an invalid element does not affect the others. Neither the parser nor the
scanner validates an element; `event_reader.py` does that.

The functions that scan are generators. They yield after each short step (see `event_loop_steps.run_in_steps`), and
return a position in the text.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence

import msgspec

from forwarder.core.errors import JsonStructureError

Scan = Generator[None, None, int]
Scanner = Callable[[bytes, int], Scan]
"""Takes a text and a position in the text."""

_WINDOW = 65_536
"""The maximum number of bytes that the scanner reads in one step, which takes 0.2 ms."""

_STEPS = 8
"""The number of steps between two yields."""

_PIECE = 131_072
"""The maximum number of bytes that the parser splits in one step. This takes 0.2 ms, or 4 ms if each element has three
bytes."""

_TRIES = 3
"""The number of places that the parser tries as the end of a piece. Each place is between two objects, which may be two
elements, or parts of one element."""

_LONGEST_KEY = 256
"""The maximum number of bytes of a key in which escapes are decoded. The keys that the scanner looks for have fewer than
10 characters, and an escape has 6 bytes."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode

# If the end of a string is missing, the string seems to end at the first quote of the next element. It then ends with
# `,{"`, and no delimiter follows. The pattern does not match such a string.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_WHOLE_STRING = _STRING + rb'(?!(?:(?<=,\{")|(?<=, \{"))[^,:}\]\s])'
_PLAIN = rb'[^"{}\[\]]++|' + _WHOLE_STRING

# An object or a list without inner objects or lists is skipped in one step. Inside an object, this is done only for a
# value.
_LIST = rb"\[(?:" + _PLAIN + rb")*+\]"
_OBJECT = rb"\{(?:" + _PLAIN + rb")*+\}"
_VALUE = rb"(?:(?<=:)|(?<=: ))" + _OBJECT

_string = re.compile(_WHOLE_STRING, re.DOTALL).match
_string_with_brace = re.compile(_STRING + rb'(?<=\{")', re.DOTALL).match
_string_part = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL).match
_outside = re.compile(rb'(?:[^"{}\[\],]++|' + _WHOLE_STRING + rb")*+", re.DOTALL).match
_in_object = re.compile(rb"(?:" + rb"|".join([_PLAIN, _LIST, _VALUE]) + rb")*+", re.DOTALL).match
_in_list = re.compile(rb"(?:" + rb"|".join([_PLAIN, _LIST, _OBJECT]) + rb")*+", re.DOTALL).match
_brackets = re.compile(rb"\{|\[{1,999}|\}{1,999}|\]{1,999}").match
_key = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:", re.DOTALL).match
_list_end = re.compile(rb"[ \t\r\n]*+\]", re.DOTALL).match
_object_end = re.compile(rb"[ \t\r\n]*+\}", re.DOTALL).match
_blanks = re.compile(rb"[ \t\r\n]*+", re.DOTALL).match

_BLANK = b" \t\r\n"
_MATCHERS = {b"": _outside, b"}": _in_object, b"]": _in_list}
_CLOSING = {b"{": b"}", b"[": b"]"}
_LOOK_BACK = 64


def scan_list(text: bytes, at: int, elements: list[bytes | msgspec.Raw], most: int) -> Scan:
    """Append the elements of the list at position `at` to `elements`, byte for byte. Return the position after the list.

    Raises:
        JsonStructureError: no list begins at `at`, the list does not end, it has nothing between two commas, or
            `elements` then has more than `most` entries.
    """
    at = _skip(text, at, b"[")
    if empty := _list_end(text, at):
        return empty.end()
    refused = 0  # the end of the piece that the parser refused
    while True:
        if at >= refused:
            while (end := _split_piece(text, at, elements)) > at:
                _check_number(elements, most)
                at = end
                yield
            refused = at + _PIECE
        end = yield from scan_value(text, at, b"]")
        element = text[at:end].strip(_BLANK)
        if not element:
            raise JsonStructureError(f"an element is missing (byte {end})")
        elements.append(element)
        _check_number(elements, most)
        at = end + 1
        if text[end] == b"]"[0]:
            return at
        if not len(elements) % _STEPS:
            yield


def _split_piece(text: bytes, at: int, elements: list[bytes | msgspec.Raw]) -> int:
    """Let the JSON parser split a piece of the text, and append the elements of the piece to `elements`.

    The parser is ten times as fast as the scanner. A piece starts at position `at`, where an element begins. The piece
    is put in brackets and parsed. If the result is a valid JSON list, the piece ends at the end of an element. Else a
    shorter piece is tried. Return the position of the next element; `at` if the parser refused every piece.
    """
    end = at + _PIECE
    for _ in range(_TRIES):
        end = max(text.rfind(b"},{", at, end), text.rfind(b"}, {", at, end))
        if end < 0:
            break
        try:
            elements += _decode_list(b"[" + text[at : end + 1] + b"]")
        except (msgspec.MsgspecError, RecursionError):
            continue
        return end + 2
    return at


def _check_number(elements: Sequence[object], most: int) -> None:
    if len(elements) > most:
        raise JsonStructureError("most elements are too short to be events")


def scan_object(text: bytes, at: int, scanners: Mapping[bytes, Scanner]) -> Scan:
    """Scan the object at position `at`. Return the position after the object.

    `scanners` has, for some keys, the function that scans the value of the key. These keys include their quotes.

    Raises:
        JsonStructureError: no object begins at `at`, or the object does not end.
    """
    at = _skip(text, at, b"{")
    if empty := _object_end(text, at):
        return empty.end()
    while key := _key(text, at):
        scan = scanners.get(_plain_key(key[1]))
        end = yield from scan(text, key.end()) if scan else scan_value(text, key.end(), b"}")
        if closing := _object_end(text, end):
            return closing.end()
        at = _skip(text, end, b",")
    raise JsonStructureError(f"expected a key (byte {at})")


def _plain_key(key: bytes) -> bytes:
    """Return `key`, a key with its quotes. If the key is short, decode its escapes."""
    if b"\\" not in key or len(key) > _LONGEST_KEY:
        return key
    try:
        return b'"' + _decode_text(key).encode() + b'"'
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return key


def check_end(text: bytes, at: int) -> None:
    """Raise JsonStructureError if the text has anything but white space from position `at` on."""
    if (end := _blanks(text, at)) and end.end() < len(text):
        raise JsonStructureError(f"there is text after the end (byte {at})")


def scan_value(text: bytes, at: int, closing: bytes) -> Scan:
    """Return the end of the value at position `at`: the position of the comma or bracket that follows the value.

    `closing` is the bracket that ends the list or object around the value. If the end of the value is missing, the
    value ends where the next value seems to begin.

    Raises:
        JsonStructureError: the text has no end of the value.
    """
    start = at
    awaited = bytearray()  # for each open bracket, the bracket that closes it; the innermost is last
    steps = 0
    while at < len(text):
        if not (steps := (steps + 1) % _STEPS):
            yield
        if match := _MATCHERS[bytes(awaited[-1:])](text, at, at + _WINDOW):
            at = match.end()
        character = text[at : at + 1]
        if character == b'"':
            at, ends = yield from _scan_string(text, at, closing)
            if ends:
                return at
        elif character == b"{" and awaited[-1:] == b"}" and (comma := _comma_before(text, at)) is not None:
            return comma  # inside an object, only a key can follow a comma
        elif nested := _nest(text, at, awaited):
            at += nested
        elif _ends(character, awaited, closing):
            return at
        elif character in b",}]":
            at += 1
    return _last(closing, text, start)


def _scan_string(text: bytes, at: int, closing: bytes) -> Generator[None, None, tuple[int, bool]]:
    """Return (position, whether the value ends there) for the string at position `at`.

    If the string is complete, the position is after the string, and the value that contains the string goes on. If the
    end of the string is missing, the position is the end of the value: the comma before the next value, or the last
    bracket `closing` in the text.
    """
    if string := _string(text, at, at + _WINDOW):
        return string.end(), False
    if string := _string_with_brace(text, at, at + _WINDOW):
        return text.rindex(b",", at, string.end()), True
    end = at + 1
    while (part := _string_part(text, end, end + _WINDOW)) and part.end() > end:
        end = part.end()
        yield
    return (end + 1, False) if text.startswith(b'"', end) else (_last(closing, text, at), True)


def _nest(text: bytes, at: int, awaited: bytearray) -> int:
    """Update `awaited`, the closing brackets that are still missing, for the run of equal brackets at position `at`.

    Each opening bracket adds its closing bracket to the end of `awaited`; each closing bracket removes the last entry.

    Return the number of brackets in the run; 0 if there is no bracket at `at`, or if the closing brackets do not match
    the end of `awaited`.
    """
    run = _brackets(text, at)
    brackets = run[0] if run else b""
    if closing := _CLOSING.get(brackets[:1]):
        awaited += closing * len(brackets)
    elif awaited.endswith(brackets):
        del awaited[len(awaited) - len(brackets) :]
    else:
        return 0
    return len(brackets)


def _ends(character: bytes, awaited: bytearray, closing: bytes) -> bool:
    """Whether `character` ends the value.

    `awaited` has the closing brackets that are still missing, the innermost last. If `character` is a closing
    bracket, remove it and all entries after it from `awaited`; if it is not in `awaited`, remove all entries.
    """
    if not awaited:
        return character in (b",", closing)
    if character in (b"}", b"]"):
        while awaited:
            if awaited.pop() == character[0]:
                return False
        return character == closing  # it closes the list or object around the value
    return False


def _comma_before(text: bytes, at: int) -> int | None:
    """Return the position of the comma before `at`; None if there is anything but white space between the comma and
    `at`."""
    begin = max(at - _LOOK_BACK, 0)
    before = text[begin:at].rstrip(_BLANK)
    return begin + len(before) - 1 if before.endswith(b",") else None


def _last(closing: bytes, text: bytes, start: int) -> int:
    """Return the position of the last bracket `closing` from position `start` on.

    Raises:
        JsonStructureError: there is no such bracket, or only white space follows it, so that the text may be truncated.
    """
    end = text.rfind(closing, start)
    if end < 0 or not text[end + 1 :].strip(_BLANK):
        raise JsonStructureError("the text ends too early")
    return end


def _skip(text: bytes, at: int, character: bytes) -> int:
    """Return the position after `character`, which must be at `at`. White space may be before it.

    Raises:
        JsonStructureError: `character` is not at `at`.
    """
    blanks = _blanks(text, at)
    at = blanks.end() if blanks else at
    if not text.startswith(character, at):
        raise JsonStructureError(f"expected `{character.decode()}` (byte {at})")
    return at + 1
