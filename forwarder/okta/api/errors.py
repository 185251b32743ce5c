"""What Okta's error responses mean, and what an operator can do about them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.connection_errors import refusal_hint
from forwarder.core.errors import OktaRefusedError, OktaUnreachableError
from forwarder.core.redaction import redact_start
from forwarder.core.urls import split_url
from forwarder.okta.api.port import Response

SUMMARY_LIMIT = 1_000
"""The most characters of Okta's error text that are kept."""


class NoResponseError(OktaUnreachableError):
    """There is no readable response.

    Attributes:
        sent: whether Okta may have received the request and carried it out.
        too_large: whether the response is too large, so that the same request would fail again.
        cut: the 2xx response that is too large, with only the start of its body; else None.
        hint: what the operator can do; empty if nothing is known.
    """

    def __init__(
        self, message: str, *, sent: bool, too_large: bool = False, cut: Response | None = None, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.too_large = too_large
        self.cut = cut
        self.hint = hint


class ErrorResponse(msgspec.Struct, frozen=True):
    """A response that is not 2xx.

    Attributes:
        code: Okta's `errorCode`, or the `error` of its token endpoint; empty if there is none.
        summary: Okta's error text, with its causes. `summary`, `code` and `error_id` were shortened and cleaned by
            `redacted`.
        redirect_host: the host that a redirect points to; empty if there is no redirect.
        from_token_endpoint: whether this is the response to a request for a token.
        error_id: Okta's id of this error, which Okta's support asks for.
    """

    status: int
    code: str = ""
    summary: str = ""
    redirect_host: str = ""
    from_token_endpoint: bool = False
    error_id: str = ""
    headers: Mapping[str, str] = {}


class Permission(msgspec.Struct, frozen=True):
    """What a call needs: a scope (service apps only) and an admin permission. `roles` are the roles that include the
    permission."""

    scope: str
    permission: str
    roles: str


def required_permission(method: str, path: str) -> Permission | None:
    """Return the permission that a call of an endpoint needs; None for endpoints that this function does not know."""
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
            "the Report Administrator or the Read-only Administrator (these two have the fewest rights), or the Super Administrator",
        )
    return None


def redacted(text: object, limit: int = 100) -> str:
    """Return the start of a text from an error response of Okta or of a proxy, without the parts of our request that the
    text repeats."""
    return redact_start(str(text or ""), limit)


def read_error(status: int, content: bytes, headers: Any) -> ErrorResponse:
    """Read an error response of an API endpoint. The body need not be JSON, because the response may come from a proxy.
    `headers` is a mapping that ignores the case of names."""
    redirect_host = split_url(headers.get("location", "")).netloc
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
    summary = redacted("; ".join(text for text in summaries if isinstance(text, str) and text), SUMMARY_LIMIT)
    return ErrorResponse(
        status,
        redacted(body.get("errorCode") or body.get("error")),
        summary,
        redirect_host,
        error_id=redacted(body.get("errorId")),
        headers=headers,
    )


def refused(call: tuple[str, str, str], response: ErrorResponse, *, app: bool) -> OktaRefusedError:
    """Return the exception for an error response. The text of the exception says which call Okta refused, why, and what
    to do.

    `call` is the method, the org's URL, and the path; `app` says whether the credentials belong to a service app.
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
    """Return what the operator can do after an API endpoint refused a call; empty if Okta's text is all that we
    know."""
    if 300 <= response.status < 400:
        return (
            f"The response redirects to {response.redirect_host or 'another address'}, and credentials are not sent"
            " there; set the org's `url` to its own address"
        )
    if response.code == "E0000015":
        return (
            "The org lacks a feature that this call needs; more than one network zone, for example, needs Adaptive MFA."
            " Ask Okta to enable the feature"
        )
    if response.code == "invalid_dpop_proof":
        return "Check that the clock of this machine is right, because the DPoP proof of each call contains the time"
    if response.status == 401:
        return _REFUSED_APP if app else _REFUSED_SSWS
    if response.status == 403:
        return _missing(required_permission(method, path), app=app)
    if response.status == 404 and not response.code:
        return "A server that is not Okta answered; set the org's `url` to its own address, as in https://acme.okta.com"
    if response.status == 429:
        return (
            "The rate limit was used up at each attempt; lower `reconcile.rate_share`, or find out which other clients"
            " use up the limit"
        )
    return _usual_hint(response)


def _usual_hint(response: ErrorResponse) -> str:
    """Return the hint that fits any refusal; empty if Okta itself says what is wrong with the call."""
    hint = refusal_hint(response.status, "Okta", "the org's `url`", is_own=bool(response.code))
    return hint[:1].upper() + hint[1:]


def _missing(permission: Permission | None, *, app: bool) -> str:
    if permission is None:
        return (
            "The service app lacks a scope, or its admin role lacks a permission"
            if app
            else "The admin role of the user who created the API token lacks a permission"
        )
    if app:
        return (
            f"The service app needs a scope and an admin role, and lacks at least one of them. The scope is {permission.scope}:"
            " grant it under Applications > (the app) > Okta API Scopes, and list it in `api.scopes`. The role is one with"
            f" {permission.permission}: {permission.roles}; assign it under (the app) > Admin roles"
        )
    return (
        f"The user who created the API token needs an admin role with {permission.permission}: {permission.roles}."
        f" (A service app would also need the scope {permission.scope}; an API token has no scopes)"
    )


_REFUSED_SSWS = (
    "The API token is wrong, revoked, or expired (unused for 30 days), or its user is deactivated; create a new one under"
    " Security > API > Tokens, and set `api.token`"
)
_REFUSED_APP = "Okta does not accept the access token that it gave the service app; is the app still active?"
_CLOCK = "the clock of this machine is right (each request for a token contains the time)"

_TOKEN_HINTS = {
    "invalid_client": (
        "Check these: `api.client_id` is the id of the service app; the app is active and authenticates with a public key;"
        " `api.private_key` belongs to this key (if the app has several keys, set `api.key_id`); " + _CLOCK
    ),
    "invalid_dpop_proof": f"The app requires DPoP: check that `api.dpop` is true, and that {_CLOCK}",
    "invalid_scope": (
        "Grant the service app each scope of `api.scopes` under Applications > (the app) > Okta API Scopes, or remove it"
        " from `api.scopes`"
    ),
    "invalid_request": "Check that `url` is the org's own address, and that the app is a service app (API Services)",
    "unauthorized_client": "The app must be a service app (API Services), with the grant Client Credentials",
}
_TOKEN_HINTS |= dict.fromkeys(("consent_required", "access_denied"), _TOKEN_HINTS["invalid_scope"])


def _token_hint(response: ErrorResponse) -> str:
    """Return what the operator can do after the token endpoint refused a request; empty if nothing is known."""
    if 300 <= response.status < 400:
        return _hint("POST", "", response, app=True)
    code = "invalid_dpop_proof" if "dpop" in response.code else response.code
    return _TOKEN_HINTS.get(code) or _usual_hint(response)
