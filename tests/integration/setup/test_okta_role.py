"""`forwarder setup okta-role` as an operator uses it, against the emulated org."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.errors import OktaRefusedError
from forwarder.emulator.actors import Caller
from forwarder.okta.api.client import OktaClient, RetryPolicy
from forwarder.okta.api.port import Api, Response
from forwarder.okta.settings import ApiSettings
from forwarder.settings import load
from forwarder.setup.okta_role.needs import needs_of
from forwarder.setup.okta_role.run import RoleOptions, look
from tests.fakes.reaction_org import ADMIN_TOKEN, APP, ReactionOrg, reaction_org, reactions_of

ACTS, LOOKS = "Forwarder reactions", "Forwarder look-ups"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[ReactionOrg]:
    async with reaction_org(tmp_path, admin=False) as scene:
        yield scene


async def run(scene: ReactionOrg, *words: str) -> tuple[int, str]:
    """The exit code and the output, with the token of an administrator; in a thread, so that the org can answer."""
    arguments = ["setup", "okta-role", "-c", str(scene.write()), "--token", "env:ADMIN_TOKEN", *words]
    runner = CliRunner(env={"ADMIN_TOKEN": ADMIN_TOKEN})
    done = await asyncio.to_thread(runner.invoke, main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


async def report(scene: ReactionOrg, *words: str) -> dict[str, Any]:
    code, output = await run(scene, "--json", *words)
    found: dict[str, Any] = json.loads(output)
    assert code == (0 if found["ok"] else 1)
    return found


def held(scene: ReactionOrg) -> dict[str, tuple[list[str], list[str]]]:
    """The app's roles: permissions and resources by label, as the org has them."""
    url = scene.org.settings.url
    return {
        role.label: (sorted(role.permissions), sorted(each.removeprefix(url) for each in found.resources.values()))
        for _, role, found in scene.org.admin_roles.held_by(f"{url}/oauth2/v1/clients/{APP}")
    }


def path_of(scene: ReactionOrg, name: str) -> str:
    return f"/api/v1/groups/{scene.org.groups.named(name).id}"


@pytest.mark.long
async def test_without_apply_it_shows_the_changes_and_makes_none(there: ReactionOrg) -> None:
    code, output = await run(there)
    assert code == 0
    for line in (
        f"+ role {ACTS}",
        "+ permission okta.users.lifecycle.suspend",
        "+ resource users of Staff",
        "+ resource group Step-up",
        f"+ assignment to the app {APP}",
        "Nothing was changed: add --apply",
        "left out: Break-glass, because reactions.protect.groups names it",
        "left out: Admins, because it gives the admin role",
        "left out: Operators, because an administrator is in it",
    ):
        assert line in output
    assert not there.org.admin_roles.roles()
    assert not there.org.admin_roles.sets()


@pytest.mark.long
async def test_apply_gives_the_app_just_what_the_actions_need(there: ReactionOrg) -> None:
    code, output = await run(there, "--apply")
    assert code == 0, output
    assert "the changes were made, and Okta shows them" in output
    permissions, resources = held(there)[ACTS]
    assert permissions == [
        "okta.groups.members.manage",
        "okta.groups.read",
        "okta.users.groupMembership.manage",
        "okta.users.lifecycle.clearSessions",
        "okta.users.lifecycle.suspend",
        "okta.users.lifecycle.unsuspend",
        "okta.users.read",
    ]
    assert resources == sorted([path_of(there, "Staff") + "/users", path_of(there, "Step-up")])
    permissions, resources = held(there)[LOOKS]
    assert permissions == ["okta.groups.read", "okta.iam.read"]
    assert resources == ["/api/v1/groups", f"orn:okta:iam:{there.org.org_id}:contained_resources"]


class WithUrlAtOkta:
    """The `Api` of an org that says of itself that this is its URL at Okta."""

    def __init__(self, api: Api, url: str) -> None:
        self.api = api
        self.url = url

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        answer = await self.api.call(method, path, query=query, body=body)
        if path != "/.well-known/okta-organization":
            return answer
        shown = answer.json() | {"_links": {"organization": {"href": self.url}}}
        return Response(answer.status, json.dumps(shown).encode(), {})

    async def close(self) -> None:
        await self.api.close()


