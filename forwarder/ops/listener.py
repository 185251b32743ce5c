"""The ops listener: is it alive, is it ready, what does it count, how is it doing.

It only reads. Nothing that changes anything is offered here, so it may be reached by a scraper without a secret.

    GET /livez        200 while the process serves
    GET /readyz       200, or 503 with the reason while a POST from Okta could not be stored;
                      a sink that is down leaves it 200: events are safe in the store
    GET /metrics      Prometheus text or OpenMetrics, as `Accept` asks
    GET /api/status   the ledger and the state of every part, as JSON
    GET /             the same as a page
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import Scope

from forwarder import logs
from forwarder.metrics import Metrics

Status = Callable[[], Awaitable[dict[str, Any]]]
"""Gathers the state of every part; also brings the gauges of the metrics up to date."""

NotReadyReason = Callable[[], str | None]
"""Why a POST could not be stored at the last try; None when all is well."""

_logger = logs.get("ops")

_PAGE = files("forwarder.ops").joinpath("status.html").read_text(encoding="utf-8")
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def app(metrics: Metrics, status: Status, not_ready_reason: NotReadyReason) -> Litestar:
    """The ops listener as an ASGI app."""

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
        await status()
        body, content_type = await asyncio.to_thread(metrics.render, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    @get("/api/status")
    async def status_json() -> Response[dict[str, Any]]:
        return Response(await status(), headers={"Cache-Control": "no-store"})

    @get("/", media_type=MediaType.HTML)
    async def page() -> Response[str]:
        return Response(_PAGE, headers=_PAGE_HEADERS)

    return Litestar(
        [livez, readyz, scrape, status_json, page],
        after_exception=[_say],
        openapi_config=None,
        # Litestar's own would take the log of the whole process over, and its lines would be no JSON any more.
        logging_config=None,
    )


async def _say(error: Exception, scope: Scope) -> None:
    if not isinstance(error, HTTPException):
        _logger.error(
            "the ops listener could not answer", action="ops_failed", path=scope["path"], exc_info=error
        )
