"""`/api/v1/logs`, and the faults that the org injects into calls of this path."""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from litestar import get

from forwarder.emulator.http.errors import expired_cursor, server_error, too_many_requests
from forwarder.emulator.http.rate_limits import RateLimitHeaders
from forwarder.emulator.http.responses import OktaRequest, add_link, org, set_rate_limit
from forwarder.emulator.system_log.query import LogQuery


@get("/logs")
async def get_logs(request: OktaRequest) -> Any:
    emulator = org(request)
    query = LogQuery(request.query_params, emulator.clock.now())
    await _inject_faults(request)
    entries, following = query.page(emulator.system_log)
    url = f"{emulator.settings.url}/api/v1/logs"
    add_link(request, "self", f"{url}?{request.url.query}" if request.url.query else url)
    if following is not None:
        add_link(request, "next", f"{url}?{following}")
    return [msgspec.Raw(entry.body) for entry in entries]


async def _inject_faults(request: OktaRequest) -> None:
    """Draw a fault for this call.

    Raises:
        OktaApiError: the fault that was drawn.
    """
    emulator = org(request)
    faults, draw = emulator.faults.log, emulator.log_fault_random.random
    if "after" in request.query_params and draw() < faults.cursor_expired:
        raise expired_cursor()
    limit = request.state.rate_limit.limit
    for share, shown in ((faults.rate_limited, limit), (faults.concurrency_limited, 0)):
        if draw() < share:
            reset = emulator.authenticator.rate_limits.reset_in(faults.reset)
            set_rate_limit(request, RateLimitHeaders(shown, 0, reset))
            raise too_many_requests()
    if draw() < faults.server_error:
        raise server_error()
    if draw() < faults.no_response:
        with suppress(TimeoutError):
            async with asyncio.timeout(emulator.settings.query_timeout):
                while (await request.receive())["type"] != "http.disconnect":
                    pass
        summary = "Your last request took too long to complete."
        raise server_error(f"{summary} Please simplify your query or try again in a few minutes.")
