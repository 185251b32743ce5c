"""Reactions in a running forwarder: from an event to what an emulated org looks like afterwards."""

import json
import time
from pathlib import Path

import pytest

from forwarder.core.action import ActionState, Outcome, Reason, Waits
from forwarder.emulator.settings import ChangeFaults, Faults
from tests.fakes.okta_org import okta_org
from tests.fakes.receivers import webhook_receiver
from tests.integration.reaction_runner.scene import LaterClock, command, ended, running, settings, until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.long
async def test_a_sign_in_ends_the_sessions_of_its_user_within_seconds(tmp_path: Path) -> None:
    async with okta_org() as org, running(settings(tmp_path, org, ["revoke_sessions"])) as forwarder:
        began = time.monotonic()
        await org.emit(1, ["user.session.start"])
        (row,) = await until(ended(1), forwarder)
        assert time.monotonic() - began < 10
        assert (row.outcome, row.detail) == (Outcome.DONE, "")
        (call,) = org.calls
        assert call.path == f"/api/v1/users/{row.target.id}/sessions?oauthTokens=true"


@pytest.mark.long
async def test_shadow_shows_the_request_and_calls_nothing(tmp_path: Path) -> None:
    do = ["revoke_sessions", {"suspend": {"for": "1h"}}]
    async with okta_org() as org, running(settings(tmp_path, org, do, mode="shadow")) as forwarder:
        await org.emit(1, ["user.session.start"])
        found = await until(ended(2), forwarder)
        assert {one.outcome for one in found} == {Outcome.SHADOW}
        paths = {one.request.path for one in found if one.request}
        user = found[0].target.id
        assert paths == {f"/api/v1/users/{user}/sessions?oauthTokens=true", f"/api/v1/users/{user}/lifecycle/suspend"}
        assert org.calls == []


@pytest.mark.long
async def test_a_suspension_waits_for_a_human_and_is_undone_by_hand(tmp_path: Path) -> None:
    async with okta_org() as org, webhook_receiver("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMQ==") as soc:
        org.groups.create("Break-glass")
        wanted = settings(
            tmp_path,
            org,
            [{"suspend": {"for": "1h"}}, {"notify": "soc"}],
            webhooks={"soc": {"url": soc.url, "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMQ=="}},
        )
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"])
            found = await until(lambda rows: [one for one in rows if one.waits_for is Waits.APPROVAL], forwarder)
            (waits,) = (one for one in found if one.waits_for is Waits.APPROVAL)
            await until(lambda rows: len([one for one in rows if one.outcome is Outcome.DONE]) == 2, forwarder)
            bodies = [json.loads(call.body) for call in soc.calls]
            (link,) = (body["forwarder"]["approve"] for body in bodies if "approve" in body["forwarder"])
            assert link["url"].endswith(f"/approve/{waits.id}")
            status = await forwarder.status.gather()
            shown = status["reactions"]
            assert (shown["mode"], shown["waiting_approvals"], shown["live"]) == ("enforce", 1, [])
            assert status["verdict"] == {"level": "warning", "text": "Reactions need a human."}
            assert [each["text"] for each in status["problems"]] == ["1 action waits for approval"]
            assert [one["id"] for one in shown["approvals"]] == [waits.id]
            assert (await command(wanted, "approve", waits.id)).startswith("Approved suspend of")
            await until(lambda rows: [one for one in rows if one.state is ActionState.LIVE], forwarder)
            shown = (await forwarder.status.gather())["reactions"]
            assert (shown["waiting_approvals"], shown["live_effects"]) == (0, 1)
            assert [(one["action"], one["until"] > "20") for one in shown["live"]] == [("suspend", True)]
            assert org.users.find(waits.target.id).status == "SUSPENDED"
            assert "does not wait for approval" in await command(wanted, "approve", waits.id, fails=True)
            await command(wanted, "undo", waits.id, "--why", "a false alarm")
            await until(lambda rows: [one for one in rows if one.end], forwarder)
            assert org.users.find(waits.target.id).status == "ACTIVE"
            assert "no open action" in await command(wanted, "undo", "abcdef012345", "--why", "x", fails=True)


