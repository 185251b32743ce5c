"""Asks a user by CIBA (OpenID Connect Client-Initiated Backchannel Authentication), in poll mode, the only mode that Okta has.

The user's phone needs the customer's own app with Okta's Devices SDK, because Okta Verify cannot answer a CIBA request.
The tokens of an approval prove who answered, and are not kept.
"""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from forwarder.core.action import Action, ActionRequest
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer, OktaCall, unreadable
from forwarder.react.prompts.id_token import IdTokens
from forwarder.react.prompts.message import message_of
from forwarder.react.prompts.oauth import AuthorizationServer
from forwarder.react.prompts.results import (
    INTERVAL,
    Handle,
    PollResult,
    PromptProgress,
    Reply,
    ids_of,
    look_up_failed,
    not_sent,
)

_GRANT = "urn:openid:params:grant-type:ciba"
_ASK = "/v1/bc/authorize"
_MOST_SECONDS = 300
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,1000}")

_UNREACHABLE = {
    **dict.fromkeys(
        ("invalid_request", "unknown_user_id"),
        "the app does not know the user; assign them to the app of reactions.ciba.client_id",
    ),
    "access_denied": "Okta could not start the challenge; reactions.ciba.client_id must be a web app with a custom"
    " authenticator, whose push service works",
    "E0000214": "the user is not enrolled for CIBA in the custom authenticator's app (Okta Verify cannot do CIBA)",
}
"""The errors of the call that asks the user, after which the user counts as unreachable. `access_denied` does not mean
here that the user denied."""

_HINTS = {
    "invalid_client": "check client_id, private_key and key_id in reactions.ciba, that the app has the grant CIBA, and"
    " this machine's clock",
    "unauthorized_client": "give the app of reactions.ciba.client_id the grant CIBA",
    "invalid_scope": "the authorization server must allow the scope openid; see the access policy of reactions.ciba.server",
    "E0000007": "the authorization server that reactions.ciba.server names does not exist; correct the id",
}


class Ciba:
    """Sends CIBA prompts by the app of one org."""

    def __init__(self, api: OktaCall, server: AuthorizationServer, tokens: IdTokens, clock: Clock) -> None:
        self._api = api
        self._server = server
        self._tokens = tokens
        self._clock = clock

    async def prepare(self, action: Action) -> PromptProgress | ActionRequest:
        """Look up the user's login, and return the request that asks the user. If the look-up fails, return a
        PromptProgress that says why. `send` adds the proof that authenticates the app."""
        # The login in the event is not used: a forged event may have any login. The guards have looked up the id.
        user = await self._api.call("GET", f"/api/v1/users/{quote(action.target.id, safe='')}")
        if not user.ok:
            return look_up_failed(user)
        login = _login(user.body)
        if login is None:
            return look_up_failed(unreadable(user, "the look-up of the user"))
        form = {
            "scope": "openid",
            "login_hint": login,
            "binding_message": message_of(action),
            "request_expiry": str(_expiry(action)),
        }
        return ActionRequest(action.org, "POST", f"{self._server.path}{_ASK}", form)

    async def send(self, action: Action, request: ActionRequest) -> PromptProgress | Handle:
        """Send at most one POST that asks the user."""
        asked = self._clock.now()
        return self._sent(await self._server.post(_ASK, request.body), action, asked)

    async def look(self, handle: Handle, user: str) -> PollResult:
        """Poll once, and return the result."""
        if (failed := await self._tokens.load_keys()) is not None:
            # Do not poll: an approval could not be checked, and Okta sends it only once.
            return PollResult(
                retry_at=failed.retry_at, detail=f"not polled, because an approval could not be checked: {failed.text}"
            )
        answer = await self._server.post("/v1/token", {"grant_type": _GRANT, "auth_req_id": handle.poll})
        ids = ids_of(answer)
        if answer.ok:
            why = await self._tokens.problem(answer.body, user, handle.asked)
            if why:
                return PollResult(
                    Reply.UNKNOWN, detail=f"the id_token does not prove that the user approved: {why}", **ids
                )
            return PollResult(Reply.APPROVED, **ids)
        if answer.code in {"authorization_pending", "slow_down"}:
            return PollResult(is_pending=True, is_slower=answer.code == "slow_down", **ids)
        if answer.code in {"expired_token", "invalid_grant"}:
            return PollResult(is_spent=True, detail=answer.text, **ids)
        if answer.code == "access_denied":
            return PollResult(Reply.DENIED, **ids)
        if answer.status == 429 or not answer.sent:
            return PollResult(retry_at=answer.retry_at, detail=answer.text, **ids)
        if answer.is_retryable or not answer.code:  # an error without a code is not from Okta; a proxy may have sent it
            return PollResult(is_lost=True, retry_at=answer.retry_at, detail=answer.text, **ids)
        return PollResult(Reply.UNKNOWN, detail=_hinted(answer), **ids)

    async def withdraw(self, _handle: Handle) -> None:
        """Do nothing: CIBA cannot withdraw a request."""

    def _sent(self, answer: Answer, action: Action, asked: Micros) -> PromptProgress | Handle:
        ids = ids_of(answer)
        if not answer.ok:
            if answer.code in _UNREACHABLE:
                detail = f"{_UNREACHABLE[answer.code]} ({answer.status} {answer.code})"
                return PromptProgress(Reply.UNREACHABLE, detail=detail, **ids)
            return not_sent(msgspec.structs.replace(answer, text=_hinted(answer)))
        body = answer.body if isinstance(answer.body, dict) else {}
        request_id = body.get("auth_req_id")
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            text = "Okta's answer has no auth_req_id; it is not known whether the user was asked"
            return PromptProgress(Reply.UNKNOWN, detail=text, **ids)
        seconds = _seconds(body.get("expires_in"), _expiry(action), 3600)
        return Handle(request_id, asked, asked + round(seconds * SECOND), _seconds(body.get("interval"), INTERVAL, 300))


def _login(body: Any) -> str | None:
    profile = body.get("profile") if isinstance(body, dict) else None
    login = profile.get("login") if isinstance(profile, dict) else None
    return login if isinstance(login, str) and login else None


def _expiry(action: Action) -> int:
    """Return how many seconds the user has to answer the prompt `action`."""
    return round(_seconds(action.settings.get("expires"), _MOST_SECONDS, _MOST_SECONDS))


def _seconds(value: Any, default: float, most: float) -> float:
    """Return `value`, but at least 1 and at most `most`; `default` if `value` is not a number above 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(min(max(value, 1), most)) if is_number and value > 0 else default


def _hinted(answer: Answer) -> str:
    hint = _HINTS.get(answer.code)
    return f"{answer.text}. {hint[0].upper()}{hint[1:]}" if hint else answer.text
