"""`forwarder reactions check` as an operator uses it, against the emulated org: each fault once, and an org without one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.time import SECOND
from forwarder.emulator.groups.rules import RuleSpec
from forwarder.okta.zones.zone_record import ZoneRecord
from forwarder.react.settings.signing_keys import key_set
from tests.fakes.clock import ManualClock
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.elasticsearch import Reply as Anything
from tests.fakes.keys import pem, rsa_key
from tests.fakes.reaction_org import ADMIN_TOKEN, ReactionOrg, reaction_org, reactions_of
from tests.fakes.receivers import Receiver, Reply

BLOCK = {"block_ip": {"for": "1h"}, "approve": False}
PUSH = {"prompt": {"by": "push", "then": {"denied": ["revoke_sessions"]}}}
CIBA = {"prompt": {"by": "ciba"}}


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[ReactionOrg]:
    async with reaction_org(tmp_path, admin=False) as scene:
        yield scene


async def command(scene: ReactionOrg, *words: str) -> tuple[int, str]:
    """The exit code and the output, in a thread, so that the org can answer."""
    runner = CliRunner(env={"ADMIN_TOKEN": ADMIN_TOKEN})
    done = await asyncio.to_thread(runner.invoke, main, [*words, "-c", str(scene.write())])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


async def with_role(scene: ReactionOrg) -> None:
    """Give the app its role."""
    code, output = await command(scene, "setup", "okta-role", "--apply", "--token", "env:ADMIN_TOKEN")
    assert code == 0, output


async def rows(scene: ReactionOrg) -> list[dict[str, Any]]:
    """The rows that warn or fail; the exit code says whether one fails."""
    code, output = await command(scene, "reactions", "check", "--json")
    said = json.loads(output)
    found = [row for row in said["checks"] if row["verdict"] in {"warn", "fail"}]
    assert code == (1 if any(row["verdict"] == "fail" for row in found) else 0)
    assert said["ok"] == (code == 0)
    assert all(row["mend"] for row in found)
    return found


async def fault(scene: ReactionOrg, check: str) -> dict[str, Any]:
    """The only row of a check that warns or fails."""
    found = await rows(scene)
    mine = [row for row in found if row["id"] == check]
    assert len(mine) == 1, found
    return mine[0]


async def exempt(scene: ReactionOrg, *addresses: str) -> None:
    """Put addresses into Okta's zone of exempt ones."""
    headers = {"Authorization": f"SSWS {ADMIN_TOKEN}"}
    async with httpx.AsyncClient(base_url=scene.org.settings.url, headers=headers, trust_env=False) as client:
        zones = (await client.get("/api/v1/zones")).json()
        (zone,) = [zone for zone in zones if zone["name"] == "DefaultExemptIpZone"]
        body = {key: zone[key] for key in ("type", "name", "usage")} | {"useAsExemptList": True}
        body["gateways"] = [{"type": "CIDR", "value": f"{address}/32"} for address in addresses]
        assert (await client.put(f"/api/v1/zones/{zone['id']}", json=body)).status_code == 200


@pytest.mark.long
async def test_an_org_that_has_all_that_reactions_need_passes(there: ReactionOrg) -> None:
    async def answer(request: Any) -> Reply:
        shown = {"Content-Type": "application/json"}
        return Reply(200, shown, key_set([pem(rsa_key("set"))])) if request.method == "GET" else Reply(204)

    async with Receiver(answer) as server:
        secret = "whsec_c2VjcmV0IG9mIGEgd2ViaG9vaywgaW52ZW50ZWQ="
        there.org_settings = {"egress": ["203.0.113.7"], "blocklist": {"activate": True}}
        await exempt(there, "203.0.113.7", "127.0.0.1")
        there.reactions = reactions_of(
            "revoke_sessions",
            {"add_to_group": {"group": "Step-up", "for": "1h"}},
            BLOCK,
            {"notify": "soc"},
            webhooks={"soc": {"url": server.url, "secret": secret}},
            set={"issuer": "https://fw.example", "key": pem(rsa_key("set")), "jwks": server.url},
            receivers={"risk": {"url": server.url, "audience": "risk"}},
        )
        await with_role(there)
        code, output = await command(there, "reactions", "check", "--json")
    said = json.loads(output)
    by_id = {row["id"]: row for row in said["checks"]}
    expected = ["okta.reachable", "okta.clock", "okta.log", "reactions.access", "reactions.role", "reactions.protected"]
    expected += ["reactions.group", "reactions.zone", "reactions.keys", "reactions.receivers"]
    assert [by_id[check]["verdict"] for check in expected] == ["ok"] * len(expected), said
    assert code == 0


