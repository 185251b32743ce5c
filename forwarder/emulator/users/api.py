"""`/api/v1/users`: status, life cycle, sessions, risk and roles of users; and the global token revocation."""

from typing import Any

from litestar import Response, delete, get, post, put
from litestar.params import FromPath

from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.errors import OktaApiError, decode, invalid
from forwarder.emulator.http.responses import OktaRequest, caller, org, org_url, paged, set_effect
from forwarder.emulator.http.search import matching
from forwarder.emulator.iam.custom_role_access import check_access
from forwarder.emulator.iam.standard_roles import standard_role
from forwarder.emulator.users.directory import EmulatedUser

_USER = "/users/{user_id:str}"


def _find(request: OktaRequest, user_id: str) -> EmulatedUser:
    return org(request).users.in_path(user_id)


@get("/users")
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    emulator, query = org(request), request.query_params
    begins = query.get("q", "").casefold()
    by = caller(request)
    found = [user for user in emulator.users.all() if by.by_token or _may_read(emulator, by.id, user)]
    found = [user for user in found if _begins(user, begins)]
    # Okta lists deactivated users only in the result of a `filter` or a `search`.
    if not query.get("filter") and not query.get("search"):
        found = [user for user in found if user.status != "DEPROVISIONED"]
    shown = matching(request, [user.view(emulator.settings.url) for user in found])
    return paged(request, shown, 200, default=10 if begins else 200)


def _may_read(emulator: Emulator, client_id: str, user: EmulatedUser) -> bool:
    """Whether the app `client_id` may read a user. To an app with custom roles, Okta lists only the users
    that the app may read."""
    try:
        check_access(emulator, client_id, "GET", f"/api/v1/users/{user.id}")
    except OktaApiError:
        return False
    return True


@get(_USER)
async def _show(request: OktaRequest, user_id: FromPath[str]) -> dict[str, Any]:
    return _find(request, user_id).view(org_url(request))


@post(f"{_USER}/lifecycle/{{step:str}}", status_code=200)
async def _lifecycle(request: OktaRequest, user_id: FromPath[str], step: FromPath[str]) -> dict[str, Any]:
    user = _find(request, user_id)
    before = user.status
    org(request).users.step(user, step, caller(request))
    set_effect(request, changed=user.status != before)
    return user.view(org_url(request)) if step == "expire_password" else {}


@delete(f"{_USER}/sessions")
async def _revoke(request: OktaRequest, user_id: FromPath[str]) -> None:
    tokens = request.query_params.get("oauthTokens") == "true"
    _end(request, _find(request, user_id), tokens=tokens)


@get(f"{_USER}/risk")
async def _risk(request: OktaRequest, user_id: FromPath[str]) -> dict[str, Any]:
    return _risk_view(request, _find(request, user_id))


@put(f"{_USER}/risk")
async def _set_risk(request: OktaRequest, user_id: FromPath[str]) -> Response[dict[str, Any]]:
    user = _find(request, user_id)
    body = decode(await request.body(), dict[str, Any], "risk")
    before = user.risk
    is_new = org(request).users.set_risk(user, body.get("riskLevel"), body.get("riskReason"), caller(request))
    set_effect(request, changed=user.risk != before)
    return Response(_risk_view(request, user), status_code=201 if is_new else 200)


@get(f"{_USER}/roles")
async def _roles(request: OktaRequest, user_id: FromPath[str]) -> list[dict[str, Any]]:
    emulator, user = org(request), _find(request, user_id)
    found = [standard_role(role, "USER") for role in user.roles]
    found += emulator.admin_roles.shown_of(f"{emulator.settings.url}/api/v1/users/{user.id}", "USER")
    for group in emulator.groups.of(user):
        found += [standard_role(role, "GROUP") for role in group.roles]
        found += emulator.admin_roles.shown_of(f"{emulator.settings.url}/api/v1/groups/{group.id}", "GROUP")
    return list({role["id"]: role for role in found}.values())


@post("/global-token-revocation", status_code=204)
async def revoke_everything(request: OktaRequest) -> None:
    """Answer `POST /oauth2/v1/global-token-revocation`. As in Okta, a 204 only says that the request was
    accepted."""
    body = decode(await request.body(), dict[str, Any])
    subject = body.get("sub_id")
    if not isinstance(subject, dict) or subject.get("format") != "opaque":
        raise invalid("sub_id", "sub_id: only the format `opaque` is emulated")
    users = org(request).users
    user, event_type = users.find(str(subject.get("id"))), "user.authentication.universal_logout"
    _end(request, user, tokens=True, event_type=event_type)


def _begins(user: EmulatedUser, text: str) -> bool:
    """Whether the login or a word of the name begins with `text`, ignoring case. `text` must be case-folded."""
    words = (user.login, *user.name.split())
    return any(word.casefold().startswith(text) for word in words)


def _end(request: OktaRequest, user: EmulatedUser, *, tokens: bool, event_type: str = "user.session.clear") -> None:
    before = (user.sessions, user.refresh_tokens)
    org(request).users.revoke(user, caller(request), tokens=tokens, event_type=event_type)
    set_effect(request, changed=(user.sessions, user.refresh_tokens) != before)


def _risk_view(request: OktaRequest, user: EmulatedUser) -> dict[str, Any]:
    """Return a user's risk as the API shows it. The field `reason` is called `riskReason` in the body of a
    PUT."""
    url = f"{org_url(request)}/api/v1/users/{user.id}"
    links = {
        "user": {"href": url, "hints": {"allow": ["GET"]}},
        "self": {"href": f"{url}/risk", "hints": {"allow": ["GET", "PUT"]}},
    }
    if user.risk is None:
        return {"riskLevel": "NONE", "_links": links}
    level, reason = user.risk
    return {"riskLevel": level, "reason": reason, "_links": links}


USER_ROUTES = (_list, _show, _lifecycle, _revoke, _risk, _set_risk, _roles)
