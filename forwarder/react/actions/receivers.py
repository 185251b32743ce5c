"""The actions that send a request to a webhook or to a receiver of risk events, and not to an org's API. These actions
change no state in Okta. A receiver recognises a repeated request by the request's id."""

from collections.abc import Mapping
from typing import Any

from forwarder.core.action import Action, ActionRequest, Outcome
from forwarder.react.actions.okta import Act
from forwarder.react.actions.security_event import LEVELS, Risk, SecurityEvents
from forwarder.react.actions.webhook import Webhooks, payload
from forwarder.react.ports import Answer, Seen


class Notify(Act):
    """Posts the alert to a webhook. If the notification is about an action that waits for approval, it also describes
    this action. If it is about the answer to a prompt, it also describes the answer."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        """Return the request. The body of the request has only the keys that `call` adds to the alert, because the
        alert is already stored with the action."""
        return ActionRequest(str(action.settings["to"]), "POST", body=action.settings.get("about"))

    async def call(self, action: Action, request: ActionRequest) -> Answer:
        about: Mapping[str, Any] | None = request.body
        return await self._webhooks.send(request.to, f"msg_{action.key[:32]}", payload(action.subject, about))


class RiskEvent(Act):
    """Pushes a security event token. The receiver of the token does not say whether the token had an effect."""

    outcome = Outcome.ACCEPTED

    def __init__(self, events: SecurityEvents) -> None:
        self._events = events

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        """Return the request. The body of the request has the claims of the token."""
        level = LEVELS.get(str(action.settings.get("level", "")), "high")
        reason = f"{action.title} ({action.id})"
        risk = Risk(action.key[:32], action.org, action.target, level, reason, action.published)
        to = str(action.settings["to"])
        return ActionRequest(to, "POST", body=self._events.claims(to, risk))

    async def call(self, action: Action, request: ActionRequest) -> Answer:  # noqa: ARG002
        return await self._events.send(request.to, request.body or {})