@pytest.mark.long
async def test_an_action_that_a_human_refuses_is_never_done(tmp_path: Path) -> None:
    async with okta_org() as org:
        wanted = settings(tmp_path, org, [{"suspend": {"for": "1h"}}])
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"])
            (waits,) = await until(lambda rows: [one for one in rows if one.waits_for is Waits.APPROVAL], forwarder)
            await command(wanted, "refuse", waits.id[:8])
            too_late = await command(wanted, "approve", waits.id, fails=True)
            assert f"{waits.id} has ended: " in too_late
            assert "refused (approval); refused by " in too_late
            (row,) = await until(ended(1), forwarder)
            assert (row.outcome, row.reason, org.calls) == (Outcome.REFUSED, Reason.APPROVAL, [])


@pytest.mark.long
@pytest.mark.parametrize("what", ["", "revoke_sessions", "A sign-in"])
async def test_a_pause_is_in_force_at_once_and_after_a_restart(tmp_path: Path, what: str) -> None:
    async with okta_org() as org:
        wanted = settings(tmp_path, org, ["revoke_sessions"])
        arguments = [what] if what else []
        async with running(wanted):
            await command(wanted, "pause", *arguments, "--why", "maintenance")
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"])
            (row,) = await until(ended(1), forwarder)
            assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.PAUSED)
            assert "maintenance" in row.detail
            assert org.calls == []
            status = await forwarder.status.gather()
            (pause,) = status["reactions"]["pauses"]
            assert pause["why"] == "maintenance"
            assert any("paused, because maintenance" in each["text"] for each in status["problems"])
            await command(wanted, "resume", *arguments)
            assert (await forwarder.status.gather())["reactions"]["pauses"] == []
            already = f"{what} is not paused" if what else "nothing is paused"
            assert already in await command(wanted, "resume", *arguments, fails=True)


@pytest.mark.long
async def test_a_pause_is_kept_while_no_forwarder_runs_and_ends_by_itself(tmp_path: Path) -> None:
    async with okta_org() as org:
        wanted = settings(tmp_path, org, ["revoke_sessions"])
        async with running(wanted):
            pass
        await command(wanted, "pause", "--why", "maintenance", "--for", "1h")
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"])
            (row,) = await until(ended(1), forwarder)
            assert row.reason is Reason.PAUSED
        assert "did you mean suspend" in await command(wanted, "pause", "suspnd", "--why", "x", fails=True)


@pytest.mark.long
async def test_a_timed_effect_survives_a_restart_and_ends(tmp_path: Path) -> None:
    async with okta_org() as org:
        group = next(each for each in org.groups.all() if each.type == "OKTA_GROUP" and not each.roles)
        do = [{"add_to_group": {"group": group.name, "for": "1m"}}]
        wanted = settings(tmp_path, org, do)
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"])
            (row,) = await until(lambda rows: [one for one in rows if one.state is ActionState.LIVE], forwarder)
            assert row.target.id in group.members
        async with running(wanted, LaterClock()) as forwarder:
            (row,) = await until(lambda rows: [one for one in rows if one.end], forwarder)
            assert row.target.id not in group.members


@pytest.mark.long
async def test_an_okta_that_hangs_delays_no_sink_and_no_webhook(tmp_path: Path) -> None:
    secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMQ=="
    hanging = ChangeFaults(delay="10m")
    faults = Faults(changes=hanging, reads=hanging)
    async with okta_org(faults=faults) as org, webhook_receiver(secret) as soc:
        webhooks = {"soc": {"url": soc.url, "secret": secret}}
        do = ["revoke_sessions", {"add_to_group": {"group": "Sales", "for": "1h"}}, {"notify": "soc"}]
        wanted = settings(tmp_path, org, do, webhooks=webhooks)
        async with running(wanted) as forwarder:
            uuids = [uuid for _ in range(20) for uuid in await org.emit(1, ["user.session.start"])]
            archive = tmp_path / "archive.ndjson"
            await until(lambda _: all(uuid in archive.read_text() for uuid in uuids), forwarder)
            found = await until(ended(5), forwarder)
            assert {one.name for one in found if not one.is_open} == {"notify"}
            assert org.calls == []
            assert len(soc.calls) >= 5
