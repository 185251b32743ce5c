"""The ops listener: liveness, readiness, metrics, status page.

It only reads and offers nothing that changes anything, so a scraper needs no secret.

    GET /livez        200 while the process serves
    GET /readyz       200, or 503 with the reason if a POST from Okta could not be stored;
                      a sink that is down leaves it 200: events are safe in the store
    GET /metrics      Prometheus text or OpenMetrics, as `Accept` asks
    GET /api/status   the ledger and the state of every part, as JSON
    GET /             the same as a page
"""

import asyncio
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Protocol

from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import Scope

from forwarder import logs
from forwarder.metrics import Metrics


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


def app(metrics: Metrics, status: Status, not_ready_reason: NotReadyReason) -> Litestar:
    """Make the ASGI app of the ops listener."""

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