def no_role(scene: ReactionOrg) -> None:
    scene.org.admin_roles.resource_set("Forwarder reactions").bindings.clear()
    scene.org.admin_roles.resource_set("Forwarder look-ups").bindings.clear()


def narrower_role(scene: ReactionOrg) -> None:
    scene.org.admin_roles.role("Forwarder reactions").permissions.pop("okta.users.lifecycle.suspend")


def no_users(scene: ReactionOrg) -> None:
    resources = scene.org.admin_roles.resource_set("Forwarder reactions").resources
    for key in [key for key, url in resources.items() if url.endswith("/users")]:
        del resources[key]


def role_on_group(scene: ReactionOrg) -> None:
    scene.group("Step-up", roles=("HELP_DESK_ADMIN",))


def app_on_group(scene: ReactionOrg) -> None:
    scene.group("Step-up", apps=("Payroll",))


def no_group(scene: ReactionOrg) -> None:
    scene.org.groups.delete(scene.org.groups.named("Step-up"))


def built_in(scene: ReactionOrg) -> None:
    scene.group("Step-up", type="APP_GROUP")


def rule_on_group(scene: ReactionOrg) -> None:
    group = scene.org.groups.named("Step-up").id
    body = {
        "type": "group_rule",
        "name": "All of sales",
        "conditions": {"expression": {"value": "true", "type": "urn:okta:expression:1.0"}},
        "actions": {"assignUserToGroups": {"groupIds": [group]}},
    }
    scene.org.group_rules.create(msgspec.convert(body, RuleSpec))


def no_protected_group(scene: ReactionOrg) -> None:
    scene.reactions["protect"]["groups"] = ["Brake-glass"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("stage", "check", "seen", "fix"),
    [
        (no_role, "reactions.role", "acme: the app's admin roles cannot be read; perhaps the app has no admin role", "setup okta-role --org acme --apply"),
        (narrower_role, "reactions.role", "acme: the app's roles lack okta.users.lifecycle.suspend", "setup okta-role --org acme --apply"),
        (no_users, "reactions.access", "acme: the credentials do not allow reading any active user", "setup okta-role"),
        (role_on_group, "reactions.group", "acme: add_to_group: Step-up gives its users the admin role Help Desk", "name another group"),
        (app_on_group, "reactions.group", "acme: add_to_group: Step-up gives its users the app Payroll", "remove the group from the app"),
        (rule_on_group, "reactions.group", "acme: add_to_group: the group rule All of sales also adds users to Step-up", "remove the group from the rule"),
        (no_group, "reactions.group", "acme: add_to_group: the org has no group Step-up", "create the group"),
        (built_in, "reactions.group", "acme: add_to_group: Step-up is of type APP_GROUP", "name an OKTA_GROUP"),
        (no_protected_group, "reactions.protected", "acme: `reactions.protect.groups`: the org has no group Brake-glass", "correct this entry"),
    ],
)  # fmt: skip
async def test_a_fault_in_the_org_is_named_with_what_fixes_it(
    there: ReactionOrg, stage: Callable[[ReactionOrg], None], check: str, seen: str, fix: str
) -> None:
    await with_role(there)
    stage(there)
    found = await fault(there, check)
    assert found["verdict"] == "fail"
    assert found["seen"].startswith(seen)
    assert fix in found["mend"]


@pytest.mark.long
async def test_a_protected_user_whom_the_org_does_not_have_is_named(tmp_path: Path) -> None:
    async with reaction_org(tmp_path, admin=True) as scene:
        scene.reactions["protect"]["users"] = ["glas@corp.example"]
        found = await fault(scene, "reactions.protected")
    assert "the org has no user glas@corp.example" in found["seen"]


@pytest.mark.long
async def test_a_super_administrator_is_a_warning_because_okta_then_keeps_no_guard(tmp_path: Path) -> None:
    async with reaction_org(tmp_path, admin=True) as scene:
        found = await fault(scene, "reactions.role")
    assert found["verdict"] == "warn"
    assert "the app has the role Super Administrator, so Okta does not limit what reactions can do" in found["seen"]


