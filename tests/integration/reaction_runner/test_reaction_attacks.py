"""Attacks on a running forwarder with reactions in an emulated org: what must not happen, and what must continue."""

import asyncio
import json
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.action import Action, ActionState, Outcome, Reason, Waits
from forwarder.core.time import SECOND, Micros, iso
from forwarder.emulator.actors import API_TOKEN_ID
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.events.requested_changes import changed
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.settings import Settings, read
from tests.fakes.keys import pem, public_pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.receivers import webhook_receiver
from tests.integration.reaction_runner.scene import RULE, TREES, command, rows, running, settings, until

pytestmark = pytest.mark.timeout(120)

ALL = ["revoke_sessions", {"add_to_group": {"group": "Step-up", "for": "1h"}}, {"prompt": {"by": "push"}}]


def read_again(wanted: Settings) -> Settings:
    """Read the configuration that a test has changed."""
    return read(TREES[wanted.store.path])


def victim(org: Emulator) -> EmulatedUser:
    """Return a user whom nothing protects, in an org with the group Step-up."""
    org.groups.create("Step-up")
    return org.users.create("jane@example.com", "Jane Doe")


def event(user: EmulatedUser, name: str = "", **fields: Any) -> dict[str, Any]:
    """Return a sign-in as a hook posts it."""
    return {
        "uuid": name or str(uuid.uuid1()),
        "eventType": "user.session.start",
        "published": iso(now(), "milliseconds"),
        "severity": "INFO",
        "displayMessage": "User login to Okta",
        "actor": {"id": user.id, "type": "User", "alternateId": user.login, "displayName": user.name},
        "client": {"ipAddress": "203.0.113.9", "geographicalContext": {"country": "Chad"}},
        "outcome": {"result": "SUCCESS"},
        "target": None,
    } | fields


def now() -> Micros:
    return SystemClock().now()


async def post(forwarder: Forwarder, *events: dict[str, Any]) -> None:
    """Post events as anyone can who knows the hook's secret."""
    envelope = {"eventType": "com.okta.event_hook", "eventId": str(uuid.uuid4()), "data": {"events": events}}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"http://{forwarder.server.address}/okta/events", json=envelope, headers={"Authorization": "the-secret"}
        )
        assert answer.status_code == 200


def named(found: list[Action]) -> dict[str, Action]:
    return {one.name: one for one in found}


def changing(org: Emulator) -> list[str]:
    """Return the calls that changed something or asked a user."""
    return [call.path.partition("?")[0].rsplit("/", 1)[-1] for call in org.calls]


@pytest.mark.long
async def test_a_forged_event_with_the_right_secret_suspends_and_prompts_no_user(tmp_path: Path) -> None:
    async with okta_org() as org:
        user = victim(org)
        wanted = settings(tmp_path, org, ALL, fresh="1m")
        async with running(wanted) as forwarder:
            almost_late = iso(now() - 50 * SECOND, "milliseconds")
            await post(forwarder, event(user, published=almost_late))
            found = await until(lambda all_: len([one for one in all_ if one.outcome is not None]) == 3, forwarder)
        by = named(found)
        assert by["revoke_sessions"].outcome is Outcome.DONE
        for name in ("add_to_group", "prompt"):
            assert (by[name].outcome, by[name].reason) == (Outcome.REFUSED, Reason.UNCONFIRMED)
            assert "new secret" in by[name].detail
        assert changing(org) == ["sessions"]
        assert org.prompts.all() == ()
        assert user.id not in org.groups.named("Step-up").members


