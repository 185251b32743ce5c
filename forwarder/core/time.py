"""Converts and formats points in time. The forwarder stores a point in time as an integer, see `Micros`."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

Micros = int
"""A point in time: microseconds since 1970-01-01T00:00:00Z."""

SECOND: Micros = 1_000_000
"""The number of microseconds in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # UTC: formatted without a zone, `Z` follows
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> Micros:
    """Convert a datetime to microseconds. A datetime without a time zone counts as UTC, as in Okta's events."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def from_http_date(text: str) -> Micros | None:
    """Return the time of a date in an HTTP header. Return None if the date is invalid, or if its year or its time zone
    is out of range."""
    try:
        return to_micros(parsedate_to_datetime(text))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


FIRST: Micros = to_micros(datetime.min.replace(tzinfo=UTC))
LAST: Micros = to_micros(datetime.max.replace(tzinfo=UTC))
"""The earliest and latest points in time that `to_datetime` can convert."""


def to_datetime(at: Micros) -> datetime:
    """Convert microseconds to a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def iso(at: Micros, timespec: str = "auto") -> str:
    """Return `at` as text in ISO 8601, in UTC, with `Z` at the end. `timespec` is the parameter of
    `datetime.isoformat`."""
    return (_NAIVE_EPOCH + timedelta(microseconds=at)).isoformat(timespec=timespec) + "Z"


def seconds_between(earlier: Micros | None, later: Micros) -> float | None:
    """Return the seconds from `earlier` to `later`, never below 0; None if `earlier` is None."""
    return None if earlier is None else max(0.0, (later - earlier) / SECOND)


def server_time(headers: Mapping[str, str], now: Micros) -> Micros:
    """Return the time of the server that sent `headers`, from the header `date`. Return `now`, which is our own time,
    if this header is missing or invalid.

    The server's clock may differ from our clock. The names in `headers` must be in lower case, or `headers` must ignore
    case.
    """
    sent = from_http_date(headers.get("date", ""))
    return now if sent is None else sent


def retry_after(headers: Mapping[str, str], now: Micros) -> float | None:
    """Return the number of seconds that the header `Retry-After` asks to wait. Return None if the header is missing or
    invalid, or if it has a date in the past.

    The header has a number of seconds or a date. A date is compared with the server's clock. The names in `headers`
    must be in lower case, or `headers` must ignore case.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    at, now = from_http_date(text), server_time(headers, now)
    return (at - now) / SECOND if at is not None and at > now else None