@pytest.mark.parametrize(
    ("url", "partition"),
    [
        ("https://acme.okta.com", "okta"),
        ("https://acme.okta-emea.com", "okta"),
        ("https://acme.oktapreview.com", "oktapreview"),
    ],
)
async def test_admin_roles_of_a_preview_org_are_named_as_okta_names_them_there(
    there: ReactionOrg, url: str, partition: str
) -> None:
    settings = load(there.write())
    reactions = settings.reactions
    needs = needs_of(reactions, "acme", has_zones=False)
    token = ApiSettings.model_validate({"token": ADMIN_TOKEN})
    api = WithUrlAtOkta(OktaClient(there.org.settings.url, token, 1.0, SystemClock()), url)
    try:
        found = await look(api, RoleOptions("https://login.corp.example", APP, needs, reactions))
    finally:
        await api.close()
    name = f"orn:{partition}:iam:{there.org.org_id}:contained_resources"
    assert name in found.comparisons[1].grant.resources


@pytest.mark.long
async def test_a_second_apply_changes_nothing(there: ReactionOrg) -> None:
    await run(there, "--apply")
    calls = len(there.org.calls)
    found = await report(there, "--apply")
    assert [each["changes"] for each in found["roles"]] == [[], []]
    assert len(there.org.calls) == calls


@pytest.mark.long
async def test_with_the_role_okta_itself_refuses_what_no_action_needs(there: ReactionOrg) -> None:
    await run(there, "--apply")
    api = ApiSettings.model_validate(there.app())
    client = OktaClient(there.org.settings.url, api, 1.0, SystemClock(), retry=RetryPolicy(attempts=1))
    try:
        ann, root, glass = (there.user(f"{name}@corp.example") for name in ("ann", "root", "glass"))
        await client.call("POST", f"/api/v1/users/{ann.id}/lifecycle/suspend")
        await client.call("PUT", f"{path_of(there, 'Step-up')}/users/{ann.id}")
        for method, path in (
            ("POST", f"/api/v1/users/{root.id}/lifecycle/suspend"),
            ("DELETE", f"/api/v1/users/{glass.id}/sessions"),
            ("POST", f"/api/v1/users/{ann.id}/lifecycle/expire_password"),
            ("PUT", f"{path_of(there, 'Admins')}/users/{ann.id}"),
        ):
            with pytest.raises(OktaRefusedError, match="E0000006"):
                await client.call(method, path)
        assert ann.status == "SUSPENDED"
        assert root.status == "ACTIVE"
    finally:
        await client.close()


@pytest.mark.long
async def test_what_an_action_no_longer_needs_is_taken_away_again(there: ReactionOrg) -> None:
    await run(there, "--apply")
    there.reactions = reactions_of("revoke_sessions")
    found = await report(there)
    assert found["roles"][0]["changes"][:2] == [
        "- permission okta.groups.members.manage",
        "- permission okta.groups.read",
    ]
    found = await report(there, "--apply")
    assert found["ok"]
    permissions, resources = held(there)[ACTS]
    assert permissions == ["okta.users.lifecycle.clearSessions", "okta.users.read"]
    # The group itself is a resource of the one that is added to; without that action, its users may be acted on.
    assert path_of(there, "Staff") + "/users" in resources
    assert path_of(there, "Step-up") not in resources


@pytest.mark.long
async def test_a_group_into_which_an_administrator_comes_leaves_the_set(there: ReactionOrg) -> None:
    there.group("Guests", "cem@corp.example")
    await run(there, "--apply")
    there.group("Staff", "root@corp.example")
    found = await report(there, "--apply")
    assert found["applied"]
    assert f"- resource {path_of(there, 'Staff')}/users" in found["roles"][0]["changes"]
    assert held(there)[ACTS][1] == sorted([path_of(there, "Guests") + "/users", path_of(there, "Step-up")])


