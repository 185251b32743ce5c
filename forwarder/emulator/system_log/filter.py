"""`filter` of the System Log: Okta's part of SCIM, as a function over events.

eventType eq "user.session.start" and (outcome.result ne "SUCCESS" or not actor.id pr)
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from forwarder.emulator.http.errors import OktaApiError

Test = Callable[[Any], bool]
"""Whether a decoded event is wanted."""

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([()])|([^\s()"]+))')
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_MOST_TOKENS = 500  # far beyond Okta's own limit of a URL, and no danger to the stack
_NOT_BY_CO = {"debugContext.debugData.url", "debugContext.debugData.requestUri"}
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda has, wanted: has == wanted,
    "ne": lambda has, wanted: has != wanted,
    "co": lambda has, wanted: wanted in has,
    "sw": lambda has, wanted: has.startswith(wanted),
    "ew": lambda has, wanted: has.endswith(wanted),
    "gt": lambda has, wanted: has > wanted,
    "ge": lambda has, wanted: has >= wanted,
    "lt": lambda has, wanted: has < wanted,
    "le": lambda has, wanted: has <= wanted,
}


def read_filter(text: str) -> Test:
    """The test that `text` describes.

    Raises:
        OktaApiError: it describes none that Okta takes.
    """
    reader = _Reader(text)
    test = reader.either()
    reader.end()
    return test


class _Reader:
    """Reads a filter by descent: `or` binds less than `and`, and `and` less than `not`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())[::-1]
        if len(self._tokens) > _MOST_TOKENS:
            raise self._wrong("too long")

    def either(self) -> Test:
        tests = [self._both()]
        while self._took("or"):
            tests.append(self._both())
        return lambda event: any(test(event) for test in tests)

    def end(self) -> None:
        if self._tokens:
            raise self._wrong(f"Unexpected '{self._tokens[-1]}'")

    def _both(self) -> Test:
        tests = [self._one()]
        while self._took("and"):
            tests.append(self._one())
        return lambda event: all(test(event) for test in tests)

    def _one(self) -> Test:
        if self._took("not"):
            test = self._one()
            return lambda event: not test(event)
        if self._took("("):
            test = self.either()
            if not self._took(")"):
                raise self._wrong("Expected: )")
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        field, operator = self._next(), self._next().lower()
        if not _FIELD.fullmatch(field) or field == "published":
            raise OktaApiError(400, "E0000053", f"field is not valid: {field}")
        path = field.split(".")
        if operator == "pr":
            return lambda event: any(value is not None for value in _values(event, path))
        if operator not in _COMPARE:
            expected = ",".join([*_COMPARE, "pr"])
            raise self._wrong(f"Unrecognized attribute operator '{operator}'. Expected: {expected}")
        if operator == "co" and field in _NOT_BY_CO:
            told = "The supplied combination of operator and field is not currently supported."
            raise OktaApiError(400, "E0000031", f"{told} Operator: {operator}, Field: {field}")
        return self._compared(path, operator, self._next())

    def _compared(self, path: list[str], operator: str, wanted: str) -> Test:
        compare = _COMPARE[operator]
        if wanted[:1] == '"':
            wanted = re.sub(r"\\(.)", r"\1", wanted[1:-1])
        elif not re.fullmatch(r"true|false|null|-?\d+(\.\d+)?", wanted):
            raise self._wrong(f"Expected a value in quotes instead of '{wanted}'")
        if operator == "ne":  # of no value at all, as opposed to some value that is another
            return lambda event: all(compare(_text(value), wanted) for value in _values(event, path))
        return lambda event: any(compare(_text(value), wanted) for value in _values(event, path))

    def _split(self) -> Iterator[str]:
        place = 0
        while self._text[place:].strip():
            token = _TOKEN.match(self._text, place)
            if token is None:
                raise self._wrong(f"Unexpected character at position {place}")
            yield token[0].strip()
            place = token.end()

    def _took(self, word: str) -> bool:
        found = bool(self._tokens) and self._tokens[-1].lower() == word
        if found:
            self._tokens.pop()
        return found

    def _next(self) -> str:
        if not self._tokens:
            raise self._wrong("it ends too early")
        return self._tokens.pop()

    def _wrong(self, why: str) -> OktaApiError:
        return OktaApiError(400, "E0000053", f"Invalid filter '{self._text}': {why}")


def _values(value: Any, path: list[str]) -> list[Any]:
    """What `path` leads to; of a list, in each of its elements."""
    if isinstance(value, list):
        return [found for item in value for found in _values(item, path)]
    if not path:
        return [value]
    return _values(value.get(path[0]), path[1:]) if isinstance(value, dict) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