@pytest.mark.long
async def test_a_forged_event_with_the_uuid_of_a_real_one_is_not_confirmed_by_it(tmp_path: Path) -> None:
    """The real event is about another user. If only the uuids were compared, it would confirm the forged event."""
    async with okta_org() as org:
        user, name = victim(org), str(uuid.uuid1())
        other = next(each for each in org.users.all() if not each.roles and each is not user)
        async with running(settings(tmp_path, org, ALL)) as forwarder:
            await post(forwarder, event(user, name))
            await until(lambda all_: len([one for one in all_ if one.waits_for is Waits.CONFIRMATION]) == 2, forwarder)
            await org.emit(1, ["user.session.start"], lambda real: changed(real, user=other.actor()) | {"uuid": name})
            found = await until(lambda all_: len([one for one in all_ if one.outcome is not None]) == 3, forwarder)
            async with asyncio.timeout(20):
                while not (status := await forwarder.status.gather())["okta"]["acme"]["log"]["differing"]:
                    await asyncio.sleep(0.05)
            assert status["problems"][0]["runbook"] == "ForwarderEventsDiffer"
        by = named(found)
        for each in ("add_to_group", "prompt"):
            assert (by[each].outcome, by[each].reason) == (Outcome.REFUSED, Reason.UNCONFIRMED)
            assert f"another event under the uuid {name}" in by[each].detail
        assert changing(org) == ["sessions"]
        assert org.prompts.all() == ()


@pytest.mark.long
async def test_no_real_event_differs_in_its_two_copies(tmp_path: Path) -> None:
    """The events have all types that hooks carry, and the edge cases of the emulated org."""
    async with okta_org(edge_case_share=0.3, odd_types=True) as org:
        wanted = settings(tmp_path, org, ["revoke_sessions"], mode="off")
        async with running(wanted) as forwarder:
            hook = org.add_hook(f"http://{forwarder.server.address}/okta/events", "the-secret")
            await org.verify(hook.id)
            uuids = await org.emit(1000)
            async with asyncio.timeout(60):
                claims = await forwarder.store.claims("acme", uuids)
                while len(claims) < 1000 or any(each.logged is None for each in claims.values()):
                    await asyncio.sleep(0.2)
                    claims = await forwarder.store.claims("acme", uuids)
            assert all(each.logged for each in claims.values())
            status = await forwarder.status.gather()
            assert (status["okta"]["acme"]["log"]["differing"], status["duplicates"] > 100) == (0, True)


@pytest.mark.long
async def test_a_forged_event_that_comes_after_the_real_one_leads_to_nothing(tmp_path: Path) -> None:
    async with okta_org() as org:
        user, name = victim(org), str(uuid.uuid1())
        other = next(each for each in org.users.all() if not each.roles and each is not user)
        async with running(settings(tmp_path, org, ALL[:2])) as forwarder:
            await org.emit(1, ["user.session.start"], lambda real: changed(real, user=other.actor()) | {"uuid": name})
            await until(lambda all_: len(all_) == 2, forwarder)
            await post(forwarder, event(user, name))
            await org.emit(1, ["user.session.start"], partial(changed, user=user.actor()))
            found = await until(
                lambda all_: len([one for one in all_ if one.state is ActionState.LIVE]) == 2, forwarder
            )
        assert [one.target.id for one in found if one.name == "add_to_group"] == [other.id, user.id]
        assert len({one.alert for one in found}) == 2


@pytest.mark.long
async def test_the_two_copies_of_a_real_event_confirm_it(tmp_path: Path) -> None:
    async with okta_org() as org:
        user = victim(org)
        async with running(settings(tmp_path, org, ALL[1:2])) as forwarder:
            uri = f"http://{forwarder.server.address}/okta/events"
            hook = org.add_hook(uri, "the-secret", types=["user.session.start"])
            await org.verify(hook.id)
            await org.emit(1, ["user.session.start"], partial(changed, user=user.actor()))
            (row,) = await until(lambda all_: [one for one in all_ if one.state is ActionState.LIVE], forwarder)
            claim = (await forwarder.store.claims("acme", row.events))[row.events[0]]
            assert claim.digest is not None
            async with asyncio.timeout(20):
                while claim.logged is None:
                    await asyncio.sleep(0.05)
                    claim = (await forwarder.store.claims("acme", row.events))[row.events[0]]
            assert claim.logged
        assert user.id in org.groups.named("Step-up").members


# Our own changes

