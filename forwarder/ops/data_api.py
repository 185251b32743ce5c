"""The routes of the ops API that read and change data of the store: events, dead letters and missed events."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from msgspec.structs import replace

from forwarder import logs
from forwarder.core.errors import ForwarderError
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.redaction import redact_all
from forwarder.core.wording import count
from forwarder.ops.api import AnyRequest, Handlers, json_response
from forwarder.ops.event_view import as_json, forms, line
from forwarder.ops.ports import Events, StoreData
from forwarder.ops.request_parameters import QueryError, number, parameters, read_body
from forwarder.ops.status_history import History

_MAX_LIMIT = 1_000
_DEFAULT_LIMIT = 100

_logger = logs.get("ops")


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request to replay or discard dead letters.

    Attributes:
        ids: select only dead letters with these ids.
        sink: select only dead letters of this sink.
        reason: select only dead letters with this reason.
        all: select every dead letter. This key is required if none of `ids`, `sink` and `reason` is set.
        events: the number of matching events that the sender of the request has seen. If a different number of events
            matches now, nothing is changed. If None, the number is not compared.
    """

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    all: bool = False
    events: int | None = None


def data_routes(events: Events, data: StoreData, history: History) -> Handlers:
    """Return the routes for single events, dead letters, missed events and trend lines."""

    @get("/api/events/{seq:int}")
    async def event(seq: FromPath[int]) -> Response[Any]:
        found = await events.events(seq - 1, limit=1, max_bytes=1)
        if not found or found[0].seq != seq:
            return json_response(
                {"error": f"the store holds no event {seq}; its body may have been dropped already"}, 404
            )
        return json_response(line(found[0]) | forms(found[0].event))

    @get("/api/dead-letters")
    async def dead_letters(request: AnyRequest) -> Response[Any]:
        values = parameters(request.scope["query_string"], {"sink", "reason", "limit"})
        sink, reason = (values.get(name, [None])[-1] or None for name in ("sink", "reason"))
        wanted = DeadLetterSelection(None, sink, reason)
        limit = number(values, "limit", _DEFAULT_LIMIT, 0, _MAX_LIMIT)
        return json_response(redact_all(await data.dead_letters(wanted, limit)))

    @get("/api/dead-letters/{letter:int}")
    async def dead_letter(letter: FromPath[int]) -> Response[Any]:
        found = await data.dead_letter(letter)
        if found is None:
            return json_response({"error": f"there is no dead letter {letter}"}, 404)
        described, body = found
        return json_response(redact_all(described) | {"raw": as_json(body)})

    @get("/api/gaps")
    async def gaps(request: AnyRequest) -> Response[Any]:
        values = parameters(request.scope["query_string"], {"limit"})
        return json_response(await data.gaps(number(values, "limit", _DEFAULT_LIMIT, 0, _MAX_LIMIT)))

    @get("/api/history")
    async def trend() -> Response[Any]:
        return json_response(history.as_json())

    return [event, dead_letters, dead_letter, gaps, trend, *_change_routes(data)]


def _change_routes(data: StoreData) -> Handlers:
    async def change(
        request: AnyRequest, work: Callable[[DeadLetterSelection], Awaitable[int]], verb: str
    ) -> Response[Any]:
        wanted = read_body(
            await request.body(), _Change, "the body of the request does not say which dead letters to change"
        )
        if wanted.ids is None and wanted.sink is None and wanted.reason is None and not wanted.all:
            text = 'name what to change: {"ids": […]}, {"sink": …, "reason": …} or {"all": true}'
            return json_response({"error": text}, 400)
        selected = DeadLetterSelection(wanted.ids, wanted.sink, wanted.reason)
        if wanted.events is not None:
            newest = (await data.dead_letters(selected, 1))["dead_letters"]
            selected = replace(selected, last=newest[0]["id"] if newest else 0)
            found = (await data.dead_letters(selected, 0))["events"]
            if found != wanted.events:
                text = f"{count(found, 'event')} now match, not {wanted.events:,}; nothing was changed; look at the list again"
                return json_response({"error": text}, 409)
        done = await work(selected)
        client = request.client.host if request.client else ""
        _logger.info(
            "dead letters were changed through the ops listener",
            action="dead_letters_changed",
            change=verb,
            events=done,
            sink=wanted.sink,
            reason=wanted.reason,
            ids=len(wanted.ids) if wanted.ids is not None else None,
            client=client,
        )
        return json_response({verb: done})

    @post("/api/dead-letters/replay", status_code=200)
    async def replay(request: AnyRequest) -> Response[Any]:
        return await change(request, data.replay, "replayed")

    @post("/api/dead-letters/discard", status_code=200)
    async def discard(request: AnyRequest) -> Response[Any]:
        return await change(request, data.discard, "discarded")

    return [replay, discard]


def handle_error(_: AnyRequest, error: Exception) -> Response[bytes]:
    """Return the response to a request that failed with an expected error: 400 for a wrong parameter, 503 if the
    forwarder cannot answer now."""
    return json_response({"error": str(error)}, 400 if isinstance(error, QueryError) else 503)


def handle_http_error(_: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Return the response to a request that Litestar refused with `error`, such as 404, 405 or 413."""
    response = json_response({"error": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


def handle_unexpected_error(_: AnyRequest, __: Exception) -> Response[bytes]:
    """Return the response 500 to a request that failed with an unexpected error. The listener logs the error."""
    return json_response({"error": "the request failed; the forwarder's log says why (ops_failed)"}, 500)


ERRORS = {
    QueryError: handle_error,
    ForwarderError: handle_error,
    HTTPException: handle_http_error,
    Exception: handle_unexpected_error,
}
