"""The endpoints of the authorization servers, below `/oauth2` and `/oauth2/{id}`: tokens, CIBA, keys and
metadata. A path without an id belongs to the org's own server."""

from typing import Any
from urllib.parse import parse_qsl

from litestar import Router, get, post
from litestar.params import FromPath

from forwarder.emulator.actors import Caller
from forwarder.emulator.http.errors import oauth_error, too_many_requests
from forwarder.emulator.http.middleware import recorded
from forwarder.emulator.http.responses import OktaRequest, org, set_rate_limit
from forwarder.emulator.oauth.servers import CIBA_GRANT
from forwarder.emulator.prompts import ciba

_CONFIGURATION = "/.well-known/openid-configuration"
_AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"


async def _form(request: OktaRequest) -> dict[str, str]:
    """Return the parameters of a call, from its query and its body. Okta's Go client sends the parameters in
    the query."""
    try:
        parts = request.scope["query_string"], await request.body()
        return dict(pair for part in parts for pair in parse_qsl(part.decode(), keep_blank_values=True))
    except (UnicodeDecodeError, ValueError) as error:
        raise oauth_error(400, "invalid_request", "The body must be a form.") from error


def _client(request: OktaRequest, form: dict[str, str], url: str) -> str:
    """Authenticate the app that calls `url`, count the call for the app's rate limit, and return the app's
    client id."""
    auth = org(request).authenticator
    client_id = auth.clients.client(form, request.headers.get("authorization"), url)
    request.state.caller = Caller(client_id, by_token=False)
    allowed, limit = auth.rate_limits.count("other", client_id)
    set_rate_limit(request, limit)
    if not allowed:
        raise too_many_requests()
    return client_id


@post(["/v1/bc/authorize", "/{server:str}/v1/bc/authorize"], status_code=200)
async def _ask(request: OktaRequest, server: FromPath[str | None] = None) -> dict[str, Any]:
    emulator, form = org(request), await _form(request)
    client_id = _client(request, form, f"{emulator.servers.base(server)}/v1/bc/authorize")
    return ciba.ask(emulator, server, form, client_id)


@post(["/v1/token", "/{server:str}/v1/token"], status_code=200)
async def _issue(request: OktaRequest, server: FromPath[str | None] = None) -> dict[str, Any]:
    emulator, form = org(request), await _form(request)
    if form.get("grant_type") == CIBA_GRANT:
        client_id = _client(request, form, f"{emulator.servers.base(server)}/v1/token")
        return ciba.redeem(emulator, server, form, client_id)
    if server is not None:
        emulator.servers.base(server)
        reason = "The authorization grant type is not supported by the authorization server."
        raise oauth_error(400, "unsupported_grant_type", f"{reason} Configured grant types: [{CIBA_GRANT}].")
    return emulator.authenticator.tokens.issue(form, request.headers.get("dpop"))


@get(["/v1/keys", "/{server:str}/v1/keys"])
async def _keys(request: OktaRequest, server: FromPath[str | None] = None) -> dict[str, Any]:
    return org(request).servers.keys(server)


@get([f"/{{server:str}}{_CONFIGURATION}", f"/{{server:str}}{_AUTHORIZATION_SERVER}"])
async def _custom_metadata(request: OktaRequest, server: FromPath[str]) -> dict[str, Any]:
    return org(request).servers.metadata(server)


@get([_CONFIGURATION, _AUTHORIZATION_SERVER])
async def org_metadata(request: OktaRequest) -> dict[str, Any]:
    """Show the metadata of the org's own server."""
    return org(request).servers.metadata(None)


oauth_routes = Router("/oauth2", route_handlers=[_ask, _issue, _keys, _custom_metadata], middleware=[recorded])
