"""Helpers for all handlers: Okta's headers on every response, and errors in Okta's format."""

import base64
import secrets
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Response
from litestar.datastructures import MutableScopeHeaders, State
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Message, Scope

from forwarder import logs
from forwarder.core.time import SECOND
from forwarder.emulator.actors import Caller
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.errors import (
    ApiError,
    OktaApiError,
    expired_cursor,
    invalid,
    not_found,
    not_json,
    server_error,
)
from forwarder.emulator.http.rate_limits import RateLimitHeaders

OktaRequest = Request[Any, Any, State]

_CURSOR = "after_"  # the beginning of each cursor that the org issues; a text with another beginning is refused

_logger = logs.get("emulator")


def org(request: OktaRequest) -> Emulator:
    """Return the org that serves a request."""
    return org_of(request.scope)


def org_url(request: OktaRequest) -> str:
    """Return the URL of the org that serves a request. The links in the org's responses begin with this
    URL."""
    return org(request).settings.url


def org_of(scope: Scope | HTTPScope) -> Emulator:
    """Return the org that serves a request with this `scope`. http/app.py puts the org into the scope."""
    emulator: Emulator = scope["state"]["org"]
    return emulator


def caller(request: OktaRequest) -> Caller:
    """Return the caller of an authenticated request."""
    found: Caller = request.state.caller
    return found


def set_rate_limit(request: OktaRequest, limit: RateLimitHeaders) -> None:
    """Set the rate limit in the headers of the response to `request`."""
    request.state.rate_limit = limit


def add_link(request: OktaRequest, relation: str, url: str) -> None:
    """Add a `link` header to the response to `request`; Okta sends one header per link."""
    request.state.links = [*getattr(request.state, "links", []), f'<{url}>; rel="{relation}"']


def paged(
    request: OktaRequest, items: Sequence[dict[str, Any]], most: int, default: int | None = None
) -> list[dict[str, Any]]:
    """Return the page of `items` that the request's parameters `limit` and `after` select, and add the link
    to the next page.

    A page has at most `most` items. If the request has no `limit`, a page has `default` items, or `most` items if
    `default` is None.

    Raises:
        OktaApiError: `limit` is not a positive number, or the org did not issue the cursor `after`.
    """
    query = request.query_params
    size = _page_size(query.get("limit", ""), most, default or most)
    start = _start(query.get("after", ""), [item["id"] for item in items])
    page, url = list(items[start : start + size]), f"{org_url(request)}{request.url.path}"
    asked = dict(query.items())
    add_link(request, "self", f"{url}?{urlencode(asked)}" if asked else url)
    if start + size < len(items):
        following = {**asked, "after": _cursor(page[-1]["id"]), "limit": size}
        add_link(request, "next", f"{url}?{urlencode(following)}")
    return page


def _page_size(limit: str, most: int, default: int) -> int:
    if not limit:
        return default
    if not limit.isascii() or not limit.isdecimal() or not limit.strip("0"):
        raise invalid("limit", f"limit: must be between 1 and {most}")
    return min(most, int(limit.lstrip("0")[:9]))


def _cursor(last: str) -> str:
    return base64.urlsafe_b64encode(f"{_CURSOR}{last}".encode()).decode().rstrip("=")


def _start(after: str, ids: Sequence[str]) -> int:
    """Return the index of the first item after the cursor `after`. An item's id is also accepted as a cursor.

    If the item of the cursor has been deleted, return 0. Then the list begins again, so that no item is left out.
    """
    if not after or after in ids:
        return ids.index(after) + 1 if after else 0
    try:
        last = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode("ascii")
    except ValueError:
        last = ""
    if not last.startswith(_CURSOR):
        raise expired_cursor()
    last = last.removeprefix(_CURSOR)
    return ids.index(last) + 1 if last in ids else 0


async def add_headers(message: Message, scope: Scope) -> None:
    """Add the headers that Okta sends with every response."""
    if message["type"] != "http.response.start":
        return
    headers, state = MutableScopeHeaders.from_message(message), scope.get("state", {})
    headers["x-okta-request-id"] = secrets.token_urlsafe(20)
    headers["cache-control"] = "no-cache, no-store"
    # Okta's Python SDK computes its waits from this date.
    headers["date"] = formatdate(org_of(scope).clock.now() / SECOND, usegmt=True)
    for link in state.get("links", ()):
        headers.add("link", link)
    if limit := state.get("rate_limit"):
        for name in ("limit", "remaining", "reset"):
            headers[f"x-rate-limit-{name}"] = str(getattr(limit, name))


def set_effect(request: OktaRequest, *, changed: bool) -> None:
    """Set whether this call has changed anything in the org, for the record of calls."""
    request.state.effect = changed


def accepted() -> Response[bytes]:
    """Return a response 202 without a body."""
    return Response(b"", status_code=202, media_type="text/plain")


def refuse(_: OktaRequest, error: ApiError) -> Response[Any]:
    """Return the response to a call that the org refuses."""
    return Response(error.body, status_code=error.status, headers=error.headers)


def refuse_http(request: OktaRequest, error: HTTPException) -> Response[Any]:
    """Return the response to a call that the router refuses."""
    if error.status_code == 404:
        return refuse(request, not_found(request.url.path))
    if error.status_code == 405:
        summary = "The endpoint does not support the provided HTTP method"
        return refuse(request, OktaApiError(405, "E0000022", summary))
    return refuse(request, not_json())


def fail(request: OktaRequest, error: Exception) -> Response[Any]:
    """Log an unexpected exception, which is a bug of the emulator. Return the response to the call that
    failed."""
    _logger.error("call failed because of a bug in the emulator", action="emulator_call_failed", exc_info=error)
    return refuse(request, server_error())
