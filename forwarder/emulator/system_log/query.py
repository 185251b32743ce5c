"""What a caller asks of `GET /api/v1/logs`: which mode, which part, which page.

| | polling | bounded |
|---|---|---|
| when | no `until`, ascending | `until`, or descending |
| goes by | the time of storage | `published` |
| pages | never end: a `next` link always | end: a `next` link while there is more |
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from forwarder.core.time import Micros, to_micros
from forwarder.emulator.http.errors import OktaApiError, invalid
from forwarder.emulator.system_log.filter import read_filter
from forwarder.emulator.system_log.log import Key, LogEntry, LogPage, Match, Part, SystemLog

_DAY = 86_400 * 1_000_000
_KEPT = 90 * _DAY
_OLDEST = 180 * _DAY
_ALWAYS = 1 << 62
_MOST = 1000
_KNOWN = {"since", "until", "after", "filter", "limit", "sortOrder", "q"}
_BAD_DATE = "The date format in your query is not recognized. Please enter dates using ISO8601 string format."


class LogQuery:
    """One reader's question. Reading it refuses what Okta refuses.

    Args:
        given: the parameters of the call.
        now: the time.

    Raises:
        OktaApiError: Okta would not answer it.
    """

    def __init__(self, given: Mapping[str, str], now: Micros) -> None:
        self._given = {name: value for name, value in given.items() if name in _KNOWN}
        order = self._given.get("sortOrder", "ASCENDING").upper()
        if order not in {"ASCENDING", "DESCENDING"}:
            raise invalid("sortOrder", "sortOrder: must be ASCENDING or DESCENDING")
        self._descending = order == "DESCENDING"
        self._polling = not self._given.get("until") and not self._descending
        self._limit = _limit(self._given.get("limit", "100"))
        self._part = self._read_part(now)
        self._after = _cursor(self._given["after"], self._mode) if self._given.get("after") else None

    def page(self, log: SystemLog) -> tuple[list[LogEntry], str | None]:
        """The entries, and the query of the page that follows, if there is one."""
        found = self._page(log)
        following = None
        if self._polling or (found.more and self._limit):
            at, number = found.after
            cursor = base64.urlsafe_b64encode(f"{self._mode}_{at}_{number}".encode()).decode().rstrip("=")
            following = urlencode({**self._given, "after": cursor})
        return list(found.entries), following

    @property
    def _mode(self) -> str:
        return "poll" if self._polling else "down" if self._descending else "up"

    def _page(self, log: SystemLog) -> LogPage:
        if self._polling:
            return log.poll(self._part, after=self._after, limit=self._limit)
        return log.between(self._part, after=self._after, limit=self._limit, descending=self._descending)

    def _read_part(self, now: Micros) -> Part:
        given = self._given
        until = (
            _time("until", given["until"]) if given.get("until") else (_ALWAYS if self._polling else now + 1)
        )
        since = _time("since", given["since"]) if given.get("since") else min(until, now) - 7 * _DAY
        if since < now - _OLDEST:
            told = "Invalid parameter: The since parameter is over 180 days prior to the current day."
            raise OktaApiError(400, "E0000053", told)
        if since > until:
            raise invalid("since", "since: must not be after until")
        if given.get("after") and self._polling:
            since = 0  # real links carry both, and the cursor decides
        if given.get("q"):
            raise invalid("q", "q: The emulated org knows no keyword search; use filter")
        return Part(max(since, now - _KEPT), until, _match(given.get("filter", "")))


def _match(text: str) -> Match | None:
    if not text.strip():
        return None
    test = read_filter(text)
    return lambda entry: test(msgspec.json.decode(entry.body))


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > _MOST:
        raise invalid("limit", f"limit: must be between 0 and {_MOST}")
    return int(text)


def _time(name: str, text: str) -> Micros:
    try:
        return to_micros(datetime.fromisoformat(text))
    except ValueError as error:
        told = "must be a valid date-time or empty."
        summary = f"'{name}': {_BAD_DATE} '{name}': {told}"
        raise invalid(summary, f"{name}: {_BAD_DATE}", f"{name}: {told}") from error


def _cursor(text: str, mode: str) -> Key:
    """Where a cursor that the org gave leads.

    Raises:
        OktaApiError: the org gave no such cursor, or gave it for another kind of question.
    """
    try:
        told = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        told = ""
    found = re.fullmatch(rf"{mode}_(-?\d{{1,18}})_(-?\d{{1,18}})", told)
    if found is None:
        raise bad_cursor()
    return int(found[1]), int(found[2])


def bad_cursor() -> OktaApiError:
    """A cursor that the org no longer knows, or never gave. (Okta documents no words for it.)"""
    return invalid("after", "after: The cursor is invalid or has expired")
