"""The System Log, as `/api/v1/logs` has it, and what goes wrong with it."""

import asyncio
from contextlib import suppress

import msgspec
from litestar import get
from litestar.types import ASGIApp

from forwarder.emulator.http.errors import broken, slow, too_many
from forwarder.emulator.http.rate_limits import Told
from forwarder.emulator.http.responses import OktaRequest, admission, answer, org, tell
from forwarder.emulator.system_log.query import LogQuery, bad_cursor


@get("/logs")
async def _log(request: OktaRequest) -> ASGIApp:
    emulator = org(request)
    query = LogQuery(request.query_params, emulator.clock.now())
    await _suffer(request)
    entries, following = query.page(emulator.log)
    base = f"{emulator.settings.url}/api/v1/logs"
    here = f"?{request.url.query}" if request.url.query else ""
    page = answer(request, [msgspec.Raw(entry.body) for entry in entries])
    response = page.to_asgi_response(None, request)
    # Okta sends each link as a header line of its own.
    response.headers.add("link", f'<{base}{here}>; rel="self"')
    if following is not None:
        response.headers.add("link", f'<{base}?{following}>; rel="next"')
    return response


async def _suffer(request: OktaRequest) -> None:
    """Let go wrong what chance and the faults say.

    Raises:
        OktaApiError: it went wrong.
    """
    emulator = org(request)
    faults, draw = emulator.faults.log, emulator.log_chance.random
    if "after" in request.query_params and draw() < faults.cursor_expired:
        raise bad_cursor()
    for share, limit in ((faults.rate_limited, request.state.told.limit), (faults.concurrency_limited, 0)):
        if draw() < share:
            tell(request, Told(limit, 0, admission(request).budgets.later(faults.reset)))
            raise too_many()
    if draw() < faults.server_error:
        raise broken()
    if draw() < faults.no_response:
        with suppress(TimeoutError):
            async with asyncio.timeout(emulator.settings.query_timeout):
                while (await request.receive())["type"] != "http.disconnect":
                    pass
        raise slow()


LOG_ROUTES = (_log,)
