"""The HTTP API of the emulated org: Okta's own paths, and `/emulator`, which Okta does not have.

docs/emulator.md lists the paths. The routes are in `api.py` and `control.py` of each subpackage; the routes about the
whole org are in this module. Okta's paths need a token (http/auth.py) and are rate limited. `/emulator` needs no token,
so the server should listen only on a loopback address.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache, partial
from typing import Annotated, Any

import msgspec
from litestar import Litestar, Router, get, post, put
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from forwarder.config.hosts import Listen
from forwarder.core.ports import Clock
from forwarder.core.time import to_micros
from forwarder.emulator.actors import Call, Caller
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.event_ledger import EmulatorLedger
from forwarder.emulator.events.requested_changes import changed
from forwarder.emulator.groups.api import GROUP_ROUTES
from forwarder.emulator.groups.control import GROUP_CONTROL
from forwarder.emulator.groups.rules_api import GROUP_RULE_ROUTES
from forwarder.emulator.hooks.api import HOOK_ROUTES
from forwarder.emulator.hooks.preview import Previewed
from forwarder.emulator.http.auth import API_TOKEN
from forwarder.emulator.http.errors import ApiError, decode, decode_section, too_many_requests, wrong_media_type
from forwarder.emulator.http.middleware import recorded
from forwarder.emulator.http.responses import OktaRequest, add_headers, fail, org, refuse, refuse_http, set_rate_limit
from forwarder.emulator.iam.api import ROLE_ROUTES
from forwarder.emulator.iam.bindings_api import BINDING_ROUTES, CLIENT_ROLE_ROUTES
from forwarder.emulator.iam.custom_role_access import check_access
from forwarder.emulator.oauth.api import oauth_routes, org_metadata
from forwarder.emulator.prompts.control import set_answers
from forwarder.emulator.prompts.push import PUSH_ROUTES
from forwarder.emulator.settings import EmulatorSettings, Faults
from forwarder.emulator.ssf.api import PROVIDER_ROUTES, security_routes
from forwarder.emulator.system_log.api import get_logs
from forwarder.emulator.users.api import USER_ROUTES, revoke_everything
from forwarder.emulator.users.control import USER_CONTROL
from forwarder.emulator.zones.api import ZONE_ROUTES
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.http.settings import ListenerLimits


class _EventsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /emulator/events`.

    Attributes:
        since: if set, the events are spread evenly from the time `since` to now, and are written only to the System
            Log, not sent to hooks.
        user: id or login of the user who becomes the actor of each event; ignored with `since`.
        fields: new values of the event's fields, as in events/requested_changes.py; ignored with `since`.
    """

    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    types: tuple[str, ...] = ()
    since: datetime | None = None
    user: str | None = None
    fields: dict[str, Any] = {}


class _DebugContext(msgspec.Struct):
    data: dict[str, Any] = msgspec.field(name="debugData", default={})


class _Request(msgspec.Struct):
    chain: list[Any] = msgspec.field(name="ipChain", default=[])


class _ReadFields(msgspec.Struct):
    """The fields of an event that the org itself reads, with the types that the org needs. A caller may
    replace these fields, so their types are checked."""

    uuid: str = ""
    event_type: str = msgspec.field(name="eventType", default="")
    published: datetime | msgspec.UnsetType = msgspec.UNSET
    client: dict[str, Any] = {}
    request: _Request | msgspec.UnsetType = msgspec.UNSET
    debug_context: _DebugContext | msgspec.UnsetType = msgspec.field(name="debugContext", default=msgspec.UNSET)


