"""Reads the fields of a decoded Okta event for rules.

A field is a path of keys with dots between them. The path may lead through arrays, and its first key may be in upper or
lower case. A `Reading` caches the fields of one event, so that each field is read once for all rules.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import msgspec

from forwarder.rules.conditions.patterns import encoded

Event = Mapping[str, object]
"""A decoded LogEvent of Okta. Its key `forwarder` contains the derived fields."""

_IPV4_MAPPED = bytes(10) + b"\xff\xff"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class Reading(dict["FieldReader", Any]):
    """A cache of the fields of one event. The keys are FieldReaders. The first look-up with a FieldReader reads the field
    from the event; later look-ups use the cache."""

    __slots__ = ("root",)

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.root: dict[str, Any] = {name.lower(): value for name, value in event.items()}

    def __missing__(self, reader: "FieldReader") -> Any:
        found = self[reader] = reader.read(self)
        return found


class FieldReader:
    """Reads one field of an event in one form, such as lower case. Readers are compared by identity, so that they are
    fast as keys of a `Reading`."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[Reading], Any]) -> None:
        self.read = read


def text_of(value: object) -> str:
    """Return the text that stands for `value` in comparisons.

    The text of a boolean is `true` or `false`. The text of an object is its JSON; if the object cannot be written as
    JSON, the text is empty.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value).lower()
    try:
        return msgspec.json.encode(value).decode()
    except (RecursionError, UnicodeEncodeError):
        return ""


@lru_cache(maxsize=10_000)
def _walk(field: str) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return a function that finds the values at the path `field`, nulls included. If the path leads through an array,
    the function looks at each element."""
    first, *rest = _path(field)
    steps = list(enumerate(rest, 1))

    def walk(root: dict[str, Any]) -> tuple[Any, ...]:
        value = root.get(first)
        for place, part in steps:
            if isinstance(value, dict):
                if part not in value:
                    return ()
                value = value[part]
            elif type(value) is not list:
                return ()
            elif place < len(rest) or part.isdecimal():
                return tuple(_flat(_found(value, rest[place - 1 :])))
            else:  # the last key of a path through an array, as in target.displayName
                return tuple(_flat([item[part] for item in _flat(value) if isinstance(item, dict) and part in item]))
        if type(value) is list:
            return tuple(_flat(value))
        return (value,) if value is not None or steps or first in root else ()

    return walk


@lru_cache(maxsize=10_000)
def values(field: str) -> FieldReader:
    """Return a reader of the values at the path `field`, nulls included. If the field is missing, the reader returns an
    empty tuple."""
    walk = _walk(field)
    return FieldReader(lambda reading: walk(reading.root))


@lru_cache(maxsize=10_000)
def presence(field: str) -> FieldReader:
    """Return a reader that finds out whether `field` exists. A field exists even if its value is null or an empty
    list."""
    path = _path(field)
    return FieldReader(lambda reading: bool(_found(reading.root, path)))


def _path(field: str) -> tuple[str, ...]:
    first, *rest = field.split(".")
    return first.lower(), *rest


def _found(value: Any, path: Sequence[str]) -> list[Any]:
    """Return the values at `path` inside `value`. A number in the path is an index of an array, as in
    `target.0.displayName`."""
    found = [value]
    for part in path:
        if part.isdecimal():
            found = [each for item in found for each in _element(item, part)]
        else:
            found = [item[part] for item in _flat(found) if isinstance(item, dict) and part in item]
    return found


def _element(value: Any, part: str) -> list[Any]:
    if isinstance(value, list):
        return [value[int(part)]] if len(part) < 10 and int(part) < len(value) else []
    return [value[part]] if isinstance(value, dict) and part in value else []


def _flat(found: list[Any]) -> list[Any]:
    """Replace each list in `found` by its elements, at any depth and in order."""
    while list in map(type, found):
        found = [each for item in found for each in (item if type(item) is list else (item,))]
    return found


@lru_cache(maxsize=10_000)
def texts(field: str) -> FieldReader:
    """Return a reader of the values of a field as texts, without nulls and objects."""
    walk = _walk(field)

    def read(reading: Reading) -> tuple[str, ...]:
        found = walk(reading.root)
        if len(found) == 1 and type(found[0]) is str:  # as in most fields
            return found
        return tuple([text_of(value) for value in found if _is_scalar(value)])

    return FieldReader(read)


@lru_cache(maxsize=10_000)
def lower_texts(field: str) -> FieldReader:
    """Return a reader of the values of a field as texts in lower case, without nulls and objects."""
    walk = _walk(field)

    def read(reading: Reading) -> tuple[str, ...]:
        found = walk(reading.root)
        if len(found) == 1 and type(found[0]) is str:
            return (found[0].lower(),)
        return tuple([text_of(value).lower() for value in found if _is_scalar(value)])

    return FieldReader(read)


@lru_cache(maxsize=10_000)
def encoded_texts(field: str) -> FieldReader:
    """Return a reader of the values of a field as texts in UTF-8, for regular expressions."""
    found = texts(field)
    return FieldReader(lambda reading: tuple([encoded(text) for text in reading[found]]))


@lru_cache(maxsize=10_000)
def numbers(field: str) -> FieldReader:
    """Return a reader of the numeric values of a field: numbers, and texts that contain a number."""
    found = values(field)
    return FieldReader(lambda reading: tuple([each for each in map(number_of, reading[found]) if each is not None]))


@lru_cache(maxsize=10_000)
def addresses(field: str) -> FieldReader:
    """Return a reader of the values of a field that are IP addresses, as bytes. An IPv4 address in IPv6 form becomes
    IPv4."""
    found = texts(field)
    return FieldReader(lambda reading: tuple([each for text in reading[found] for each in _addresses(text)]))


def _is_scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, dict)


def number_of(value: object) -> float | None:
    """Return `value` as a number if it is a number or the text of a number, else None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) < 100 and _NUMBER.fullmatch(text := value.strip()):
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    return None


def _addresses(text: str) -> Iterator[bytes]:
    try:
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text.strip())  # a tenth of ipaddress's time
    except (OSError, ValueError):
        return
    yield packed.removeprefix(_IPV4_MAPPED) if len(packed) == 16 else packed


def _words(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif each is not None:
            yield text_of(each)


ALL_TEXTS = FieldReader(lambda reading: tuple(_words(reading.root)))
"""Reads every value of the event as text, for keywords."""

ALL_ENCODED_TEXTS = FieldReader(lambda reading: tuple([encoded(text) for text in reading[ALL_TEXTS]]))
ALL_LOWER_TEXTS = FieldReader(lambda reading: tuple([text.lower() for text in reading[ALL_TEXTS]]))
