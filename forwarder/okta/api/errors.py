"""What Okta's refusals mean, and what an operator does about them."""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from forwarder.core.errors import OktaRefusedError


class Refusal(msgspec.Struct, frozen=True):
    """An answer that is no 2xx.

    Attributes:
        status: of HTTP.
        code: Okta's `errorCode`, or the `error` of its token endpoint; empty where there is none.
        summary: Okta's words, with their causes.
        elsewhere: the host that a redirect leads to; empty for none.
        token: it is the token endpoint's.
    """

    status: int
    code: str = ""
    summary: str = ""
    elsewhere: str = ""
    token: bool = False


class Need(msgspec.Struct, frozen=True):
    """What a call needs.

    Attributes:
        scope: that a service app must be granted.
        permission: that its admin role, or the role of the user who made the API token, must hold.
        roles: standard admin roles that hold it.
    """

    scope: str
    permission: str
    roles: str


def need(method: str, path: str) -> Need | None:
    """What a call of an endpoint needs; None where this table does not know it."""
    kind = "read" if method == "GET" else "manage"
    if path.startswith("/api/v1/eventHooks"):
        return Need(
            f"okta.eventHooks.{kind}",
            f"the permission okta.eventhooks.{kind}",
            "the Super Administrator, or a custom role with that permission",
        )
    if path.startswith("/api/v1/logs"):
        return Need(
            "okta.logs.read",
            "the permission to view the System Log",
            "the Report Administrator and the Read-only Administrator (the least ones), the Super Administrator",
        )
    return None


def read(status: int, content: bytes, location: str = "") -> Refusal:
    """Read a refusal of an API endpoint.

    Args:
        status: of HTTP.
        content: the body; anything, where it is a proxy's.
        location: where a redirect leads.
    """
    elsewhere = urlsplit(location).netloc if location else ""
    try:
        told = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return Refusal(status, elsewhere=elsewhere)
    causes = told.get("errorCauses")
    summaries = [told.get("errorSummary") or told.get("error_description")]
    summaries += [cause.get("errorSummary") for cause in _dicts(causes)]
    words = "; ".join(text for text in summaries if isinstance(text, str) and text)
    return Refusal(status, str(told.get("errorCode") or told.get("error") or ""), words, elsewhere)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def refused(call: tuple[str, str, str], refusal: Refusal, *, app: bool) -> OktaRefusedError:
    """The error for a refusal: what, where, what to do.

    Args:
        call: method, the org's address, and the path.
        refusal: Okta's.
        app: the credentials are a service app's, not an API token.
    """
    method, origin, path = call
    where = f"POST {origin}/oauth2/v1/token" if refusal.token else f"{method} {origin}{path}"
    said = " ".join(word for word in (str(refusal.status), refusal.code) if word)
    said += f": {refusal.summary}" if refusal.summary else ""
    hint = _token_hint(refusal) if refusal.token else _hint(method, path, refusal, app=app)
    return OktaRefusedError(
        refusal.status, refusal.code, f"Okta refuses {where} ({said})" + (f". {hint}" if hint else "")
    )


def _hint(method: str, path: str, refusal: Refusal, *, app: bool) -> str:
    """What to do about a refusal of an API endpoint; empty where Okta's own words must do."""
    if 300 <= refusal.status < 400:
        return (
            f"It sends us to {refusal.elsewhere or 'another address'}, where the credentials do not go;"
            " set the org's `url` to its own address"
        )
    if refusal.status == 401:
        return _UNKNOWN_APP if app else _UNKNOWN_SSWS
    if refusal.status == 403:
        return _missing(need(method, path), app=app)
    if refusal.status == 429:
        return "The rate limit stayed used up through all tries; lower `reconcile.rate_share`, or see who else calls"
    return ""


def _missing(needs: Need | None, *, app: bool) -> str:
    if needs is None:
        return (
            "The service app lacks a scope, or its admin role a permission"
            if app
            else "The admin role of the user who made the API token lacks a permission"
        )
    if app:
        return (
            f"The service app needs two things, and lacks one at least: the scope {needs.scope}, granted under"
            f" Applications > (the app) > Okta API Scopes and listed in `api.scopes`; and an admin role with"
            f" {needs.permission}, given under (the app) > Admin roles: {needs.roles}"
        )
    return (
        f"The user who made the API token needs an admin role with {needs.permission}: {needs.roles}. (An API token has"
        f" no scopes; a service app in its place needs the scope {needs.scope} as well)"
    )


_UNKNOWN_SSWS = (
    "The API token is wrong, revoked, or expired (unused for 30 days), or its user is deactivated; make a new one under"
    " Security > API > Tokens, and set `api.token`"
)
_UNKNOWN_APP = "Okta does not take the access token that it gave the service app; is the app still active?"
_CLOCK = "the clock of this machine is right (the proofs carry the time)"

_TOKEN_HINTS = {
    "invalid_client": (
        "Check that `api.client_id` is the service app's and the app is active, that it authenticates with a public"
        " key, that this key is the one of `api.private_key` (with several keys, `api.key_id` names it), and that "
        + _CLOCK
    ),
    "invalid_dpop_proof": f"Check that `api.dpop` is true, which such an app needs, and that {_CLOCK}",
    "invalid_scope": (
        "Grant the service app each scope of `api.scopes` under Applications > (the app) > Okta API Scopes, or take it"
        " out of `api.scopes`"
    ),
    "invalid_request": "Check that `url` is the org's own address, and that the app is a service app (API Services)",
    "unauthorized_client": "The app must be a service app (API Services), with the grant Client Credentials",
}
_TOKEN_HINTS |= dict.fromkeys(("consent_required", "access_denied"), _TOKEN_HINTS["invalid_scope"])


def _token_hint(refusal: Refusal) -> str:
    """What to do about a refusal of the token endpoint."""
    if 300 <= refusal.status < 400:
        return _hint("POST", "", refusal, app=True)
    if "dpop" in refusal.code:
        return _TOKEN_HINTS["invalid_dpop_proof"]
    return _TOKEN_HINTS.get(refusal.code, "")


_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+(\.[\w-]*)*")
_SHOWN = re.compile(r"(?i)\b(SSWS|Bearer|DPoP) +[\w.~+/=-]{8,}")
_KEY = re.compile(r"-----BEGIN[^-]*PRIVATE KEY-----.*?(-----END[^-]*-----|\Z)", re.DOTALL)


def scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    """`text` without what must not be seen, for Okta, or a proxy that poses as it, may tell us our own words.

    Args:
        text: of an error.
        secrets: in clear.
    """
    for secret in secrets:
        if len(secret) > 7:  # what is shorter is no secret, and may stand in any word
            text = text.replace(secret, "***")
    for pattern in (_KEY, _JWT, _SHOWN):
        text = pattern.sub("***", text)
    return text
