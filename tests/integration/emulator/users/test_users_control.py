"""Users and groups that a test makes in any state."""

from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running


async def made(service: Service, kind: str, **order: Any) -> dict[str, Any]:
    answer = await service.client.post(f"/emulator/{kind}", json=order)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def changed(service: Service, path: str, **order: Any) -> dict[str, Any]:
    answer = await service.client.put(f"/emulator/{path}", json=order)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_a_user_is_made_with_groups_roles_status_and_factors() -> None:
    async with running(ManualClock()) as service:
        await made(service, "groups", name="Break-glass")
        user = await made(
            service,
            "users",
            login="ada@corp.example",
            name="Ada Example",
            status="LOCKED_OUT",
            roles=["ORG_ADMIN"],
            groups=["Break-glass"],
            factors=["token:software:totp", {"type": "push", "suspended": True}],
        )
        path = f"/api/v1/users/{user['id']}"
        shown = (await service.client.get("/api/v1/users/ADA@corp.example")).json()
        assert (shown["id"], shown["status"]) == (user["id"], "LOCKED_OUT")
        groups = (await service.client.get(f"{path}/groups")).json()
        assert {group["profile"]["name"] for group in groups} == {"Everyone", "Break-glass"}
        assert [role["type"] for role in (await service.client.get(f"{path}/roles")).json()] == ["ORG_ADMIN"]
        factors = (await service.client.get(f"{path}/factors")).json()
        assert [factor["factorType"] for factor in factors] == ["token:software:totp", "push"]


async def test_a_status_of_its_own_shows_when_it_changed() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        user = await made(service, "users", login="ada@corp.example")
        await clock.advance(60)
        await changed(service, "users/ada@corp.example", status="SUSPENDED")
        shown = (await service.client.get(f"/api/v1/users/{user['id']}")).json()
        assert (shown["created"], shown["statusChanged"]) == ("2026-01-01T12:00:00.000Z", "2026-01-01T12:01:00.000Z")
        assert (await service.client.get("/api/v1/logs")).json() == []


async def test_a_deleted_user_is_not_found_and_in_no_group() -> None:
    async with running(ManualClock()) as service:
        await made(service, "groups", name="Step-up")
        user = await made(service, "users", login="ada@corp.example", groups=["Step-up"])
        assert (await service.client.delete(f"/emulator/users/{user['id']}")).status_code == 204
        assert_error(await service.client.get(f"/api/v1/users/{user['id']}"), 404, "E0000007")
        assert_error(await service.client.post(f"/api/v1/users/{user['id']}/lifecycle/suspend"), 404, "E0000007")
        assert service.org.groups.named("Step-up").members == set()


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("users", {}),
        ("users", {"login": "user01@example.com"}),
        ("users", {"login": "x@y", "status": "GONE"}),
        ("users", {"login": "x@y", "shoe": 42}),
        ("groups", {"name": "Everyone"}),
        ("groups", {}),
    ],
)
async def test_an_impossible_user_or_group_is_refused(kind: str, order: dict[str, Any]) -> None:
    async with running(ManualClock()) as service:
        assert_error(await service.client.post(f"/emulator/{kind}", json=order), 400, "E0000001")


async def test_the_roles_of_a_user_include_those_of_groups() -> None:
    async with running(ManualClock()) as service:
        await made(service, "groups", name="Operators", roles=["USER_ADMIN"], members=["user09@example.com"])
        roles = (await service.client.get("/api/v1/users/user09@example.com/roles")).json()
        assert [(role["type"], role["assignmentType"]) for role in roles] == [("USER_ADMIN", "GROUP")]


async def test_a_group_shows_its_type_roles_apps_and_the_rules_that_fill_it() -> None:
    async with running(ManualClock()) as service:
        group = await made(service, "groups", name="Step-up", type="APP_GROUP", apps=["Payroll"])
        path = f"/api/v1/groups/{group['id']}"
        assert (await service.client.get(path)).json()["type"] == "APP_GROUP"
        assert [app["label"] for app in (await service.client.get(f"{path}/apps")).json()] == ["Payroll"]
        rule = {
            "type": "group_rule",
            "name": "all of sales",
            "conditions": {"expression": {"value": 'user.department=="Sales"', "type": "urn:okta:expression:1.0"}},
            "actions": {"assignUserToGroups": {"groupIds": [group["id"]]}},
        }
        shown = (await service.client.post("/api/v1/groups/rules", json=rule)).json()
        assert shown["status"] == "INACTIVE"
        one = f"/api/v1/groups/rules/{shown['id']}"
        assert (await service.client.post(f"{one}/lifecycle/activate")).status_code == 204
        assert [each["status"] for each in (await service.client.get("/api/v1/groups/rules")).json()] == ["ACTIVE"]
        assert_error(await service.client.delete(one), 403, "E0000006")
        await service.client.post(f"{one}/lifecycle/deactivate")
        assert (await service.client.delete(one)).status_code == 202
        assert_error(await service.client.get(one), 404, "E0000007")
        rule["actions"] = {"assignUserToGroups": {"groupIds": ["00gnone"]}}
        assert_error(await service.client.post("/api/v1/groups/rules", json=rule), 404, "E0000007")


async def test_a_long_list_of_members_comes_in_pages() -> None:
    async with running(ManualClock()) as service:
        everyone = service.org.groups.named("Everyone")
        url: str | None = f"/api/v1/groups/{everyone.id}/users?limit=25"
        pages = []
        while url is not None:
            answer = await service.client.get(url)
            pages.append([user["id"] for user in answer.json()])
            url = answer.links.get("next", {}).get("url")
        assert [len(page) for page in pages] == [25, 25, 11]
        assert {user_id for page in pages for user_id in page} == everyone.members