class _PreviewRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /emulator/preview`."""

    hook: str
    event: str | None = None


def create_app(emulator: Emulator) -> ASGIApp:
    """Create the ASGI application that serves `emulator`. The application must run inside `async with emulator`."""
    router = _router()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["org"] = emulator
        await router(scope, receive, send)

    return app


@cache
def _router() -> Litestar:
    """Return the routes. All orgs in this process share them, because building the routes takes 0.2 s."""
    routes = [
        *HOOK_ROUTES,
        *USER_ROUTES,
        *GROUP_ROUTES,
        *ZONE_ROUTES,
        *PUSH_ROUTES,
        *GROUP_RULE_ROUTES,
        *PROVIDER_ROUTES,
        *ROLE_ROUTES,
        *BINDING_ROUTES,
        get_logs,
    ]
    okta = Router("/api/v1", route_handlers=routes, before_request=_admit, middleware=[recorded])
    by_path = Router(
        "/oauth2/v1",
        route_handlers=[revoke_everything, *CLIENT_ROLE_ROUTES],
        before_request=_admit,
        middleware=[recorded],
    )
    control = Router(
        "/emulator",
        route_handlers=[
            _emit,
            _set_faults,
            _preview,
            _ledger,
            _state,
            _calls,
            set_answers,
            *USER_CONTROL,
            *GROUP_CONTROL,
        ],
    )
    return Litestar(
        [okta, by_path, oauth_routes, security_routes, control, org_metadata, _organization],
        exception_handlers={ApiError: refuse, HTTPException: refuse_http, Exception: fail},
        before_send=[add_headers],
        openapi_config=None,
        logging_config=None,
    )


@asynccontextmanager
async def serve(settings: EmulatorSettings, listen: Listen, clock: Clock) -> AsyncIterator[tuple[Emulator, Listen]]:
    """Run an org and serve its API. Yield the org and its listening address. If `listen` has port 0, the
    address has the port that the system chose.

    Raises:
        SettingsError: the server cannot listen on the address.
        KeyFormatError: the text of a service app's key is not a key.
    """
    async with Emulator(settings, clock) as emulator:
        limiter = ConnectionLimiter(ListenerLimits(), clock, lambda _: None)
        server = Server(create_app(emulator), listen, limiter)
        await server.start()
        try:
            yield emulator, server.address
        finally:
            await server.stop(1.0)


async def _admit(request: OktaRequest) -> None:
    """Authenticate and authorize a call of Okta's API, and count it for the rate limit. Raise ApiError if the
    call is refused."""
    path, auth = request.url.path, org(request).authenticator
    name = auth.caller(request.method, path, request.headers)
    by_token = name == API_TOKEN
    request.state.caller = Caller(
        org(request).users.owner.id if by_token else name,
        by_token,
        ip=request.client.host if request.client else "",
        agent=request.headers.get("user-agent", ""),
    )
    if not by_token:
        check_access(org(request), name, request.method, path)
    allowed, limit = auth.rate_limits.count("logs" if path == "/api/v1/logs" else "other", name)
    set_rate_limit(request, limit)
    if not allowed:
        raise too_many_requests()
    # `curl -d` sends the content type of a form by default.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"", "application/json"} and await request.body():
        raise wrong_media_type()


@get("/.well-known/okta-organization")
async def _organization(request: OktaRequest) -> dict[str, Any]:
    """Return the org's metadata. Terraform's provider reads the org's engine (`pipeline`) from it."""
    emulator = org(request)
    return {
        "id": emulator.org_id,
        "pipeline": "idx",
        "settings": {"analyticsCollectionEnabled": False, "bugReportingEnabled": False, "omEnabled": False},
        "_links": {"organization": {"href": emulator.settings.url}},
    }


@post("/events", status_code=200)
async def _emit(request: OktaRequest) -> dict[str, list[str]]:
    requested = decode(await request.body(), _EventsRequest)
    decode(msgspec.json.encode(requested.fields), _ReadFields, "fields")
    if requested.since is None:
        user = None if requested.user is None else org(request).users.find(requested.user).entity()
        change = partial(changed, user=user, fields=requested.fields)
        return {"events": await org(request).emit(requested.count, requested.types, change)}
    since = to_micros(requested.since)
    return {"events": await org(request).emit_past(requested.count, requested.types, since=since)}


@put("/faults")
async def _set_faults(request: OktaRequest) -> dict[str, Any]:
    """Replace all faults. Faults that are missing in the body are switched off."""
    faults = decode_section(await request.body(), Faults, "faults")
    org(request).faults = faults
    return faults.model_dump()


@post("/preview", status_code=200)
async def _preview(request: OktaRequest) -> Previewed:
    requested = decode(await request.body(), _PreviewRequest)
    return await org(request).preview(requested.hook, requested.event)


@get("/state")
async def _state(request: OktaRequest) -> dict[str, Any]:
    emulator = org(request)
    url = emulator.settings.url
    return {
        "users": [msgspec.structs.asdict(user) for user in emulator.users.all()],
        "groups": [
            msgspec.structs.asdict(group) | {"members": sorted(group.members)} for group in emulator.groups.all()
        ],
        "zones": [zone.view(url) for zone in emulator.zones.all()],
        "prompts": emulator.prompts.all(),
        "roles": emulator.admin_roles.roles(),
        "resource_sets": emulator.admin_roles.sets(),
        "providers": [provider.view(url) for provider in emulator.providers.all()],
        "sets": emulator.security_events.all(),
    }


@get("/calls")
async def _calls(request: OktaRequest) -> list[Call]:
    return org(request).calls


@get("/ledger")
async def _ledger(request: OktaRequest) -> EmulatorLedger:
    return org(request).ledger()
