"""Decodes the URL parameters and the bodies of requests to the ops API."""

from typing import TypeVar
from urllib.parse import parse_qs

import msgspec

from forwarder.core.event import Source
from forwarder.ops.event_view import EventFilter, Form
from forwarder.ops.streams import MOST_BEHIND, StreamQuery

T = TypeVar("T")

MAX_BACKLOG = 10_000_000
_STREAM = {"type", "actor", "outcome", "org", "source", "since", "backlog", "status", "view"}


class QueryError(ValueError):
    """A URL parameter has an invalid name or value, or the body of a request is invalid. The error text says which
    parameter is invalid, and why."""


def parameters(query_string: bytes, known: set[str]) -> dict[str, list[str]]:
    """Return the values of each parameter in `query_string`, by name of the parameter.

    Raises:
        QueryError: the name of a parameter is not in `known`.
    """
    found = parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    for name in sorted(found.keys() - known):
        raise QueryError(f"unknown parameter {name[:50]!r}; known parameters: {', '.join(sorted(known))}")
    return found


def number(values: dict[str, list[str]], name: str, default: T, low: int, high: int) -> int | T:
    """Return the last value of the parameter `name` as an integer; `default` if the parameter is missing or empty.

    Raises:
        QueryError: the value is not an integer from `low` to `high`.
    """
    if not (written := values.get(name, [""])[-1]):
        return default
    try:
        value = int(written)
    except ValueError:
        value = high + 1
    if not low <= value <= high:
        raise QueryError(f"{name}: {written[:50]!r} is not a whole number from {low} to {high}")
    return value


def read_body(body: bytes, kind: type[T], problem: str) -> T:
    """Return the JSON text `body` as an object of the type `kind`.

    Raises:
        QueryError: `body` is not such an object. The error text begins with `problem`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise QueryError(f"{problem}: {error}") from None


def stream_query(query_string: bytes, last_event_id: str | None) -> StreamQuery:
    """Return the options that a client of the live stream asks for in the parameters of its URL.

    `last_event_id` is the value of the header `Last-Event-ID`; None if the request does not have this header. If the
    value is a position, it overrides the parameter `since`.

    Raises:
        QueryError: a parameter has an invalid name or value.
    """
    values = parameters(query_string, _STREAM)

    def last(name: str) -> str:
        return values.get(name, [""])[-1]

    since: int | None = number(values, "since", None, -MAX_BACKLOG, 2**62)
    if last_event_id and last_event_id.isascii() and last_event_id.isdigit():
        since = min(int(last_event_id[:19]), 2**62)
    if last("view") not in ("", *Form):
        raise QueryError(f"view: use one of {', '.join(Form)}")
    if last("status") not in ("", "true", "false"):
        raise QueryError("status: use true or false")
    if last("source") not in ("", *Source):
        raise QueryError(f"source: use one of {', '.join(Source)}")
    found = EventFilter(
        types=tuple(pattern for pattern in values.get("type", []) if pattern),
        actor=last("actor"),
        outcome=last("outcome"),
        org=last("org"),
        source=last("source"),
    )
    return StreamQuery(
        filter=found,
        since=since,
        backlog=number(values, "backlog", max(MOST_BEHIND, -(since or 0)), 0, MAX_BACKLOG),
        status=last("status") != "false",
        form=Form(last("view")) if last("view") else None,
    )
