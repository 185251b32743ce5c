"""Asks a user by a push to Okta Verify, through the Factors API. A push cannot show a text of the forwarder; it shows
only the forwarder's IP address."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from forwarder.core.action import Action, ActionRequest
from forwarder.core.ports import Clock
from forwarder.core.time import Micros, to_micros
from forwarder.react.ports import Answer, OktaCall, unreadable
from forwarder.react.prompts.results import (
    LONGEST,
    Handle,
    PollResult,
    PromptProgress,
    Reply,
    ids_of,
    look_up_failed,
    not_sent,
)

_STALE = 5.0
"""If a prompt has waited longer than this many seconds for the rate limit, the guards must judge it again."""

_REPLIES = {
    "SUCCESS": Reply.APPROVED,
    "REJECTED": Reply.DENIED,
    "TIMEOUT": Reply.TIMEOUT,
    "TIME_WINDOW_EXCEEDED": Reply.TIMEOUT,
}

_UNREACHABLE = {
    "E0000007": "Okta does not know the user or the factor any more",
    "E0000069": "the user is locked; unlock them if that is right, and ask them in another way",
    "E0000154": "the user's push factor is not active; the user must set up Okta Verify again",
    "E0000155": "the user is not active, so nothing can be asked",
    "E0000180": "the user's push factor is suspended, because the device is suspended; see Directory > Devices",
}
"""Okta's refusals that are about the user, not about our call."""

_HIDDEN = "Perhaps the user has one, but an authenticator policy hides it from the forwarder's address"


class Push:
    """Sends pushes through the API of one org."""

    def __init__(self, api: OktaCall, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    async def prepare(self, action: Action) -> PromptProgress | ActionRequest:
        """Look up the user's factor for pushes, and return the request that asks the user. If the user cannot be asked now,
        return a PromptProgress that says why."""
        path = f"/api/v1/users/{quote(action.target.id, safe='')}/factors"
        listed = await self._api.call("GET", path)
        if not listed.ok:
            return look_up_failed(listed)
        if not isinstance(listed.body, list):
            return look_up_failed(unreadable(listed, f"GET {path}"))
        verify, why = _verify_link(listed.body)
        if verify is None:
            return PromptProgress(Reply.UNREACHABLE, detail=why, request_id=listed.request_id)
        return ActionRequest(action.org, "POST", verify)

    async def send(self, _action: Action, request: ActionRequest) -> PromptProgress | Handle:
        """Send at most one POST that asks the user."""
        began = self._clock.monotonic()
        await self._api.ready("POST", request.path)
        if self._clock.monotonic() - began > _STALE:
            return PromptProgress(due=self._clock.now())
        asked = self._clock.now()
        return self._sent(await self._api.call("POST", request.path), asked)

    async def look(self, handle: Handle, _user: str) -> PollResult:
        """Poll once, and return the result."""
        answer = await self._api.call("GET", handle.poll)
        ids = ids_of(answer)
        if answer.status in {404, 410} and answer.code:  # an error without a code is not from Okta
            return PollResult(Reply.UNKNOWN, detail="Okta no longer knows the push", **ids)
        if not answer.ok:
            return PollResult(is_lost=True, retry_at=answer.retry_at, detail=answer.text, **ids)
        result = _result(answer.body)
        if result == "WAITING":
            return PollResult(is_pending=True)
        if result in _REPLIES:
            return PollResult(_REPLIES[result], **ids)
        text = "the push was withdrawn before the user had answered"
        return PollResult(
            Reply.UNKNOWN,
            detail=text if result == "CANCELLED" else f"Okta returned the unknown result {result!r}",
            **ids,
        )

    async def withdraw(self, handle: Handle) -> None:
        """Withdraw the push. The next poll shows whether the user answered before the push was withdrawn."""
        if handle.cancel:
            await self._api.call("DELETE", handle.cancel)

    def _sent(self, answer: Answer, asked: Micros) -> PromptProgress | Handle:
        ids = ids_of(answer)
        if not answer.ok:
            if answer.code in _UNREACHABLE or answer.status in {404, 410, 423}:
                known = _UNREACHABLE.get(answer.code)
                detail = f"{known} ({answer.status} {answer.code})" if known else answer.text
                return PromptProgress(Reply.UNREACHABLE, detail=detail, **ids)
            return not_sent(answer)
        result, links = _result(answer.body), _links(answer.body)
        if result in _REPLIES:
            return PromptProgress(_REPLIES[result], **ids)
        if result != "WAITING" or "poll" not in links:
            text = f"Okta answers {answer.status} {result} without a link to poll; it is not known whether the user was asked"
            return PromptProgress(Reply.UNKNOWN, detail=text, **ids)
        return Handle(links["poll"], asked, _expires(answer.body, asked), cancel=links.get("cancel", ""))


def _verify_link(body: list[Any]) -> tuple[str | None, str]:
    """Return the link that sends a push to the user's factor, and an empty text. If there is no such link, return None, and
    the reason as a text for an operator."""
    factors = [each for each in body if isinstance(each, dict)]
    pushes = [each for each in factors if each.get("factorType") == "push"]
    for factor in pushes:
        if factor.get("status") == "ACTIVE" and (link := _links(factor).get("verify")):
            return link, ""
    if pushes:
        return None, f"the user's push factor is {str(pushes[0].get('status'))[:40]}, not ACTIVE"
    return None, f"the user has no push factor (Okta Verify with push). {_HIDDEN}"


def _expires(body: Mapping[str, Any], asked: Micros) -> Micros:
    try:
        at = to_micros(msgspec.convert(body.get("expiresAt"), datetime))
    except msgspec.ValidationError:
        return asked + LONGEST
    return max(asked, min(at, asked + 2 * LONGEST))


def _result(body: Any) -> str:
    found = body.get("factorResult") if isinstance(body, dict) else None
    return found[:40] if isinstance(found, str) else ""


def _links(body: Any) -> Mapping[str, str]:
    """Return the URLs in `_links` of a response body, by the name of the link. If a name has several links, return its
    first link."""
    links = body.get("_links") if isinstance(body, dict) else None
    found = {}
    for name, link in (links if isinstance(links, dict) else {}).items():
        first = link[0] if isinstance(link, list) and link else link
        if isinstance(first, dict) and isinstance(href := first.get("href"), str):
            found[name] = href
    return found
