"""A user denies our prompt: the actions after `denied` are carried out, and the event of the denial causes no alert."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forwarder.app import Forwarder
from forwarder.core.action import Action, ActionState, Outcome, Reason
from forwarder.core.event import Source
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.events.requested_changes import changed
from forwarder.emulator.prompts.prompts import Phone
from forwarder.emulator.users.directory import EmulatedUser
from tests.fakes.okta_org import okta_org
from tests.integration.reaction_runner.scene import RULE, rows, running, settings, until

pytestmark = pytest.mark.timeout(120)

DENIED = """
---
title: An answer by a factor failed
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0002
status: test
level: low
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: user.authentication.auth_via_mfa, outcome.result: FAILURE}
  condition: selection
"""

DO = [{"prompt": {"by": "push", "then": {"denied": ["revoke_sessions"]}}}]


def users(org: Emulator) -> list[EmulatedUser]:
    return [user for user in org.users.all() if not user.roles]


async def sign_in(org: Emulator, user: EmulatedUser, kind: str = "user.session.start", **fields: Any) -> None:
    await org.emit(1, [kind], partial(changed, user=user.actor(), fields=fields))


async def alerts(forwarder: Forwarder) -> list[tuple[str, str]]:
    """Return the title and the actor of each alert."""
    events = await forwarder.store.view.events(0, limit=10_000, max_bytes=10**8)
    bodies = [json.loads(one.event.body) for one in events if one.event.source is Source.ALERT]
    return [(body["displayMessage"], body["actor"]["id"]) for body in bodies]


def named(name: str, state: ActionState) -> Callable[[list[Action]], bool]:
    return lambda found: any(one.name == name and one.state is state for one in found)


@pytest.mark.long
async def test_a_denial_is_acted_on_once_and_makes_no_alert_and_no_second_prompt(tmp_path: Path) -> None:
    async with okta_org() as org:
        wanted = settings(tmp_path, org, DO)
        (tmp_path / "rule.yml").write_text(RULE + DENIED)
        user, other = users(org)[:2]
        org.prompts.set_phone(user, Phone("deny", 0.5))
        async with running(wanted) as forwarder:
            await sign_in(org, user)
            found = await until(named("revoke_sessions", ActionState.ENDED), forwarder)
            (asked,) = [one for one in found if one.name == "prompt"]
            assert (asked.answer, asked.outcome, asked.handle) == ("denied", Outcome.DONE, "")
            assert asked.request is not None
            assert asked.request.path.endswith("/verify")
            assert asked.seen_at is not None

            await sign_in(org, user)  # again: the rule alerts, and nobody is asked
            found = await until(lambda all_: len([one for one in all_ if one.name == "prompt"]) == 2, forwarder)
            found = await until(lambda all_: any(one.reason is Reason.LIMIT for one in all_), forwarder)
            failure = {"outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"}}
            await sign_in(org, other, "user.authentication.auth_via_mfa", **failure)
            async with asyncio.timeout(30):
                while ("An answer by a factor failed", other.id) not in await alerts(forwarder):
                    await asyncio.sleep(0.05)
            assert ("An answer by a factor failed", user.id) not in await alerts(forwarder)
            sample = forwarder.metrics.registry.get_sample_value
            assert (sample("forwarder_rule_events_muted_total", {"org": "acme"}) or 0) >= 1
            assert sample("forwarder_prompts_total", {"by": "push", "answer": "denied"}) == 1
        assert [each.result for each in org.prompts.all()] == ["REJECTED"]
        assert len([call for call in org.calls if call.path.endswith("/verify")]) == 1


@pytest.mark.long
async def test_a_prompt_that_waits_when_the_forwarder_stops_is_withdrawn(tmp_path: Path) -> None:
    async with okta_org() as org:
        wanted = settings(tmp_path, org, DO)
        user = users(org)[0]
        async with running(wanted) as forwarder:
            await sign_in(org, user)
            await until(named("prompt", ActionState.PROMPTING), forwarder)
        assert [each.result for each in org.prompts.all()] == ["CANCELLED"]
        async with running(wanted) as forwarder:
            (row,) = await until(named("prompt", ActionState.ENDED), forwarder)
            assert (row.answer, row.outcome) == ("unknown", Outcome.UNKNOWN)
            assert "withdrawn" in row.detail
            assert await rows(forwarder) == [row]
        assert len(org.prompts.all()) == 1