@pytest.mark.long
async def test_a_scope_that_the_app_was_not_granted_is_a_fault(tmp_path: Path) -> None:
    async with reaction_org(tmp_path, admin=True, scopes=["okta.logs.read"]) as scene:
        found = await fault(scene, "okta.log")
    assert "okta-role" not in found["mend"]
    assert "Grant the service app each scope of `api.scopes`" in found["mend"]


@pytest.mark.long
async def test_look_ups_without_the_scope_to_read_groups_are_a_fault(tmp_path: Path) -> None:
    async with reaction_org(tmp_path, admin=True) as scene:
        scene.reactions = reactions_of("revoke_sessions")
        scene.org_settings = {"api": scene.app(scopes=["okta.logs.read", "okta.users.manage"])}
        found = await fault(scene, "reactions.protected")
    assert "the protected groups cannot be looked up" in found["seen"]
    assert "okta.groups.read" in found["mend"]


@pytest.mark.long
async def test_an_api_token_whose_id_is_unknown_is_a_warning(there: ReactionOrg) -> None:
    there.org_settings = {"api": {"token": ADMIN_TOKEN}}
    found = await fault(there, "reactions.role")
    assert found["verdict"] == "warn"
    assert "the id of the API token is unknown" in found["seen"]
    assert "orgs.acme.api.token_id" in found["mend"]


@pytest.mark.long
async def test_push_factors_that_are_hidden_from_here_are_a_fault(there: ReactionOrg) -> None:
    there.reactions = reactions_of(PUSH)
    await with_role(there)
    assert not [row for row in await rows(there) if row["id"] == "reactions.push"]
    for user in there.org.users.all():
        user.factors = []
    found = await fault(there, "reactions.push")
    assert "Okta lists no active push factor for 2 users" in found["seen"]
    assert "this machine's address" in found["mend"]


@pytest.mark.long
async def test_a_blocklist_that_could_lock_the_forwarder_out_is_a_fault(there: ReactionOrg) -> None:
    there.reactions = reactions_of(BLOCK, "revoke_sessions")
    there.org_settings = {"egress": ["203.0.113.7"], "blocklist": {"activate": True}}
    await with_role(there)
    found = [row for row in await rows(there) if row["id"] == "reactions.zone"]
    assert found
    assert "203.0.113.7 (orgs.acme.egress) is not in the zone DefaultExemptIpZone" in found[-1]["seen"]


@pytest.mark.long
async def test_a_blocklist_that_blocks_nothing_is_a_warning(there: ReactionOrg) -> None:
    there.reactions = reactions_of(BLOCK, "revoke_sessions")
    there.org_settings = {"egress": ["203.0.113.7"]}
    await exempt(there, "203.0.113.7", "127.0.0.1")
    await with_role(there)
    found = await fault(there, "reactions.zone")
    assert found["verdict"] == "warn"
    assert "orgs.acme.blocklist.activate: true" in found["mend"]


@pytest.mark.long
async def test_a_blocklist_without_room_is_a_fault(there: ReactionOrg) -> None:
    there.reactions = reactions_of(BLOCK, "revoke_sessions")
    there.org_settings = {"egress": ["203.0.113.7"]}
    await exempt(there, "203.0.113.7", "127.0.0.1")
    await with_role(there)
    addresses = [f"198.51.{100 + number // 250}.{number % 250}" for number in range(1000)]
    gateways = [{"type": "CIDR", "value": f"{address}/32"} for address in addresses]
    zone = {"type": "IP", "name": "forwarder-blocklist", "usage": "BLOCKLIST", "gateways": gateways}
    headers = {"Authorization": f"SSWS {ADMIN_TOKEN}"}
    async with httpx.AsyncClient(base_url=there.org.settings.url, headers=headers, trust_env=False) as client:
        made = (await client.post("/api/v1/zones", json=zone)).json()
    ZoneRecord(there.folder / "s.db").note("acme", made["name"], made["id"])
    found = await fault(there, "reactions.zone")
    assert found["verdict"] == "fail"
    assert "the zone forwarder-blocklist is full (1,000 entries), so block_ip fails" in found["seen"]


