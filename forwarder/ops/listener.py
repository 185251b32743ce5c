"""The web application of the ops listener: liveness, readiness, metrics, the status page and its API.

    GET /livez        200 while the process serves
    GET /readyz       200 if the forwarder can store a POST from Okta, else 503 with the reason;
                      also 200 while a sink is down, because the events are safe in the store
    GET /metrics      the metrics as Prometheus text or OpenMetrics, by the header `Accept`
    GET /             the status page, which gets its data from the paths below /api
    GET /api/status   the counts of events and the state of every part, as JSON
    GET /api/events   the live stream; docs/status-page.md describes parameters and events
    GET /approve/ID   a page about an action that waits for a human; the decision is a POST (approvals.py)

The response to HEAD is the response to GET without the body. A request with an unknown name in its header `Host` gets
403, except on /livez and /readyz. The paths below /api return personal data, so `access.py` decides who may read them.
The metrics contain no personal data, so a scraper needs no secret.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope
from litestar.utils.path import normalize_path

from forwarder import logs
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError
from forwarder.core.ports import Clock
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import OPENMETRICS_TYPE, Metrics
from forwarder.ops.access import Access, KnownHosts
from forwarder.ops.api import Handlers, live_routes
from forwarder.ops.approvals import Approvals, approval_routes
from forwarder.ops.data_api import ERRORS, data_routes
from forwarder.ops.page_files import page_routes
from forwarder.ops.ports import Events, NotReadyReason, StatusSource, StoreData
from forwarder.ops.request_parameters import QueryError
from forwarder.ops.settings import OpsSettings
from forwarder.ops.shared_run import SharedRun
from forwarder.ops.status_history import History
from forwarder.ops.streams import Streams

_logger = logs.get("ops")

_PROBES = ("/livez", "/readyz")
_API = "/api/"
_APPROVE = "/approve/"
_OPEN_API = "/api/access"
_UNKNOWN_HOST = b"this host name is unknown here: use the IP address instead, or add the name to ops.allowed_hosts\n"


class OpsListener:
    """The web application of the ops listener.

    Attributes:
        app: the ASGI application.
        history: the samples for the trend lines. The caller must run `history.run()` in a task.
    """

    def __init__(  # noqa: PLR0913  # the listener shows every part of the forwarder
        self,
        metrics: Metrics,
        status: StatusSource,
        events: Events,
        data: StoreData,
        not_ready_reason: NotReadyReason,
        *,
        settings: Callable[[], OpsSettings] = OpsSettings,
        approvals: Approvals | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Build the routes, which use the given parts of the forwarder.

        `settings` is called for each request and returns the current settings, because a reload may change the
        settings.
        """
        self._clock = clock or SystemClock()
        self._streams = Streams(events, status, self._clock)
        self._access = Access(settings)
        self.history = History(status, self._clock)
        api = [*live_routes(status, self._streams, self._access), *data_routes(events, data, self.history)]
        if approvals is not None:
            api += approval_routes(approvals, self._access, self._clock)
        routes = _routes(metrics, status, not_ready_reason, api)
        self.app: ASGIApp = _guarded(routes, KnownHosts(settings), self._access)

    @property
    def clients(self) -> int:
        """The number of open live streams."""
        return self._streams.clients

    def close_streams(self) -> None:
        """End every live stream, so that the listener can stop without waiting for clients."""
        self._streams.close()


def _guarded(routes: ASGIApp, known_hosts: KnownHosts, access: Access) -> ASGIApp:
    logger = RateLimitedLogger(_logger, SystemClock())

    async def serve(scope: Any, receive: Receive, send: Any) -> None:
        # Litestar normalizes the path before it chooses a route. The checks below must see the same path, or
        # `//api/status` would pass them.
        scope = scope | {"path": normalize_path(scope["path"])}
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if hosts and hosts[0] not in known_hosts and scope["path"] not in _PROBES:
            text = "a request for an unknown host name was refused"
            hint = "if the name is yours, add it to ops.allowed_hosts"
            logger.warning(text, action="ops_host_refused", host=hosts[0][:100], hint=hint)
            await _answer(send, 403, b"text/plain", _UNKNOWN_HOST)
            return
        decides = scope["path"].startswith(_APPROVE) and scope["method"] not in {"GET", "HEAD"}
        if decides or (scope["path"].startswith(_API) and scope["path"] != _OPEN_API):
            refusal = access.refusal(scope)
            if refusal is not None:
                body = msgspec.json.encode({"error": refusal.text})
                await _answer(send, refusal.status, b"application/json", body)
                return
        if scope["method"] == "HEAD":
            scope = scope | {"method": "GET"}  # uvicorn still leaves out the body
            scope.setdefault("state", {})["head"] = True
        await routes(scope, receive, send)

    return serve


async def _answer(send: Any, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="okta-forwarder"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _routes(metrics: Metrics, status: StatusSource, not_ready_reason: NotReadyReason, api: Handlers) -> Litestar:
    async def render(accept: str) -> tuple[bytes, str]:
        await status.refresh_gauges()
        return await asyncio.to_thread(metrics.render, accept)

    text_metrics, open_metrics = SharedRun(partial(render, "")), SharedRun(partial(render, OPENMETRICS_TYPE))

    @get("/livez", media_type=MediaType.TEXT)
    async def livez() -> str:
        return "alive\n"

    @get("/readyz", media_type=MediaType.TEXT)
    async def readyz() -> Response[str]:
        reason = not_ready_reason()
        if reason is None:
            return Response("ready\n", status_code=200)
        return Response(f"not ready: {reason}\n", status_code=503)

    @get("/metrics")
    async def scrape(request: Request[Any, Any, State]) -> Response[bytes]:
        accept = request.headers.get("accept", "")
        body, content_type = await (open_metrics if OPENMETRICS_TYPE in accept else text_metrics).result()
        return Response(body, headers={"Content-Type": content_type})

    return Litestar(
        [livez, readyz, scrape, *page_routes(), *api],
        after_exception=[_log_error],
        exception_handlers=ERRORS,  # type: ignore[arg-type]
        openapi_config=None,
        # Litestar's own configuration would change logging in the whole process, and its lines are not JSON.
        logging_config=None,
    )


async def _log_error(error: Exception, scope: Scope) -> None:
    if not isinstance(error, HTTPException | QueryError | ForwarderError):
        _logger.error(
            "a request to the ops listener failed. This is a bug: please report it",
            action="ops_failed",
            path=scope["path"],
            exc_info=error,
        )