MEMBERSHIP = """
---
title: A user is added to a group
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0003
status: test
level: critical
logsource: {product: okta, service: okta}
detection: {selection: {eventType: group.user_membership.add}, condition: selection}
"""
APP = "0oattacked"


@pytest.mark.long
@pytest.mark.parametrize("by", ["token", "app"])
async def test_our_own_change_of_a_group_leads_to_nothing(tmp_path: Path, by: str) -> None:
    key = rsa_key()
    scopes = ["okta.logs.read", "okta.users.manage", "okta.groups.manage", "okta.roles.read"]
    clients = {APP: {"keys": [public_pem(key)], "scopes": scopes, "dpop": False}}
    async with okta_org(clients=clients) as org:
        user = victim(org)
        group = org.groups.create("Told")
        wanted = settings(tmp_path, org, ALL[1:2])
        (tmp_path / "rule.yml").write_text(RULE + MEMBERSHIP)
        tree = TREES[wanted.store.path]
        app = {"client_id": APP, "private_key": pem(key), "scopes": scopes, "dpop": False}
        tree["orgs"]["acme"]["api"] = app if by == "app" else {"token": TOKEN, "token_id": API_TOKEN_ID}
        entry = {"level": "critical", "do": [{"revoke_sessions": {}, "user": "target"}]}
        tree["reactions"]["on"].append(entry)
        async with running(read_again(wanted)) as forwarder:
            await org.emit(1, ["user.session.start"], partial(changed, user=user.actor()))
            found = await until(
                lambda all_: [one for one in all_ if one.name == "revoke_sessions" and one.outcome], forwarder
            )
            (own,) = [one for one in found if one.name == "revoke_sessions"]
            assert (own.outcome, own.reason, own.target.id) == (Outcome.REFUSED, Reason.OWN, user.id)
            # What others do is not ours.
            await org.emit(
                1,
                ["group.user_membership.add"],
                partial(changed, fields={"target": [user.entity(), {"id": group.id, "type": "UserGroup"}]}),
            )
            await until(
                lambda all_: [one for one in all_ if one.name == "revoke_sessions" and one.outcome is Outcome.DONE],
                forwarder,
            )
        assert sorted(changing(org)) == sorted([user.id, "sessions"])


# Floods


@pytest.mark.long
async def test_after_a_flood_of_alerts_the_sessions_of_another_user_are_still_revoked(tmp_path: Path) -> None:
    """The flood uses up the limits of timed actions and of its users. The limits of other users are not affected."""
    async with okta_org() as org:
        user = victim(org)
        wanted = settings(tmp_path, org, ALL[1:2], limits={"per_user": "2/1h", "timed": "3/1h", "mending": "5/1h"})
        (tmp_path / "rule.yml").write_text(RULE + SPRAYED)
        tree = TREES[wanted.store.path]
        tree["reactions"]["on"].append({"level": "critical", "do": ["revoke_sessions"]})
        tree["rules"]["again"] = "1s"
        crowd = [each for each in org.users.all() if not each.roles and each is not user][:12]
        async with running(read_again(wanted)) as forwarder:
            for each in crowd:
                await org.emit(1, ["user.session.start"], partial(changed, user=each.actor()))
            found = await until(
                lambda all_: (
                    len([one for one in all_ if one.state is ActionState.LIVE]) >= 3
                    and len([one for one in all_ if one.reason is Reason.LIMIT]) >= len(crowd) - 3
                ),
                forwarder,
            )
            assert len([one for one in found if one.state is ActionState.LIVE]) == 3
            await org.emit(1, ["user.account.lock"], partial(changed, user=user.actor()))
            found = await until(
                lambda all_: [one for one in all_ if one.name == "revoke_sessions" and one.outcome], forwarder
            )
            (row,) = [one for one in found if one.name == "revoke_sessions"]
            assert (row.outcome, row.target.id) == (Outcome.DONE, user.id)


SPRAYED = """
---
title: An account is locked
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0004
status: test
level: critical
logsource: {product: okta, service: okta}
detection: {selection: {eventType: user.account.lock}, condition: selection}
"""