@pytest.mark.long
async def test_an_authorization_server_of_ciba_that_is_not_there_is_a_fault(there: ReactionOrg) -> None:
    ciba = {"client_id": "0oaciba", "private_key": pem(rsa_key())}
    there.reactions = reactions_of(CIBA, "revoke_sessions", ciba=ciba)
    await with_role(there)
    assert not [row for row in await rows(there) if row["id"] == "reactions.ciba"]
    there.reactions["ciba"] = ciba | {"server": "ausnone"}
    found = await fault(there, "reactions.ciba")
    assert "/oauth2/ausnone/.well-known/openid-configuration answers 404" in found["seen"]
    assert "reactions.ciba.server" in found["mend"]


@pytest.mark.long
async def test_keys_and_receivers_that_nobody_reaches_are_faults(there: ReactionOrg) -> None:
    there.reactions = reactions_of(
        "risk_event",
        {"notify": "soc"},
        webhooks={"soc": {"url": "http://127.0.0.1:1/hook", "secret": "whsec_c2VjcmV0IGludmVudGVk"}},
        set={"issuer": "http://127.0.0.1:1", "key": pem(rsa_key("set")), "jwks": "serve"},
        receivers={"okta": {"org": "acme"}},
    )
    there.org_settings = {"api": {"token": ADMIN_TOKEN, "token_id": "00Tinvented"}}
    found = {row["id"]: row for row in await rows(there)}
    assert "nothing listens there" in found["reactions.keys"]["seen"]
    assert "reactions.webhooks.soc.url" in found["reactions.receivers"]["seen"]
    assert "acme has no security events provider with the issuer" in found["reactions.provider"]["seen"]


@pytest.mark.long
async def test_a_clock_that_is_off_by_more_than_a_minute_is_a_fault(tmp_path: Path) -> None:
    clock = ManualClock(SystemClock().now() + 90 * SECOND)
    async with reaction_org(tmp_path, clock, admin=True) as scene:
        scene.org_settings = {"api": {"token": ADMIN_TOKEN, "token_id": "00Tinvented"}}
        found = await fault(scene, "okta.clock")
    assert found["verdict"] == "fail"
    assert "s behind Okta's" in found["seen"]


@pytest.mark.long
async def test_doctor_runs_the_checks_of_reactions_too(there: ReactionOrg) -> None:
    await with_role(there)
    no_group(there)
    code, output = await command(there, "doctor", "reactions", "--timeout", "30s")
    assert code == 1
    assert "add_to_group: the org has no group Step-up" in output


@pytest.mark.long
async def test_without_reactions_there_is_nothing_to_check(there: ReactionOrg) -> None:
    there.reactions = {}
    code, _ = await command(there, "reactions", "check")
    assert code == 2


@pytest.mark.long
async def test_a_person_reads_each_fault_with_what_fixes_it(there: ReactionOrg) -> None:
    await with_role(there)
    no_group(there)
    code, output = await command(there, "reactions", "check", "--org", "acme")
    assert code == 1
    assert "acme: add_to_group: the org has no group Step-up" in output
    assert "to fix it: create the group, or correct its name" in output
    code, _ = await command(there, "reactions", "check", "--org", "other")
    assert code == 2


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        {},
        5,
        [5],
        "hello",
        b'{"issuer": "\xff"}',
        "[" * 5_000 + "]" * 5_000,
        {"errorCode": "E0000011"},
        {"issuer": 5, "grant_types_supported": 5},
        [{"id": "g1", "profile": "Step-up", "status": "ACTIVE", "_links": 5, "type": 5}],
        [{"id": 5, "profile": {"name": "Step-up"}, "status": "ACTIVE", "actions": [], "name": [], "gateways": 5}],
    ],
)
async def test_another_server_in_the_place_of_okta_is_a_fault_and_not_a_bug(there: ReactionOrg, body: object) -> None:
    ciba = {"client_id": "0oaciba", "private_key": pem(rsa_key())}
    add = {"add_to_group": {"group": "Step-up", "for": "1h"}}
    there.reactions = reactions_of("revoke_sessions", add, BLOCK, CIBA, ciba=ciba)
    async with FakeElasticsearch() as server:
        server.always = Anything(200, body)
        there.org_settings = {"url": server.url, "api": {"token": ADMIN_TOKEN, "token_id": "00Tmine"}}
        found = await rows(there)
    assert [row["seen"] for row in found if "itself failed" in row["seen"]] == []
    assert {row["id"] for row in found if row["verdict"] == "fail"} >= {"reactions.access", "reactions.ciba"}
