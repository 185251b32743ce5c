"""Rows of prompts, for tests."""

from typing import Any

from msgspec.structs import replace

from forwarder.core.action import Action, ActionTarget, EffectKind, key_of
from forwarder.react.prompts.asking import Prompts
from forwarder.react.prompts.results import PromptProgress
from tests.fakes.clock import NOON


def prompt(user: str = "00u1", org: str = "acme", alert: str = "alert-1", **more: Any) -> Action:
    target = ActionTarget("user", user, more.pop("login", "jane@corp.example"))
    settings = more.pop("settings", {"by": "push"})
    return Action(
        key=key_of(org, alert, "prompt", target),
        org=org,
        rule="fatigue",
        title=more.pop("title", "Push fatigue"),
        alert=alert,
        events=("e1",),
        published=more.pop("published", NOON),
        kind=EffectKind.PROMPT,
        name="prompt",
        target=target,
        mode=more.pop("mode", "enforce"),
        planned_at=more.pop("planned_at", NOON),
        settings=settings,
        **more,
    )


async def ask(prompts: Prompts, row: Action) -> PromptProgress:
    """Prepare and send a prompt as the engine does, which stores the row in between."""
    prepared = await prompts.prepare(row)
    if isinstance(prepared, PromptProgress):
        return prepared
    return await prompts.send(replace(row, request=prepared))
