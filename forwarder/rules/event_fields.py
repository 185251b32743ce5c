"""Reads fields of a decoded Okta event as rules see them: by a path with dots, through arrays, top-level keys in any case.

What one rule has read, the next one finds: a `Reading` remembers it for one event.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from forwarder.rules.regex import encoded

Event = Mapping[str, object]
"""A decoded LogEvent of Okta, and what was derived from it below `forwarder`."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class Reading(dict["Reader", Any]):
    """The fields of one event. Looking up a reader reads its field once."""

    __slots__ = ("root",)

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.root: dict[str, Any] = {name.lower(): value for name, value in event.items()}

    def __missing__(self, reader: "Reader") -> Any:
        found = self[reader] = reader.read(self)
        return found


class Reader:
    """Reads something of an event. Compared by identity, so that it is fast as a key of a `Reading`."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[Reading], Any]) -> None:
        self.read = read


def text_of(value: object) -> str:
    """Return a value as the text that it is compared as: `true` for a boolean, JSON for an object."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value).lower()
    return msgspec.json.encode(value).decode()


@lru_cache(maxsize=10_000)
def values(field: str) -> Reader:
    """Read the values at a path, in each element of a list. Nulls are among them; a missing field has none."""
    path = _path(field)
    first, rest = path[0], path[1:]

    def read(reading: Reading) -> tuple[Any, ...]:
        value = reading.root.get(first)  # the path of most fields leads through objects only
        for part in rest:
            if type(value) is not dict or part not in value:
                return tuple(_flat(_found(reading.root, path)))
            value = value[part]
        if value is None or type(value) is list:
            return tuple(_flat(_found(reading.root, path)))
        return (value,)

    return Reader(read)


@lru_cache(maxsize=10_000)
def presence(field: str) -> Reader:
    """Tell whether a field is there, whatever its value: null and an empty list are values."""
    path = _path(field)
    return Reader(lambda reading: bool(_found(reading.root, path)))


def _path(field: str) -> tuple[str, ...]:
    first, *rest = field.split(".")
    return first.lower(), *rest


def _found(value: Any, path: Sequence[str]) -> list[Any]:
    """Return what is at a path, which may name an element of a list by its index, as in `target.0.displayName`."""
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
    """Replace lists by their elements, at any depth and in order."""
    while any(type(item) is list for item in found):
        found = [each for item in found for each in (item if type(item) is list else (item,))]
    return found


@lru_cache(maxsize=10_000)
def texts(field: str) -> Reader:
    """Read the values of a field as texts, without nulls and objects."""
    found = values(field)
    return Reader(lambda reading: tuple([text_of(value) for value in reading[found] if _is_scalar(value)]))


@lru_cache(maxsize=10_000)
def lower_texts(field: str) -> Reader:
    """Read the values of a field as texts in lower case."""
    found = texts(field)
    return Reader(lambda reading: tuple([text.lower() for text in reading[found]]))


@lru_cache(maxsize=10_000)
def encoded_texts(field: str) -> Reader:
    """Read the values of a field as texts in UTF-8, for regular expressions."""
    found = texts(field)
    return Reader(lambda reading: tuple([encoded(text) for text in reading[found]]))


@lru_cache(maxsize=10_000)
def numbers(field: str) -> Reader:
    """Read the values of a field that are numbers, or texts of a number."""
    found = values(field)
    return Reader(lambda reading: tuple([number for value in reading[found] for number in _numbers(value)]))


@lru_cache(maxsize=10_000)
def addresses(field: str) -> Reader:
    """Read the values of a field that are IP addresses."""
    found = texts(field)
    return Reader(lambda reading: tuple([each for text in reading[found] for each in _addresses(text)]))


def _is_scalar(value: Any) -> bool:
    return value is not None and type(value) is not dict


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, str) and len(value) < 100 and _NUMBER.fullmatch(value.strip()):
        yield float(value)


def _addresses(text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return
    yield getattr(address, "ipv4_mapped", None) or address


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


ALL_TEXTS = Reader(lambda reading: tuple(_words(reading.root)))
"""Every value of the event as text, for keywords."""

ALL_ENCODED_TEXTS = Reader(lambda reading: tuple([encoded(text) for text in reading[ALL_TEXTS]]))
ALL_LOWER_TEXTS = Reader(lambda reading: tuple([text.lower() for text in reading[ALL_TEXTS]]))


def field(event: Event, path: str) -> tuple[str, ...]:
    """Return the values of a field as texts: none if it is missing or null, several through a list."""
    found: tuple[str, ...] = Reading(event)[texts(path)]
    return found
