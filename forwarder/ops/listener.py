"""The ops listener: liveness, readiness, metrics, status page.

It only reads and offers nothing that changes anything, so a scraper needs no secret.

    GET /livez        200 while the process serves
    GET /readyz       200, or 503 with the reason if a POST from Okta could not be stored;
                      a sink that is down leaves it 200: events are safe in the store
    GET /metrics      Prometheus text or OpenMetrics, as `Accept` asks
    GET /api/status   the ledger and the state of every part, as JSON
    GET /             the same as a page

HEAD answers as GET, without the body. Except for the two probes, a request whose `Host` is unknown is refused: 403.
"""

import asyncio
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, Protocol

from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope

from forwarder import logs
from forwarder.clock import SystemClock
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import Metrics
from forwarder.ops.hosts import KnownHosts


class Status(Protocol):
    """The state of the whole forwarder."""

    async def gather(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        ...

    async def refresh_gauges(self) -> None:
        """Set the gauges of the metrics."""
        ...


NotReadyReason = Callable[[], str | None]
"""Returns why a POST could not be stored; None if it could."""

_logger = logs.get("ops")

_PAGE = files("forwarder.ops").joinpath("status.html").read_text(encoding="utf-8")
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


_PROBES = ("/livez", "/readyz")
_UNKNOWN_HOST = (
    b"this host name is unknown here: request an address instead, or add it to ops.allowed_hosts\n"
)


def app(
    metrics: Metrics, status: Status, not_ready_reason: NotReadyReason, allowed_hosts: Iterable[str] = ()
) -> ASGIApp:
    """Make the ASGI app of the ops listener. `allowed_hosts` is that of its settings."""
    return _guarded(_routes(metrics, status, not_ready_reason), KnownHosts(allowed_hosts))


def _guarded(routes: ASGIApp, known_hosts: KnownHosts) -> ASGIApp:
    logger = RateLimitedLogger(_logger, SystemClock())

    async def serve(scope: Any, receive: Receive, send: Any) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if hosts and hosts[0] not in known_hosts and scope["path"] not in _PROBES:
            text = "a request for an unknown host name was refused"
            hint = "if the name is yours, add it to ops.allowed_hosts"
            logger.warning(text, action="ops_host_refused", host=hosts[0][:100], hint=hint)
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(_UNKNOWN_HOST))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _UNKNOWN_HOST, "more_body": False})
            return
        if scope["method"] == "HEAD":
            scope = scope | {"method": "GET"}  # the server sends no body all the same
        await routes(scope, receive, send)

    return serve


def _routes(metrics: Metrics, status: Status, not_ready_reason: NotReadyReason) -> Litestar:

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
        await status.refresh_gauges()
        body, content_type = await asyncio.to_thread(metrics.render, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    @get("/api/status")
    async def status_json() -> Response[dict[str, Any]]:
        return Response(await status.gather(), headers={"Cache-Control": "no-store"})

    @get("/", media_type=MediaType.HTML)
    async def page() -> Response[str]:
        return Response(_PAGE, headers=_PAGE_HEADERS)

    return Litestar(
        [livez, readyz, scrape, status_json, page],
        after_exception=[_log_error],
        openapi_config=None,
        # Litestar's own would reconfigure logging for the whole process, and its lines are not JSON.
        logging_config=None,
    )


async def _log_error(error: Exception, scope: Scope) -> None:
    if not isinstance(error, HTTPException):
        _logger.error(
            "a request to the ops listener failed", action="ops_failed", path=scope["path"], exc_info=error
        )