# Who is protected


@pytest.mark.long
@pytest.mark.parametrize(
    ("written", "login"),
    [
        ("breakglass@example.com", "BreakGlass@Example.COM"),
        ("caf\u00e9@example.com", "cafe\u0301@example.com"),
        ("cafe\u0301@example.com", "CAF\u00c9@example.com"),
        ("breakglass@example.com", "\uff42\uff52\uff45\uff41\uff4b\uff47\uff4c\uff41\uff53\uff53@example.com"),
        ("breakglass@example.com", "break\u200bglass@example.com"),
        ("break glass@example.com", "break\u00a0glass@example.com"),
        ("break glass@example.com", "break\u2003glass@example.com"),
        ("breakglass@example.com", "\u202ebreakglass@example.com"),
    ],
)
async def test_a_protected_login_is_recognised_in_every_spelling(tmp_path: Path, written: str, login: str) -> None:
    async with okta_org() as org:
        user = org.users.create(login, "Somebody")
        wanted = settings(tmp_path, org, ["revoke_sessions"], protect={"users": [written]})
        async with running(wanted) as forwarder:
            signed_in = user.actor() | {"alternateId": "somebody@example.com"}
            await org.emit(1, ["user.session.start"], partial(changed, user=signed_in))
            (row,) = await until(lambda all_: [one for one in all_ if one.outcome], forwarder)
            assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.PROTECTED)
        assert changing(org) == []


@pytest.mark.long
@pytest.mark.parametrize("way", ["role of a group", "role", "protected group"])
async def test_an_action_on_a_user_who_becomes_an_admin_after_the_approval_is_refused(tmp_path: Path, way: str) -> None:
    """A human approves the action, and the user becomes an admin before the call."""
    async with okta_org() as org:
        user = victim(org)
        group = org.groups.create("Break-glass" if way == "protected group" else "Helpers")
        if way == "role of a group":
            group.members.add(user.id)
        wanted = settings(tmp_path, org, [{"suspend": {"for": "1h"}}])
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"], partial(changed, user=user.actor()))
            (waits,) = await until(lambda all_: [one for one in all_ if one.waits_for is Waits.APPROVAL], forwarder)
            if way == "role of a group":
                group.roles = ("HELP_DESK_ADMIN",)
            elif way == "role":
                user.roles = ("APP_ADMIN",)
            else:
                group.members.add(user.id)
            await command(wanted, "approve", waits.id)
            (row,) = await until(lambda all_: [one for one in all_ if one.outcome], forwarder)
            assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.PROTECTED)
        assert changing(org) == []
        assert user.status == "ACTIVE"


# Names

ODD = "100%s \r\nX-Evil: 1\r\n \x00 \x1b[31m \u202egnp.exe %00 {user} \u2028 end"


