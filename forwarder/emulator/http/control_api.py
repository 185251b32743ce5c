"""What Okta does not have: `/emulator`, where a test or a demo lets things happen and go wrong, and sees what became of them."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post, put
from pydantic import ValidationError

from forwarder.core.time import to_micros
from forwarder.emulator.http.errors import invalid
from forwarder.emulator.http.responses import OktaRequest, answer, org, read
from forwarder.emulator.settings import Faults

_MAX_EVENTS = 1_000_000


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /emulator/events` takes."""

    count: Annotated[int, msgspec.Meta(ge=1, le=_MAX_EVENTS)] = 1
    types: tuple[str, ...] = ()
    since: datetime | None = None


class _Preview(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /emulator/preview` takes."""

    hook: str
    event: str | None = None


@post("/events", status_code=200)
async def _events(request: OktaRequest) -> Response[bytes]:
    order = read(await request.body(), _Order)
    if order.since is None:
        return answer(request, {"events": await org(request).emit(order.count, order.types)})
    since = to_micros(order.since)
    return answer(request, {"events": await org(request).emit_past(order.count, order.types, since=since)})


@put("/faults")
async def _faults(request: OktaRequest) -> Response[bytes]:
    """Replace all faults: what the body leaves out stops going wrong."""
    given = read(await request.body(), dict[str, Any])
    try:
        faults = Faults(**given)
    except ValidationError as error:
        causes = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise invalid("faults", *causes) from error
    org(request).faults = faults
    return answer(request, faults.model_dump())


@post("/preview", status_code=200)
async def _preview(request: OktaRequest) -> Response[bytes]:
    order = read(await request.body(), _Preview)
    return answer(request, await org(request).preview(order.hook, order.event))


@get("/ledger")
async def _ledger(request: OktaRequest) -> Response[bytes]:
    return answer(request, org(request).ledger())


OWN_ROUTES = (_events, _faults, _preview, _ledger)
