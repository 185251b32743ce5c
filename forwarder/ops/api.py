"""The routes of the ops API for the status, the live stream and the rights of the sender.

A route gets a request only after `access.py` has allowed the request, except the route of the rights, /api/access.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.types import ASGIApp

from forwarder.ops.access import Access
from forwarder.ops.ports import StatusSource
from forwarder.ops.request_parameters import QueryError, stream_query
from forwarder.ops.shared_run import SharedRun
from forwarder.ops.streams import MAX_CLIENTS, Streams

Handlers = list[Any]
AnyRequest = Request[Any, Any, State]

_NO_STORE = {"Cache-Control": "no-store"}


def live_routes(status: StatusSource, streams: Streams, access: Access) -> Handlers:
    """Return the routes /api/status, /api/events (the live stream) and /api/access (the rights of the sender)."""
    shared = SharedRun(status.gather)

    @get("/api/status")
    async def status_json() -> Response[dict[str, Any]]:
        return Response(await shared.result(), headers=_NO_STORE)

    @get("/api/events")
    async def events(request: AnyRequest) -> ASGIApp:
        if streams.full:
            text = f"{MAX_CLIENTS} live streams are open already; close a status page, or end a `forwarder tap --url`"
            return _error(request, 503, text, {"Retry-After": "5"})
        try:
            query = stream_query(request.scope["query_string"], request.headers.get("last-event-id"))
        except QueryError as error:
            return _error(request, 400, str(error))
        return streams.open(query)

    @get("/api/access")
    async def rights(request: AnyRequest) -> Response[dict[str, bool]]:
        return Response(access.rights(request.scope), headers=_NO_STORE)

    return [status_json, events, rights]


def _error(request: AnyRequest, status: int, text: str, headers: Mapping[str, str] = {}) -> ASGIApp:
    response = Response({"error": text}, status_code=status, headers=headers)
    return response.to_asgi_response(None, request)


def json_response(value: Any, status: int = 200) -> Response[bytes]:
    """Return a response with `value` as JSON. Browsers and proxies must not cache the response."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers=_NO_STORE | {"X-Content-Type-Options": "nosniff"},
    )