@pytest.mark.long
async def test_odd_characters_in_names_reach_no_call_line_or_terminal(tmp_path: Path) -> None:
    secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMQ=="
    async with okta_org() as org, webhook_receiver(secret) as soc:
        user = victim(org)
        group = org.groups.create("Step-up %\u202e")
        do = [{"add_to_group": {"group": group.name, "for": "1h"}}, {"suspend": {"for": "1h"}}, {"notify": "soc"}]
        wanted = settings(tmp_path, org, do, webhooks={"soc": {"url": soc.url, "secret": secret}})
        async with running(wanted) as forwarder:
            odd = user.actor() | {"alternateId": ODD, "displayName": ODD}
            await org.emit(1, ["user.session.start"], partial(changed, user=odd))
            found = await until(
                lambda all_: (
                    [one for one in all_ if one.state is ActionState.LIVE]
                    and [one for one in all_ if one.waits_for is Waits.APPROVAL]
                    and len([one for one in all_ if one.name == "notify" and one.outcome]) == 2
                ),
                forwarder,
            )
            assert {json.loads(call.body)["actor"]["alternateId"] for call in soc.calls} == {ODD}
            assert all(text.isprintable() for call in soc.calls for text in (call.path, *call.headers.values()))
            assert not any(name.startswith("x-evil") for call in soc.calls for name in call.headers)
            waits = next(one for one in found if one.waits_for is Waits.APPROVAL)
            assert waits.target.name == ODD[:200]
            for words in (["list"], ["show", waits.id], ["refuse", waits.id]):
                printed = await command(wanted, *words)
                assert all(char.isprintable() or char == "\n" for char in printed), (words, printed)
                assert not any(line.startswith("X-Evil") for line in printed.splitlines())
            exported = await command(wanted, "export")
            lines = exported.rstrip("\n").split("\n")
            assert len(lines) == len(await rows(forwarder))
            names = {one["target"].get("name") for one in map(json.loads, lines) if one["action"] != "notify"}
            assert names == {ODD[:200]}
            async with asyncio.timeout(20):
                archive = tmp_path / "archive.ndjson"
                while archive.read_bytes().count(b"okta_forwarder.action") < 2:
                    await asyncio.sleep(0.05)
            for line in archive.read_text().rstrip("\n").split("\n"):
                assert isinstance(json.loads(line), dict)
        for call in org.calls:
            assert call.path.isascii()
            assert "%" not in call.path
            assert call.path.isprintable()
        assert user.id in group.members


# Times


@pytest.mark.long
async def test_an_event_far_ahead_of_the_clock_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with okta_org() as org:
        user = victim(org)
        async with running(settings(tmp_path, org, ["revoke_sessions"])) as forwarder:
            ahead = iso(now() + 3600 * SECOND, "milliseconds")
            await post(forwarder, event(user, published=ahead))
            (row,) = await until(lambda all_: [one for one in all_ if one.outcome], forwarder)
            assert (row.reason, "clock" in row.detail) == (Reason.LATE, True)
        assert changing(org) == []


# An echo of our own report

RISK = """
title: The risk of a user changes
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0005
status: test
level: high
logsource: {product: okta, service: okta}
detection: {selection: {eventType: user.risk.change}, condition: selection}
"""


@pytest.mark.long
async def test_a_risk_that_we_report_to_okta_does_not_come_back_as_a_report(tmp_path: Path) -> None:
    """Okta answers each report with a `user.risk.change` of its own, which the rule matches."""
    key = pem(rsa_key())
    async with okta_org() as org:
        user = victim(org)
        wanted = settings(
            tmp_path,
            org,
            ["risk_event", "revoke_sessions"],
            receivers={"okta": {"org": "acme"}},
            set={"issuer": "https://fw.example", "key": key, "jwks": "serve"},
            limits={"per_user": "9/1h"},
        )
        (tmp_path / "rule.yml").write_text(RISK)
        TREES[wanted.store.path]["rules"]["again"] = "1ms"
        async with running(read_again(wanted)) as forwarder:
            jwks = f"http://{forwarder.server.address}/.well-known/jwks.json"
            provider = {
                "name": "forwarder",
                "type": "forwarder",
                "settings": {"issuer": "https://fw.example", "jwks_url": jwks},
            }
            async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"SSWS {TOKEN}"}) as admin:
                made = await admin.post(f"{org.settings.url}/api/v1/security-events-providers", json=provider)
                assert made.status_code == 200
            who = {"target": [user.entity()], "actor": {"id": "okta", "type": "SystemPrincipal"}}
            await org.emit(1, ["user.risk.change"], partial(changed, fields=who))
            # The event, its two actions; the echo, and its two.
            found = await until(lambda all_: len([one for one in all_ if one.outcome is not None]) == 4, forwarder)
            reports = [one for one in found if one.name == "risk_event"]
            assert [(one.outcome, one.reason) for one in reports] == [
                (Outcome.ACCEPTED, None),
                (Outcome.REFUSED, Reason.OWN),
            ]
            assert reports[0].id in reports[1].detail
            assert [one.outcome for one in found if one.name == "revoke_sessions"] == [Outcome.DONE] * 2
            assert [one.result for one in org.security_events.all()] == ["accepted"]
