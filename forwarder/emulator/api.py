"""The emulated org's HTTP: Okta's own paths under `/api/v1`, and beside them `/emulator`, which Okta does not have.

| path | answers |
|---|---|
| `GET, POST /api/v1/eventHooks` | 200 |
| `GET, PUT /api/v1/eventHooks/{id}` | 200 |
| `DELETE /api/v1/eventHooks/{id}` | 204; 403 while it is ACTIVE |
| `POST /api/v1/eventHooks/{id}/lifecycle/{activate, deactivate, verify}` | 200; 400 when the challenge failed |
| `GET /api/v1/logs` | 200, polling only: `since`, `after`, `limit`; `next` link always |
| `POST /emulator/events` | 200 `{"events": [uuid, ...]}` |
| `PUT /emulator/faults` | 200, the faults now in force |
| `GET /emulator/ledger` | 200 |

Okta's paths want `Authorization: SSWS <token>` and a share of the minute's calls; `/emulator` is open: listen on loopback.
"""

import base64
import hmac
import secrets
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Litestar, Request, Response, Router, delete, get, post, put
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import ASGIApp
from pydantic import ValidationError

from forwarder import logs
from forwarder.core.event import Micros, micros
from forwarder.core.ports import Clock
from forwarder.emulator.org import Emulator
from forwarder.emulator.replies import (
    OktaApiError,
    bad_token,
    broken,
    invalid,
    malformed,
    not_found,
    too_many,
    wrong_method,
)
from forwarder.emulator.settings import Faults

