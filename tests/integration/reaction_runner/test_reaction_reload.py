"""Changes by a reload, a pause or the org while reactions run: refused as a whole, undone, or reported."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.action import ActionState, End, Outcome, Reason
from forwarder.core.errors import SettingsError
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.events.requested_changes import changed
from forwarder.emulator.prompts.prompts import Phone
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.settings import Settings, read
from tests.fakes.okta_org import okta_org
from tests.integration.reaction_runner.scene import TREES, command, running, settings, until

pytestmark = pytest.mark.timeout(120)

GROUP: list[Any] = [{"add_to_group": {"group": "Step-up", "for": "1h"}}]


def reread(wanted: Settings, change: Callable[[dict[str, Any]], object]) -> Settings:
    """Change the configuration of a running forwarder, and apply it as a reload does."""
    change(TREES[wanted.store.path])
    return read(TREES[wanted.store.path])


def person(org: Emulator) -> EmulatedUser:
    return org.users.create("jane@example.com", "Jane Doe")


async def sign_in(org: Emulator, user: EmulatedUser) -> None:
    await org.emit(1, ["user.session.start"], partial(changed, user=user.actor()))


async def problems(forwarder: Forwarder) -> list[str]:
    return [each["text"] for each in (await forwarder.status.gather())["problems"]]


async def says(forwarder: Forwarder, text: str, *, gone: bool = False) -> None:
    """Wait until the status shows a problem with `text`, or no longer shows it."""
    async with asyncio.timeout(20):
        while any(text in each for each in await problems(forwarder)) is gone:
            await asyncio.sleep(0.05)


@pytest.mark.long
@pytest.mark.parametrize(
    "broken",
    [
        {"mode": "enforced"},
        {"protect": {}},
        {"on": [{"level": "high", "do": ["revoke_session"]}]},
        {"on": [{"rule": "no_such_rule", "do": ["revoke_sessions"]}]},
        {"on": [{"level": "high", "do": [{"suspend": {"for": "99d"}}]}]},
        {"on": [{"level": "high", "do": [{"notify": "nowhere"}]}]},
        {"limits": {"mending": "many"}},
        {"set": {"issuer": "https://fw.example", "key": {"file": "/nonexistent.pem"}}},
    ],
)
async def test_a_reload_with_a_bad_section_is_refused_whole_and_the_old_one_goes_on(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    async with okta_org() as org:
        user = person(org)
        wanted = settings(tmp_path, org, ["revoke_sessions"])
        async with running(wanted) as forwarder:
            before = forwarder.settings

            def spoil(tree: dict[str, Any]) -> None:
                tree["sinks"]["other"] = {"kind": "file", "path": str(tmp_path / "other.ndjson")}
                tree["reactions"] |= broken

            with pytest.raises(SettingsError, match=r"reactions"):
                await forwarder.reload(reread(wanted, spoil))
            assert forwarder.settings is before
            assert "other" not in (await forwarder.status.gather())["sinks"]
            await sign_in(org, user)
            (row,) = await until(lambda all_: [one for one in all_ if one.outcome], forwarder)
            assert (row.outcome, row.name) == (Outcome.DONE, "revoke_sessions")


@pytest.mark.long
async def test_a_reload_changes_what_the_next_alert_leads_to_and_undoes_nothing(tmp_path: Path) -> None:
    async with okta_org() as org:
        user, other = person(org), org.users.create("other@example.com", "Other")
        org.groups.create("Step-up")
        wanted = settings(tmp_path, org, GROUP)
        TREES[wanted.store.path]["rules"]["again"] = "1ms"
        async with running(read(TREES[wanted.store.path])) as forwarder:
            await sign_in(org, user)
            await until(lambda all_: [one for one in all_ if one.state is ActionState.LIVE], forwarder)

            def off(tree: dict[str, Any]) -> None:
                tree["reactions"]["on"] = [{"level": "high", "do": ["revoke_sessions"]}]

            await forwarder.reload(reread(wanted, off))
            await sign_in(org, other)
            found = await until(
                lambda all_: [one for one in all_ if one.name == "revoke_sessions" and one.outcome], forwarder
            )
            assert [one.state for one in found if one.name == "add_to_group"] == [ActionState.LIVE]
            assert org.groups.named("Step-up").members == {user.id}


@pytest.mark.long
async def test_live_effects_in_an_org_without_api_are_reported_and_undone_when_it_is_back(tmp_path: Path) -> None:
    async with okta_org() as org:
        user = person(org)
        org.groups.create("Step-up")
        wanted = settings(tmp_path, org, GROUP)
        async with running(wanted) as forwarder:
            await sign_in(org, user)
            (row,) = await until(lambda all_: [one for one in all_ if one.state is ActionState.LIVE], forwarder)
            with structlog.testing.capture_logs() as lines:
                api = {}

                def without(tree: dict[str, Any]) -> None:
                    api.update(tree["orgs"]["acme"].pop("api"))
                    tree["reactions"] |= {"on": []}

                await forwarder.reload(reread(wanted, without))
                await says(
                    forwarder,
                    f"1 live effect in acme cannot be undone without `orgs.acme.api`: add_to_group of {user.id}",
                )
            assert [line["log_level"] for line in lines if line.get("action") == "reactions_finding"] == ["warning"]
            assert "cannot be undone yet" not in str(lines)

            await command(wanted, "undo", row.id, "--why", "a false alarm")
            await says(forwarder, "should have ended", gone=True)
            assert user.id in org.groups.named("Step-up").members

            def again(tree: dict[str, Any]) -> None:
                tree["orgs"]["acme"]["api"] = api

            await forwarder.reload(reread(wanted, again))
            await says(forwarder, "cannot be undone without", gone=True)
            (row,) = await until(lambda all_: [one for one in all_ if one.end], forwarder)
            assert (row.end, user.id in org.groups.named("Step-up").members) == (End.UNDONE, False)


@pytest.mark.long
async def test_a_missing_protected_group_is_reported_at_the_start_and_after_each_reload(tmp_path: Path) -> None:
    async with okta_org() as org:
        user = person(org)
        group = org.groups.create("Break-glass")
        wanted = settings(
            tmp_path, org, ["revoke_sessions"], protect={"groups": ["Braek-glass"], "users": ["x@y.example"]}
        )
        forwarder = Forwarder(wanted, SystemClock())
        with structlog.testing.capture_logs() as lines:
            await forwarder.start()
            try:
                await says(forwarder, "acme has no group 'Braek-glass' of `reactions.protect.groups`")
                # It protects no user, and switches nothing off.
                await sign_in(org, user)
                (row,) = await until(lambda all_: [one for one in all_ if one.outcome], forwarder)
                assert row.outcome is Outcome.DONE

                def correct(tree: dict[str, Any]) -> None:
                    tree["reactions"]["protect"]["groups"] = ["break-GLASS"]

                await forwarder.reload(reread(wanted, correct))
                await says(forwarder, "has no group", gone=True)
                org.groups.delete(group)
                await forwarder.reload(reread(wanted, correct))
                await says(forwarder, "acme has no group 'break-GLASS' of `reactions.protect.groups`")
            finally:
                await forwarder.stop(grace=1)
        said = [line["finding"] for line in lines if line.get("action") == "reactions_finding"]
        assert [text.partition(",")[0] for text in said] == [
            "acme has no group 'Braek-glass' of `reactions.protect.groups`",
            "acme has no group 'break-GLASS' of `reactions.protect.groups`",
        ]


@pytest.mark.long
@pytest.mark.parametrize("scope", ["", "prompt", "A sign-in"])
async def test_a_pause_withdraws_a_waiting_push_and_no_action_follows(tmp_path: Path, scope: str) -> None:
    async with okta_org() as org:
        user = person(org)
        org.prompts.set_phone(user, Phone("deny", 60.0))
        then = {answer: ["revoke_sessions"] for answer in ("denied", "timeout", "unknown")}
        wanted = settings(tmp_path, org, [{"prompt": {"by": "push", "then": then}}])
        async with running(wanted) as forwarder:
            await sign_in(org, user)
            await until(lambda all_: [one for one in all_ if one.state is ActionState.PROMPTING], forwarder)
            (asked,) = org.prompts.all()
            assert asked.result == "WAITING"
            await command(wanted, "pause", *([scope] if scope else []), "--why", "maintenance")
            found = await until(lambda all_: len([one for one in all_ if one.outcome is not None]) == 2, forwarder)
            assert org.prompts.all()[0].result != "WAITING"
            prompt, follows = found
            assert (prompt.answer, prompt.state) == ("unknown", ActionState.ENDED)
            assert (follows.name, follows.outcome, follows.reason) == (
                "revoke_sessions",
                Outcome.REFUSED,
                Reason.PAUSED,
            )
            assert len(org.prompts.all()) == 1
            assert user.sessions == 1


@pytest.mark.long
async def test_no_action_follows_a_denial_during_a_pause(tmp_path: Path) -> None:
    """The user answers before the push is withdrawn, and the poll shows it during the pause."""
    async with okta_org() as org:
        user = person(org)
        org.prompts.set_phone(user, Phone("deny", 60.0))
        then = {"denied": [{"suspend": {"for": "1h"}, "approve": False}]}
        wanted = settings(tmp_path, org, [{"prompt": {"by": "push", "then": then}}])
        async with running(wanted) as forwarder:
            await sign_in(org, user)
            await until(lambda all_: [one for one in all_ if one.state is ActionState.PROMPTING], forwarder)
            org.prompts.set_phone(user, Phone("deny", 0.0))
            await command(wanted, "pause", "prompt", "--why", "maintenance")
            found = await until(lambda all_: [one for one in all_ if one.answer], forwarder)
            if found[0].answer == "denied":
                found = await until(lambda all_: len([one for one in all_ if one.outcome]) == 2, forwarder)
                assert found[1].reason is Reason.PAUSED
            assert user.status == "ACTIVE"


@pytest.mark.long
async def test_an_action_that_a_reload_removed_is_not_carried_out_although_a_human_approves_it(tmp_path: Path) -> None:
    async with okta_org() as org:
        user = person(org)
        wanted = settings(tmp_path, org, [{"suspend": {"for": "1h"}}, "revoke_sessions"])
        async with running(wanted) as forwarder:
            await sign_in(org, user)
            found = await until(lambda all_: [one for one in all_ if one.waits_for], forwarder)
            (waits,) = [one for one in found if one.waits_for]

            def remove(tree: dict[str, Any]) -> None:
                tree["reactions"]["on"] = [{"level": "high", "do": ["revoke_sessions"]}]

            await forwarder.reload(reread(wanted, remove))
            await command(wanted, "approve", waits.id)
            found = await until(lambda all_: [one for one in all_ if one.name == "suspend" and one.outcome], forwarder)
            (row,) = [one for one in found if one.name == "suspend"]
            assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.OFF)
            assert user.status == "ACTIVE"