@pytest.mark.long
async def test_a_new_group_comes_into_the_set_only_by_name(there: ReactionOrg) -> None:
    await run(there, "--apply")
    there.group("Guests", "cem@corp.example")
    found = await report(there, "--apply")
    assert not found["roles"][0]["changes"]
    assert any(
        line.startswith("not in the set: Guests; to change the set, name all its groups") for line in found["notes"]
    )
    await run(there, "--apply", "--group", "guests", "--group", "Staff")
    assert path_of(there, "Guests") + "/users" in held(there)[ACTS][1]


@pytest.mark.parametrize(
    ("words", "reactions", "problem"),
    [
        (["--group", "Nowhere"], {}, "--group: the org has no group Nowhere"),
        (["--group", "Operators"], {}, "--group: Operators must not be in the set: an administrator is in it"),
        ([], {"protect": {"users": ["gone@corp.example"]}}, "reactions.protect.users: the org has no user gone@corp.example"),
        ([], {"protect": {"groups": ["Glass"]}}, "reactions.protect.groups: the org has no group Glass"),
        ([], {"on": [{"level": "critical", "do": [{"add_to_group": {"group": "Nowhere", "for": "1h"}}]}]}, "add_to_group: the org has no group Nowhere; create it"),
        ([], {"on": [{"level": "critical", "do": [{"add_to_group": {"group": "Everyone", "for": "1h"}}]}]}, "add_to_group: Everyone has the type BUILT_IN"),
        ([], {"on": [{"level": "critical", "do": [{"add_to_group": {"group": "Admins", "for": "1h"}}]}]}, "add_to_group: Admins gives the admin role"),
    ],
)  # fmt: skip
async def test_what_is_wrong_keeps_everything_from_being_changed(
    there: ReactionOrg, words: list[str], reactions: dict[str, Any], problem: str
) -> None:
    there.reactions |= reactions
    code, output = await run(there, "--apply", *words)
    assert code == 1
    assert problem in output
    assert "Nothing was changed." in output
    assert not there.org.admin_roles.roles()


async def test_a_role_of_others_is_left_alone(there: ReactionOrg) -> None:
    there.org.admin_roles.create_role(
        ACTS, "ours for years", ["okta.users.read"], Caller(there.org.users.owner.id, by_token=True)
    )
    code, output = await run(there, "--apply")
    assert code == 1
    assert f"the org has a role '{ACTS}' that this command did not create; rename it in Okta" in output
    (role,) = there.org.admin_roles.roles()
    assert list(role.permissions) == ["okta.users.read"]


async def test_it_says_what_a_custom_role_cannot_give(there: ReactionOrg) -> None:
    there.reactions = reactions_of(
        {"block_ip": {"for": "1h"}}, "user_risk", {"prompt": {"by": "push"}}, "revoke_sessions"
    )
    code, output = await run(there)
    assert code == 0
    for name in ("block_ip", "user_risk", "prompt"):
        assert f"this role does not allow {name}, because Okta does not document the permission" in output


@pytest.mark.long
async def test_a_standard_role_of_the_app_is_told(tmp_path: Path) -> None:
    async with reaction_org(tmp_path, admin=True) as scene:
        await run(scene, "--apply")
        code, output = await run(scene)
    assert code == 0
    assert f"the app {APP} also has the role Super Administrator" in output


async def test_without_an_action_that_needs_it_no_role_is_made(there: ReactionOrg) -> None:
    there.reactions = reactions_of({"block_ip": {"for": "1h"}})
    code, output = await run(there, "--apply")
    assert code == 0
    assert "no configured action needs an admin role for users or groups" in output
    assert not there.org.admin_roles.roles()


@pytest.mark.long
async def test_an_app_that_may_not_manage_roles_is_told_what_to_do(there: ReactionOrg) -> None:
    arguments = ["setup", "okta-role", "-c", str(there.write()), "--apply"]
    done = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert done.exit_code == 1
    assert "name an API token of one with --token env:NAME" in done.output


@pytest.mark.long
async def test_with_an_api_token_the_role_is_made_and_given_to_nobody(there: ReactionOrg) -> None:
    there.org_settings = {"api": {"token": ADMIN_TOKEN}}
    code, output = await run(there, "--apply")
    assert code == 0
    assert "an API token has the rights of the admin who made it" in output
    assert not held(there)
    assert {role.label for role in there.org.admin_roles.roles()} == {ACTS, LOOKS}