_T = TypeVar("_T")
_Request = Request[Any, Any, State]
_JSON = "application/json"
_HOOK = "/eventHooks/{hook_id:str}"
_MINUTE = 60.0
_WEEK = 7 * 86_400 * 1_000_000
_MAX_EVENTS = 1_000_000


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /emulator/events` takes."""

    count: Annotated[int, msgspec.Meta(ge=1, le=_MAX_EVENTS)] = 1
    types: tuple[str, ...] = ()


class _Budget:
    """Okta's rate limit: so many calls a minute, told on every answer."""

    def __init__(self, clock: Clock, calls: int) -> None:
        self._clock = clock
        self._calls = calls
        self._ends = 0.0
        self._left = 0

    def spend(self) -> bool:
        """Take one call from this minute's; False when none is left."""
        now = self._clock.monotonic()
        if now >= self._ends:
            self._ends, self._left = now + _MINUTE, self._calls
        self._left -= 1
        return self._left >= 0

    def headers(self) -> dict[str, str]:
        """What callers are told about it."""
        reset = self._clock.now() / 1e6 + max(0.0, self._ends - self._clock.monotonic())
        return {
            "x-rate-limit-limit": str(self._calls),
            "x-rate-limit-remaining": str(max(0, self._left)),
            "x-rate-limit-reset": str(int(reset)),
        }


def app(emulator: Emulator) -> Litestar:
    """The application that serves `emulator`, which the caller has entered and will leave."""
    okta = Router("/api/v1", route_handlers=[*_HOOKS, _log], before_request=_admit)
    own = Router("/emulator", route_handlers=[_events, _faults, _ledger])
    return Litestar(
        [okta, own],
        state=State({"org": emulator, "budget": _Budget(emulator.clock, emulator.settings.calls_a_minute)}),
        exception_handlers={
            OktaApiError: _refuse,
            HTTPException: _refuse_http,
            Exception: _fail,
        },
        openapi_config=None,
        logging_config=None,
    )


def _org(request: _Request) -> Emulator:
    org: Emulator = request.app.state.org
    return org


async def _admit(request: _Request) -> None:
    """Let a caller of Okta's paths in, who shows the token and has calls left."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    expected = _org(request).settings.token.reveal()
    if scheme.upper() != "SSWS" or not hmac.compare_digest(shown.encode(), expected.encode()):
        raise bad_token()
    budget: _Budget = request.app.state.budget
    if not budget.spend():
        raise too_many()


def _headers(request: _Request) -> dict[str, str]:
    """What Okta puts on every answer."""
    budget: _Budget = request.app.state.budget
    return {
        "x-okta-request-id": base64.urlsafe_b64encode(secrets.token_bytes(20)).decode().rstrip("="),
        "cache-control": "no-cache, no-store",
    } | budget.headers()


def _answer(request: _Request, body: object, status: int = 200) -> Response[bytes]:
    """`body` as JSON."""
    content = msgspec.json.encode(body)
    return Response(content, status_code=status, headers=_headers(request), media_type=_JSON)


def _refuse(request: _Request, error: OktaApiError) -> Response[bytes]:
    error_id = f"oae{secrets.token_urlsafe(16)}"
    return _answer(request, error.body(error_id), error.status)


def _refuse_http(request: _Request, error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, in Okta's words."""
    known = {404: not_found(f"Resource not found: {request.url.path}"), 405: wrong_method()}
    return _refuse(request, known.get(error.status_code) or malformed())


def _fail(request: _Request, error: Exception) -> Response[bytes]:
    """A fault of ours: told as Okta tells its own, and logged."""
    logs.get("emulator").error("call failed", action="emulator_call_failed", exc_info=error)
    return _refuse(request, broken())


@get("/eventHooks")
async def _list_hooks(request: _Request) -> Response[bytes]:
    org = _org(request)
    return _answer(request, [hook.view(org.settings.url) for hook in org.hooks.all()])


@post("/eventHooks", status_code=200)
async def _create_hook(request: _Request) -> Response[bytes]:
    org = _org(request)
    return _answer(request, org.create_hook(await request.body()).view(org.settings.url))


@get(_HOOK)
async def _show_hook(request: _Request, hook_id: FromPath[str]) -> Response[bytes]:
    org = _org(request)
    return _answer(request, org.hooks.get(hook_id).view(org.settings.url))


@put(_HOOK)
async def _replace_hook(request: _Request, hook_id: FromPath[str]) -> Response[bytes]:
    org = _org(request)
    return _answer(request, org.hooks.replace(hook_id, await request.body()).view(org.settings.url))


@delete(_HOOK)
async def _delete_hook(request: _Request, hook_id: FromPath[str]) -> Response[None]:
    _org(request).delete_hook(hook_id)
    return Response(None, headers=_headers(request))


@post(f"{_HOOK}/lifecycle/activate", status_code=200)
async def _activate_hook(request: _Request, hook_id: FromPath[str]) -> Response[bytes]:
    org = _org(request)
    return _answer(request, org.hooks.activate(hook_id).view(org.settings.url))


@post(f"{_HOOK}/lifecycle/deactivate", status_code=200)
async def _deactivate_hook(request: _Request, hook_id: FromPath[str]) -> Response[bytes]:
    org = _org(request)
    return _answer(request, org.hooks.deactivate(hook_id).view(org.settings.url))


@post(f"{_HOOK}/lifecycle/verify", status_code=200)
async def _verify_hook(request: _Request, hook_id: FromPath[str]) -> Response[bytes]:
    org = _org(request)
    hook = await org.verify(hook_id)
    return _answer(request, hook.view(org.settings.url))


_HOOKS = (
    _list_hooks,
    _create_hook,
    _show_hook,
    _replace_hook,
    _delete_hook,
    _activate_hook,
    _deactivate_hook,
    _verify_hook,
)


@get("/logs")
async def _log(request: _Request) -> ASGIApp:
    """A poller's page. What the emulator cannot do is refused, so that nobody takes a full page for a filtered one."""
    org = _org(request)
    query = request.query_params
    for name in ("until", "filter", "q", "sortOrder"):
        if name in query:
            raise invalid(name, f"The emulator does not know {name}")
    limit = _number("limit", query.get("limit", "100"))
    if limit > 1000:
        raise invalid("limit", "The limit must be between 0 and 1000")
    after = _number("after", query["after"]) if "after" in query else None
    since = _since(query["since"]) if "since" in query else org.clock.now() - _WEEK
    events, following = org.log.page(after=after, since=since, limit=limit)
    here = f"?{request.url.query}" if request.url.query else ""
    base = f"{org.settings.url}/api/v1/logs"
    page = _answer(request, [msgspec.Raw(event.body) for event in events])
    response = page.to_asgi_response(None, request)
    # Okta sends each link as a header line of its own.
    response.headers.add("link", f'<{base}{here}>; rel="self"')
    response.headers.add("link", f'<{base}?after={following}&limit={limit}>; rel="next"')
    return response


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise invalid(name, f"{name}: not a number that the org gave or allows")
    return int(text)


def _since(text: str) -> Micros:
    try:
        return micros(datetime.fromisoformat(text))
    except ValueError as error:
        raise invalid("since", "The date format in your query is not recognized.") from error


@post("/events", status_code=200)
async def _events(request: _Request) -> Response[bytes]:
    order = _read(await request.body(), _Order)
    return _answer(request, {"events": await _org(request).happen(order.count, order.types)})


@put("/faults")
async def _faults(request: _Request) -> Response[bytes]:
    """Replace all faults: what the body leaves out stops going wrong."""
    given = _read(await request.body(), dict[str, Any])
    try:
        faults = Faults(**given)
    except ValidationError as error:
        causes = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise invalid("faults", *causes) from error
    _org(request).faults = faults
    return _answer(request, faults.model_dump())


@get("/ledger")
async def _ledger(request: _Request) -> Response[bytes]:
    return _answer(request, _org(request).ledger())


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid("body", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed() from error
