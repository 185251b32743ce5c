"""The query of `GET /api/v1/logs`.

| | polling | bounded |
|---|---|---|
| when | no `until`, ascending | `until`, or descending |
| order | by the time of storage | by `published` |
| pages | always have a `next` link | have a `next` link while the log has more entries |

The parameter `filter` is evaluated on events with the code that evaluates the filters of rules. Okta's API
refuses some filters that rules may have.

The parameter `q` is a keyword search. Okta's rules: a search has at most 10 keywords of at most 40 characters,
separated by spaces or hyphens. Each keyword must be one whole word of some value of the event, ignoring case.
Okta does not document what a word is; here, a whole value also counts as a word.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.core.okta_fields import unknown_field
from forwarder.core.time import SECOND, Micros, to_micros
from forwarder.emulator.http.errors import OktaApiError, expired_cursor, invalid
from forwarder.emulator.system_log.log import EmulatedSystemLog, Key, LogEntry, LogRange
from forwarder.rules.conditions.compiler import compiled
from forwarder.rules.conditions.condition import Condition, leaves
from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.conditions.okta_filter import OPERATORS, Comparison, ValueSet, parse_filter

_DAY = 86_400 * SECOND
_RETENTION = 90 * _DAY
_OLDEST_SINCE = 180 * _DAY
_NO_END = 1 << 62
_MAX_LIMIT = 1000
_PARAMETERS = {"since", "until", "after", "filter", "limit", "sortOrder", "q"}
_BAD_DATE = "The date format in your query is not recognized. Please enter dates using ISO8601 string format."

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_IDENTITY = {"uuid", "eventType"}
_INDEX = re.compile(r"\.\d+(?=\.)")
"""Matches the index of a list. Filters in Okta's public catalogue have names such as `target.0.displayName`."""

_CO_NOT_SUPPORTED = {"debugContext.debugData.url", "debugContext.debugData.requestUri"}

_MAX_KEYWORDS = 10
_MAX_KEYWORD_LENGTH = 40
_SEPARATORS = re.compile(r"[\s-]+")
_WORDS = (re.compile(r"[^\s\-/:;,?&=(){}\[\]\"']+"), re.compile(r"\w+"))
"""The first pattern takes `203.0.113.9` and `user@example.com` as one word each. The second takes their
parts."""


class LogQuery:
    """One query of the System Log, from the parameters of a call.

    Raises:
        OktaApiError: Okta would refuse the query.
    """

    def __init__(self, parameters: Mapping[str, str], now: Micros) -> None:
        given = {name: value for name, value in parameters.items() if name in _PARAMETERS and value}
        self._parameters = given
        order = given.get("sortOrder", "ASCENDING").upper()
        if order not in {"ASCENDING", "DESCENDING"}:
            raise invalid("sortOrder", "sortOrder: must be ASCENDING or DESCENDING")
        self._descending = order == "DESCENDING"
        self._polling = not given.get("until") and not self._descending
        self._mode = "poll" if self._polling else "down" if self._descending else "up"
        self._limit = _limit(given.get("limit", "100"))
        self._part = self._range(now)
        self._after = _position(given["after"], self._mode) if given.get("after") else None

    def page(self, log: EmulatedSystemLog) -> tuple[list[LogEntry], str | None]:
        """Return the entries of the page, and the query string of the next page. The query string is None on the last
        page."""
        if self._polling:
            page = log.poll(self._part, after=self._after, limit=self._limit)
        else:
            page = log.between(self._part, after=self._after, limit=self._limit, descending=self._descending)
        following = None
        if self._polling or (page.more and self._limit):
            at, number = page.after
            cursor = base64.urlsafe_b64encode(f"{self._mode}_{at}_{number}".encode()).decode().rstrip("=")
            following = urlencode({**self._parameters, "after": cursor})
        return list(page.entries), following

    def _range(self, now: Micros) -> LogRange:
        given = self._parameters
        default = _NO_END if self._polling else now + 1
        until = _time("until", given["until"]) if "until" in given else default
        since = _time("since", given["since"]) if "since" in given else min(until, now) - 7 * _DAY
        if since < now - _OLDEST_SINCE:
            summary = "Invalid parameter: The since parameter is over 180 days prior to the current day."
            raise OktaApiError(400, "E0000053", summary)
        if since > until:
            raise invalid("since", "since: must not be after until")
        if "after" in given and self._polling:
            since = 0  # Okta's links have `since` and `after`, and only the cursor counts
        return LogRange(max(since, now - _RETENTION), until, _matcher(given.get("filter", ""), given.get("q", "")))


