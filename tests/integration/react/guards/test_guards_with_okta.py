"""The guards against the emulated org, through the client that the forwarder uses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from forwarder.clock import SystemClock
from forwarder.config.types import Secret
from forwarder.core.action import ActionState, ActionTarget, Approval, Reason, Waits
from forwarder.core.time import Micros
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.okta.api.client import OktaClient, RetryPolicy
from forwarder.okta.settings import ApiSettings
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.guards.directory import Directory
from forwarder.react.guards.guards import Guards
from forwarder.react.guards.judgement import Decision
from forwarder.react.guards.pauses import Pauses
from forwarder.react.settings.guards import GuardSettings
from forwarder.react.settings.limits import ProtectSettings
from forwarder.reaction_runner.okta_calls import OktaCalls
from tests.fakes.actions import action
from tests.fakes.keys import pem, public_pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.unit.react.guard_scene import FakeLooks, FakeStore, by_rule, change

PROTECT = ProtectSettings(users=("BREAKGLASS@corp.example",), groups=("break-glass",), admins=True)
SETTINGS = GuardSettings(mode="enforce", mode_of=by_rule({"push_fatigue": "enforce"}), protect=PROTECT)


@dataclass
class Org:
    """The emulated org, and guards that ask it."""

    org: Emulator
    okta: OktaCalls
    guards: Guards
    user: EmulatedUser
    clock: SystemClock = field(default_factory=SystemClock)

    def reload(self, **changes: Any) -> None:
        settings = change(SETTINGS, **changes)
        self.guards = Guards(
            settings, self.okta, FakeLooks().look, FakeStore(), ActionsInMemory(), pauses=Pauses, now=self.clock.now
        )

    async def verdict(self, name: str = "revoke_sessions", number: int = 0, **more: Any) -> Any:
        now = self.clock.now()
        target = ActionTarget("user", self.user.id, self.user.login)
        row = action(name, number, **{"target": target, "published": now, "planned_at": now, **more})
        found = await self.guards.judge(row, now)
        return found.verdict, found.reason


@asynccontextmanager
async def scene(token: str = TOKEN, api: ApiSettings | None = None, **changes: Any) -> AsyncIterator[Org]:
    async with okta_org(**changes) as org:
        clock = SystemClock()
        client = OktaClient(
            org.settings.url, api or ApiSettings(token=token), 1.0, clock, retry=RetryPolicy(timeout=5.0)
        )
        okta = OktaCalls({"acme": client}.get, clock)
        guards = Guards(SETTINGS, okta, FakeLooks().look, FakeStore(), ActionsInMemory(), pauses=Pauses, now=clock.now)
        try:
            yield Org(org, okta, guards, org.users.create("plain@corp.example", "Plain User"), clock)
        finally:
            await client.close()


def approved(at: Micros) -> dict[str, Any]:
    """Return an action that was approved just now, so that no earlier look-up is used."""
    approval = Approval(at + 10**9, by="ada", at=at, given=True)
    return {"state": ActionState.WAITING, "waits_for": Waits.APPROVAL, "approval": approval}


async def test_an_action_on_an_unprotected_user_goes() -> None:
    async with scene() as org:
        assert await org.verdict() == (Decision.GO, None)


@pytest.mark.long
async def test_actions_on_protected_logins_groups_and_admins_are_refused() -> None:
    async with scene() as org:
        spared = (Decision.REFUSE, Reason.PROTECTED)
        group = org.org.groups.create("Break-Glass")
        for number in range(250):  # more than a page
            org.org.groups.create(f"Group {number}").members.add(org.user.id)
        assert await org.verdict() == (Decision.GO, None)
        org.user.roles = ("APP_ADMIN",)
        assert await org.verdict(**approved(org.clock.now())) == spared
        org.user.roles = ()
        assert await org.verdict(**approved(org.clock.now())) == (Decision.GO, None)
        group.members.add(org.user.id)
        assert await org.verdict(**approved(org.clock.now())) == spared
        group.members.clear()
        org.org.groups.named("Group 249").roles = ("HELP_DESK_ADMIN",)
        assert await org.verdict(**approved(org.clock.now())) == spared
        org.org.groups.named("Group 249").roles = ()
        org.user.login = "BreakGlass@Corp.example"
        assert await org.verdict(**approved(org.clock.now())) == spared


async def test_a_deleted_user_and_the_word_me_are_refused_as_targets() -> None:
    async with scene() as org:
        target = ActionTarget("user", "me")
        assert await org.verdict(target=target) == (Decision.REFUSE, Reason.TARGET)
        org.org.users.delete(org.user)
        assert await org.verdict() == (Decision.REFUSE, Reason.TARGET)


async def test_with_an_unknown_token_every_action_on_a_user_is_refused() -> None:
    async with scene(token="00wrong") as org:
        assert await org.verdict() == (Decision.REFUSE, Reason.PROTECTED)


@pytest.mark.long
async def test_a_service_app_that_manages_users_and_groups_may_look_them_up() -> None:
    """The scopes are those of the example in the docs, which has no scope to read."""
    key, scopes = rsa_key(), ("okta.logs.read", "okta.users.manage", "okta.groups.manage")
    api = ApiSettings(client_id="0oareact", private_key=Secret(pem(key)), scopes=scopes)
    clients = {"0oareact": {"keys": [public_pem(key)], "scopes": list(scopes), "dpop": False}}
    async with scene(api=api, clients=clients) as org:
        assert await org.verdict() == (Decision.GO, None)
        org.user.roles = ("APP_ADMIN",)
        assert await org.verdict(**approved(org.clock.now())) == (Decision.REFUSE, Reason.PROTECTED)


async def test_a_real_event_is_confirmed_and_a_forged_event_is_not() -> None:
    async with scene() as org:
        real = await org.org.emit(3)
        settings = {"group": "00g1"}
        assert await org.verdict("add_to_group", events=tuple(real), settings=settings) == (Decision.GO, None)
        forged = (real[0], "00000000-0000-4000-8000-000000000000")
        found = await org.verdict("add_to_group", 1, events=forged, settings={"group": "00g2"})
        assert found == (Decision.WAIT, Reason.UNCONFIRMED)


async def test_groups_of_the_configuration_that_the_org_does_not_have_are_found() -> None:
    async with scene() as org:
        org.org.groups.create("Break-glass")
        names = ("break-glass", "Everyone", "Braek-glass")
        assert await Directory(org.okta).unknown_groups("acme", names) == ["Braek-glass"]


async def test_the_events_of_our_own_calls_name_our_token_and_another_s_do_not() -> None:
    async with scene() as org:
        call = org.okta.org("acme")
        assert call is not None
        assert (await call.call("DELETE", f"/api/v1/users/{org.user.id}/sessions")).ok
        answer = await call.call("GET", "/api/v1/logs", query={"filter": 'eventType eq "user.session.clear"'})
        (event,) = answer.body
        token_id = event["transaction"]["detail"]["requestApiTokenId"]
        made_by = (event["actor"]["id"], token_id, event["transaction"]["id"])
        org.reload(own={"acme": frozenset({token_id})})
        assert await org.verdict(made_by=made_by) == (Decision.REFUSE, Reason.OWN)
        org.reload(own={"acme": frozenset({"00Tanother"})})
        assert await org.verdict(made_by=made_by) == (Decision.GO, None)
