"""CIBA: an app calls `bc/authorize` to send a prompt to a user, and polls `token` for the answer. The texts
of the errors are Okta's."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from forwarder.core.time import SECOND
from forwarder.emulator.actors import Caller
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.errors import ApiError, OktaApiError, oauth_error
from forwarder.emulator.prompts.prompts import Prompt
from forwarder.emulator.prompts.push import service_error
from forwarder.emulator.users.directory import EmulatedUser

_LONGEST = 300
"""The longest time that a prompt may wait for an answer, in seconds; also the default."""

_TOKEN_LIFETIME = 3600


def ask(emulator: Emulator, server: str | None, form: Mapping[str, str], client_id: str) -> dict[str, Any]:
    """Send a prompt to the user that the form names. Return the response to `POST …/bc/authorize`.

    `server` is the id of the authorization server; None stands for the org's own server. The app `client_id` is
    already authenticated.

    Raises:
        ApiError: the org refuses the call, and sends no prompt.
    """
    client = emulator.settings.clients[client_id]
    if not client.ciba and not client.secret:
        kind = "only supports web applications."
        raise oauth_error(
            400, "access_denied", f"The Client-Initiated Backchannel Authentication flow currently {kind}"
        )
    _require_grant(emulator, client_id)
    if "request" in form:
        form = _signed(emulator, server, form["request"], client_id)
    if "openid" not in (scopes := form.get("scope", "").split()):
        reason = "The Client-Initiated Backchannel Authentication Flow must contain 'openid' scope."
        raise oauth_error(400, "invalid_scope", reason if scopes else "No scopes were requested.")
    expiry = _expiry(form)
    user = _hinted(emulator, form)
    _require_reachable(emulator, user)
    now = emulator.clock.now()
    prompt = Prompt(
        id=f"ft{secrets.token_urlsafe(24)}",
        by="ciba",
        user=user.id,
        caller=client_id,
        asked=now,
        expires=now + expiry * SECOND,
        server=emulator.servers.issuer(server),
        message=form.get("binding_message"),
    )
    emulator.prompts.ask(prompt, user)
    return {"auth_req_id": prompt.id, "expires_in": expiry, "interval": round(prompt.interval)}


def redeem(emulator: Emulator, server: str | None, form: Mapping[str, str], client_id: str) -> dict[str, Any]:
    """Return the tokens that answer a poll by `POST …/token`. For the arguments, see `ask`.

    Raises:
        ApiError: the user has denied the prompt or has not answered yet, the prompt has expired, or the poll
            is too early.
    """
    _require_grant(emulator, client_id)
    prompt = emulator.prompts.find(form.get("auth_req_id", ""))
    mine = prompt and (prompt.by, prompt.caller, prompt.server) == ("ciba", client_id, emulator.servers.issuer(server))
    if prompt is None or not mine or prompt.redeemed:
        raise _expired()
    if emulator.prompts.record_poll(prompt) and prompt.result != "TIMEOUT":
        raise oauth_error(400, "slow_down", "Slow down the polling frequency. Try again later.")
    if prompt.result == "TIMEOUT":
        raise _expired()
    if prompt.result == "WAITING":
        reason = "The authorization request is still pending as the user hasn't yet been authenticated."
        raise oauth_error(400, "authorization_pending", reason)
    if prompt.result == "REJECTED":
        raise oauth_error(403, "access_denied", "The resource owner or authorization server denied the request.")
    prompt.redeemed = True
    return _tokens(emulator, server, emulator.users.find(prompt.user), client_id)


def _require_grant(emulator: Emulator, client_id: str) -> None:
    if not emulator.settings.clients[client_id].ciba:
        reason = "The client doesn't have the 'urn:openid:params:grant-type:ciba' grant type configured."
        raise oauth_error(401, "invalid_client", reason)


def _signed(emulator: Emulator, server: str | None, request: str, client_id: str) -> Mapping[str, str]:
    """Return the parameters in the signed request `request`. They replace the parameters of the form."""
    if not emulator.settings.clients[client_id].request_alg:
        raise oauth_error(
            401,
            "invalid_client",
            "The client doesn't have a RequestObjectSigningAlgorithm configured for signing authentication"
            " requests for the Client-Initiated Backchannel Authentication flow.",
        )
    clients = emulator.authenticator.clients
    return clients.request_object(request, client_id, emulator.servers.issuer(server))


def _expired() -> ApiError:
    reason = "The 'auth_req_id' is invalid or has expired. Make a new authentication request."
    return oauth_error(400, "expired_token", reason)


def _expiry(form: Mapping[str, str]) -> int:
    """Return the prompt's lifetime in seconds, from the form's `request_expiry`. Like Okta, ignore
    `requested_expiry`, which is the name of this parameter in the standard (CIBA Core)."""
    text = form.get("request_expiry", str(_LONGEST))
    if not text.isdecimal() or not 1 <= int(text) <= _LONGEST:
        reason = f"Invalid value for 'request_expiry' parameter. It should be within range 1 - {_LONGEST}."
        raise oauth_error(400, "invalid_request", reason)
    return int(text)


def _hinted(emulator: Emulator, form: Mapping[str, str]) -> EmulatedUser:
    """Return the user that the form's hint names. Raise ApiError if the org cannot send a prompt to this
    user."""
    if ("login_hint" in form) == ("id_token_hint" in form):
        raise oauth_error(
            400,
            "invalid_request",
            "The Client-Initiated Backchannel Authentication Flow must contain only one of 'id_token_hint' or"
            " 'login_hint'.",
        )
    hint: str | None = form.get("login_hint")
    if hint is None:
        hint = emulator.servers.subject(form["id_token_hint"])
    try:
        user = emulator.users.find(hint or "")
    except OktaApiError:
        raise _unknown_user() from None
    if emulator.prompts.phone(user).fault == "unassigned" or user.status not in {"ACTIVE", "PASSWORD_EXPIRED"}:
        raise _unknown_user()
    return user


def _unknown_user() -> ApiError:
    reason = "The hint provided in the request did not match a user assigned to the client app."
    return oauth_error(400, "invalid_request", reason)


def _require_reachable(emulator: Emulator, user: EmulatedUser) -> None:
    fault = emulator.prompts.phone(user).fault
    if fault == "service_error":
        raise service_error()
    if fault == "not_enrolled":
        summary = "User has no custom authenticator enrollments that have CIBA as a transactionType"
        raise OktaApiError(400, "E0000214", summary)
    if fault == "mfa_start_failed":
        raise oauth_error(
            400,
            "access_denied",
            "Failed to initiate the MFA challenge for the Client-Initiated Backchannel Authentication flow.",
        )


def _tokens(emulator: Emulator, server: str | None, user: EmulatedUser, client_id: str) -> dict[str, Any]:
    access_token = secrets.token_urlsafe(96)
    issued = emulator.clock.now() // SECOND
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    claims = {
        "sub": user.id,
        "aud": client_id,
        "iat": issued,
        "exp": issued + _TOKEN_LIFETIME,
        "jti": f"ID.{secrets.token_urlsafe(32)}",
        "ver": 1,
        "amr": ["swk", "mfa"],
        "auth_time": issued,
        "name": user.name,
        "email": user.login,
        "preferred_username": user.login,
        "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
    }
    id_token = emulator.servers.sign(server, claims)
    kind = "app.oauth2.token.grant" if server is None else "app.oauth2.as.token.grant"
    for token in ("id_token", "access_token"):
        emulator.report_change(f"{kind}.{token}", Caller(client_id, by_token=False), target=[user.entity()])
    return {
        "token_type": "Bearer",
        "expires_in": _TOKEN_LIFETIME,
        "access_token": access_token,
        "scope": "openid",
        "id_token": id_token,
    }