def _matcher(filter_text: str, search: str) -> Callable[[LogEntry], bool] | None:
    """Return a function that selects entries by a filter and keywords; None if all entries match."""
    is_match = read_filter(filter_text) if filter_text.strip() else None
    keywords = read_keywords(search)
    if is_match is None and not keywords:
        return None

    def matches(entry: LogEntry) -> bool:
        event = msgspec.json.decode(entry.body)
        return (is_match is None or is_match(event)) and contains_keywords(event, keywords)

    return matches


def read_filter(text: str) -> Callable[[Any], bool]:
    """Return a function that says whether a decoded event matches the filter `text`.

    Raises:
        OktaApiError: Okta would refuse the filter.
    """
    try:
        condition = parse_filter(text)
        for leaf in leaves(condition):
            _check(leaf)
        test = compiled(condition)
    except RuleFileError as error:
        raise OktaApiError(400, "E0000053", f"Invalid filter '{text}': {error}") from error
    except RecursionError as error:
        raise OktaApiError(400, "E0000053", f"Invalid filter '{text}': too long") from error
    return lambda event: test(Reading(event))


def _check(leaf: Condition) -> None:
    if isinstance(leaf, ValueSet):
        raise RuleFileError(f"Expected one value and one of the operators {','.join(OPERATORS)}")
    attribute = leaf.attribute if isinstance(leaf, Comparison) else "target[...]"
    if not isinstance(leaf, Comparison) or not _is_searchable(attribute):
        raise OktaApiError(400, "E0000053", f"field is not valid: {attribute}")
    if leaf.operator == "co" and attribute in _CO_NOT_SUPPORTED:
        summary = "The supplied combination of operator and field is not currently supported."
        raise OktaApiError(400, "E0000031", f"{summary} Operator: co, Field: {attribute}")


def _is_searchable(attribute: str) -> bool:
    known = attribute in _IDENTITY or unknown_field(_INDEX.sub("", attribute)) is None
    return known and _ATTRIBUTE.fullmatch(attribute) is not None


def read_keywords(text: str) -> frozenset[str]:
    """Return the keywords of a search.

    Raises:
        OktaApiError: Okta would refuse the search.
    """
    found = [word for word in _SEPARATORS.split(text.lower()) if word]
    if len(found) > _MAX_KEYWORDS:
        raise invalid("q", f"q: no more than {_MAX_KEYWORDS} keywords are allowed")
    if any(len(word) > _MAX_KEYWORD_LENGTH for word in found):
        raise invalid("q", f"q: a keyword must not have more than {_MAX_KEYWORD_LENGTH} characters")
    return frozenset(found)


def contains_keywords(event: Any, keywords: frozenset[str]) -> bool:
    """Whether a decoded event contains every keyword."""
    missing = set(keywords)
    for value in _texts(event):
        folded = value.lower()
        missing.discard(folded)
        for words in _WORDS:
            missing.difference_update(words.findall(folded))
        if not missing:
            return True
    return not missing


def _texts(value: Any) -> Iterator[str]:
    """Yield the values in an event, without its keys."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif value is not None:
        yield str(value)


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > _MAX_LIMIT:
        raise invalid("limit", f"limit: must be between 0 and {_MAX_LIMIT}")
    return int(text)


def _time(name: str, text: str) -> Micros:
    try:
        return to_micros(datetime.fromisoformat(text))
    except ValueError as error:
        rule = "must be a valid date-time or empty."
        summary = f"'{name}': {_BAD_DATE} '{name}': {rule}"
        raise invalid(summary, f"{name}: {_BAD_DATE}", f"{name}: {rule}") from error


def _position(cursor: str, mode: str) -> Key:
    """Decode a cursor.

    Raises:
        OktaApiError: the org did not issue this cursor, or issued the cursor for another kind of query.
    """
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        decoded = ""
    match = re.fullmatch(rf"{mode}_(-?\d{{1,18}})_(-?\d{{1,18}})", decoded)
    if match is None:
        raise expired_cursor()
    return int(match[1]), int(match[2])
