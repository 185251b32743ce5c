"""What Okta's error responses mean, and what an operator does about them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from forwarder.core.errors import OktaRefusedError, OktaUnreachableError


class NoResponseError(OktaUnreachableError):
    """There is no readable response. `sent`: Okta may have received the request and carried it out.
    `too_large`: the response is too large, and would be if the request is repeated. `hint`: what the operator
    can do."""

    def __init__(self, message: str, *, sent: bool, too_large: bool = False, hint: str = "") -> None:
        super().__init__(message)
        self.sent = sent
        self.too_large = too_large
        self.hint = hint


class ErrorResponse(msgspec.Struct, frozen=True):
    """A response that is not 2xx.

    Attributes:
        status: the HTTP status.
        code: Okta's `errorCode`, or the `error` of its token endpoint; empty if there is none.
        summary: Okta's error text, with its causes.
        redirect_host: the host that a redirect points to; empty if there is no redirect.
        from_token_endpoint: whether this is the response to a request for a token.
        error_id: Okta's id of this error, for its support.
        headers: of the response.
    """

    status: int
    code: str = ""
    summary: str = ""
    redirect_host: str = ""
    from_token_endpoint: bool = False
    error_id: str = ""
    headers: Mapping[str, str] = {}


class Permission(msgspec.Struct, frozen=True):
    """What a call needs: a scope (service apps only), an admin permission, and the standard roles that include it."""

    scope: str
    permission: str
    roles: str


def required_permission(method: str, path: str) -> Permission | None:
    """Return the permission that a call of an endpoint needs; None if this function does not know the
    endpoint."""
    kind = "read" if method == "GET" else "manage"
    if path.startswith("/api/v1/eventHooks"):
        return Permission(
            f"okta.eventHooks.{kind}",
            f"the permission okta.eventhooks.{kind}",
            "the Super Administrator, or a custom role with that permission",
        )
    if path.startswith("/api/v1/zones"):
        return Permission(
            f"okta.networkZones.{kind}",
            "the right to manage network zones",
            "the Organization Administrator or the Super Administrator",
        )
    if path.startswith("/api/v1/logs"):
        return Permission(
            "okta.logs.read",
            "the permission to view the System Log",
            "the Report Administrator and the Read-only Administrator (the least ones), the Super Administrator",
        )
    return None


def read_error(status: int, content: bytes, headers: Any) -> ErrorResponse:
    """Read an error response of an API endpoint.

    Args:
        status: the HTTP status.
        content: the body; if a proxy sent it, it may be anything.
        headers: a mapping that ignores case.
    """
    redirect_host = urlsplit(headers.get("location", "")).netloc
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return ErrorResponse(status, redirect_host=redirect_host, headers=headers)
    causes = body.get("errorCauses")
    summaries = [body.get("errorSummary") or body.get("error_description")]
    if isinstance(causes, list):
        summaries += [cause.get("errorSummary") for cause in causes if isinstance(cause, dict)]
    summary = "; ".join(text for text in summaries if isinstance(text, str) and text)
    return ErrorResponse(
        status,
        str(body.get("errorCode") or body.get("error") or ""),
        summary,
        redirect_host,
        error_id=str(body.get("errorId") or ""),
        headers=headers,
    )


def refused(call: tuple[str, str, str], response: ErrorResponse, *, app: bool) -> OktaRefusedError:
    """Return the exception for an error response. Its text says what was refused, where, and what to do.

    Args:
        call: method, the org's URL, and the path.
        response: Okta's response.
        app: whether the credentials are those of a service app, not an API token.
    """
    method, origin, path = call
    token = response.from_token_endpoint
    where = f"POST {origin}/oauth2/v1/token" if token else f"{method} {origin}{path}"
    reason = " ".join(word for word in (str(response.status), response.code) if word)
    reason += f": {response.summary}" if response.summary else ""
    hint = _token_hint(response) if token else _hint(method, path, response, app=app)
    text = f"Okta refuses {where} ({reason})" + (f". {hint}" if hint else "")
    return OktaRefusedError(response.status, response.code, text, hint)


def _hint(method: str, path: str, response: ErrorResponse, *, app: bool) -> str:
    """Return what the operator can do about a refusal by an API endpoint; empty if only Okta's own text can
    say it."""
    if 300 <= response.status < 400:
        return (
            f"It redirects to {response.redirect_host or 'another address'}, where the credentials are not sent;"
            " set the org's `url` to its own address"
        )
    if response.code == "E0000015":
        return "The org lacks the feature; several network zones, for example, need Adaptive MFA. Ask Okta for it"
    if response.status == 401:
        return _REFUSED_APP if app else _REFUSED_SSWS
    if response.status == 403:
        return _missing(required_permission(method, path), app=app)
    if response.status == 404 and not response.code:
        return "The answer is not Okta's; set the org's `url` to its own address, as in https://acme.okta.com"
    if response.status == 429:
        return "The rate limit stayed used up through all retries; lower `reconcile.rate_share`, or see who else calls"
    return ""


def _missing(permission: Permission | None, *, app: bool) -> str:
    if permission is None:
        return (
            "The service app lacks a scope, or its admin role a permission"
            if app
            else "The admin role of the user who created the API token lacks a permission"
        )
    if app:
        return (
            f"The service app needs two things, and lacks at least one: the scope {permission.scope}, granted under"
            f" Applications > (the app) > Okta API Scopes and listed in `api.scopes`; and an admin role with"
            f" {permission.permission}, assigned under (the app) > Admin roles: {permission.roles}"
        )
    return (
        f"The user who created the API token needs an admin role with {permission.permission}: {permission.roles}."
        f" (An API token has no scopes; a service app would need the scope {permission.scope} as well)"
    )


_REFUSED_SSWS = (
    "The API token is wrong, revoked, or expired (unused for 30 days), or its user is deactivated; create a new one under"
    " Security > API > Tokens, and set `api.token`"
)
_REFUSED_APP = "Okta does not accept the access token that it gave the service app; is the app still active?"
_CLOCK = "the clock of this machine is right (the proofs carry the time)"

_TOKEN_HINTS = {
    "invalid_client": (
        "Check that `api.client_id` is the service app's and the app is active, that it authenticates with a public"
        " key, that this key belongs to `api.private_key` (with several keys, `api.key_id` names it), and that "
        + _CLOCK
    ),
    "invalid_dpop_proof": f"Check that `api.dpop` is true, which such an app needs, and that {_CLOCK}",
    "invalid_scope": (
        "Grant the service app each scope of `api.scopes` under Applications > (the app) > Okta API Scopes, or remove it"
        " from `api.scopes`"
    ),
    "invalid_request": "Check that `url` is the org's own address, and that the app is a service app (API Services)",
    "unauthorized_client": "The app must be a service app (API Services), with the grant Client Credentials",
}
_TOKEN_HINTS |= dict.fromkeys(("consent_required", "access_denied"), _TOKEN_HINTS["invalid_scope"])


def _token_hint(response: ErrorResponse) -> str:
    """Return what the operator can do about a refusal by the token endpoint."""
    if 300 <= response.status < 400:
        return _hint("POST", "", response, app=True)
    code = "invalid_dpop_proof" if "dpop" in response.code else response.code
    return _TOKEN_HINTS.get(code, "")
