"""Look-ups of users: the calls, and how long the results are cached."""

import asyncio

import pytest

from forwarder.react.guards.directory import Directory, LookUpError, why_protected
from forwarder.react.ports import Answer
from forwarder.react.settings.limits import ProtectSettings
from tests.fakes.actions import USER
from tests.fakes.clock import NOON
from tests.fakes.okta_directory import OktaDirectory

ALL = ProtectSettings(users=("x@corp.example",), groups=("Break-glass",), admins=True)
PATH = f"/api/v1/users/{USER.id}"


def org() -> OktaDirectory:
    return OktaDirectory(
        users={USER.id: "jane@corp.example"},
        groups={"00g1": "Everyone", "00g2": "Operations"},
        members={"00g1": {USER.id}, "00g2": {USER.id}},
    )


async def test_only_the_groups_and_roles_that_protect_needs_are_looked_up() -> None:
    okta = org()
    expected = {
        ProtectSettings(users=("x",), admins=False): [PATH],
        ProtectSettings(groups=("x",), admins=False): [PATH, f"{PATH}/groups"],
        ProtectSettings(admins=True): [PATH, f"{PATH}/roles"],
        ALL: [PATH, f"{PATH}/groups", f"{PATH}/roles"],
    }
    for protect, paths in expected.items():
        okta.calls.clear()
        await Directory(okta).person("acme", USER.id, protect, NOON, NOON)
        assert okta.calls == paths


async def test_several_actions_about_one_user_share_a_look_up() -> None:
    okta = org()
    directory = Directory(okta)
    await asyncio.gather(*(directory.person("acme", USER.id, ALL, NOON, NOON) for _ in range(20)))
    assert okta.calls.count(PATH) == 1


async def test_a_failed_look_up_is_not_cached() -> None:
    okta = org()
    directory = Directory(okta)
    okta.spoil = lambda path: Answer(500, text="an error") if path.endswith("/roles") else None
    with pytest.raises(LookUpError):
        await directory.person("acme", USER.id, ALL, NOON, NOON)
    okta.spoil = lambda _: None
    okta.user_roles[USER.id] = ["ORG_ADMIN"]
    person = await directory.person("acme", USER.id, ALL, NOON, NOON)
    assert why_protected(person, ALL) == "the user has the admin role ORG_ADMIN, and reactions.protect.admins is on"


async def test_a_cached_look_up_without_the_needed_data_is_not_used() -> None:
    okta = org()
    okta.user_roles[USER.id] = ["ORG_ADMIN"]
    directory = Directory(okta)
    person = await directory.person("acme", USER.id, ProtectSettings(users=("x",), admins=False), NOON, NOON)
    with pytest.raises(LookUpError):
        why_protected(person, ALL)
    assert why_protected(await directory.person("acme", USER.id, ALL, NOON, NOON), ALL)


async def test_users_of_two_orgs_are_two_users() -> None:
    okta = org()
    directory = Directory(okta)
    await directory.person("acme", USER.id, ALL, NOON, NOON)
    await directory.person("other", USER.id, ALL, NOON, NOON)
    assert okta.calls.count(PATH) == 2


async def test_an_endless_list_is_an_error() -> None:
    okta = org()
    groups = Answer(200, [{"id": "00g1", "profile": {"name": "x"}}], links={"next": f"https://x{PATH}/groups?after=2"})
    okta.spoil = lambda path: groups if "/groups" in path and "/roles" not in path else None
    with pytest.raises(LookUpError, match="more than 50 pages"):
        await Directory(okta).person("acme", USER.id, ALL, NOON, NOON)


async def test_a_link_to_another_host_is_followed_to_none_but_the_org() -> None:
    okta = org()
    page = Answer(200, [], links={"next": f"https://evil.example{PATH}/groups?after=2"})
    okta.spoil = lambda path: page if path == f"{PATH}/groups" else None
    await Directory(okta).person("acme", USER.id, ProtectSettings(groups=("x",), admins=False), NOON, NOON)
    assert okta.calls[-1] == f"{PATH}/groups?after=2"  # a path; the port adds the org


@pytest.mark.long
async def test_the_cache_has_a_maximum_size() -> None:
    okta = org()
    directory = Directory(okta)
    for number in range(10_050):
        okta.users = {f"00u{number}": "x"}
        await directory.person("acme", f"00u{number}", ProtectSettings(users=("x",), admins=False), NOON, NOON)
    assert len(directory._people) == 10_000
    assert len(directory._locks) <= 1


async def test_groups_that_the_org_does_not_have_are_named() -> None:
    okta = org()
    names = ("operations", "00g1", "Operation", "Brake-glass", "00gnone")
    assert await Directory(okta).unknown_groups("acme", names) == ["Operation", "Brake-glass", "00gnone"]
    okta.has_api = False
    with pytest.raises(LookUpError):
        await Directory(okta).unknown_groups("acme", names)
