"""The groups of the emulated org."""

import pytest

from tests.integration.emulator.helpers import Service, assert_error, running

GROUPS = "/api/v1/groups"


async def group_id(service: Service, name: str) -> str:
    (group,) = (await service.client.get(GROUPS, params={"q": name})).json()
    return str(group["id"])


@pytest.mark.long
async def test_membership_can_be_added_and_removed_any_number_of_times() -> None:
    async with running() as service:
        user = next(user for user in service.org.users.all() if not user.roles)
        group = await group_id(service, "Contractors")
        path = f"{GROUPS}/{group}/users"
        for _ in range(2):
            assert (await service.client.put(f"{path}/{user.id}")).status_code == 204
            assert [each["id"] for each in (await service.client.get(path)).json()] == [user.id]
        of_user = (await service.client.get(f"/api/v1/users/{user.id}/groups")).json()
        assert {each["profile"]["name"] for each in of_user} == {"Everyone", "Contractors"}
        for _ in range(2):
            assert (await service.client.delete(f"{path}/{user.id}")).status_code == 204
            assert (await service.client.get(path)).json() == []
        changes = [event["eventType"] for event in (await service.client.get("/api/v1/logs")).json()]
        assert changes == ["group.user_membership.add", "group.user_membership.remove"]


@pytest.mark.long
async def test_the_members_of_a_built_in_group_cannot_be_changed() -> None:
    async with running() as service:
        user = service.org.users.owner
        path = f"{GROUPS}/{await group_id(service, 'Everyone')}/users/{user.id}"
        assert_error(await service.client.delete(path), 403, "E0000038")
        assert_error(await service.client.put(path), 403, "E0000038")


async def test_admins_and_their_groups_have_roles() -> None:
    async with running() as service:
        group = await group_id(service, "Admins")
        assert [role["type"] for role in (await service.client.get(f"{GROUPS}/{group}/roles")).json()] == [
            "HELP_DESK_ADMIN"
        ]
        admins = (await service.client.get(f"{GROUPS}/{group}/users")).json()
        assert len(admins) == 6
        for admin in admins:
            assert (await service.client.get(f"/api/v1/users/{admin['id']}/roles")).json() != []


async def test_what_does_not_exist_is_not_found() -> None:
    async with running() as service:
        group = await group_id(service, "Sales")
        assert_error(await service.client.get(f"{GROUPS}/00gnothing"), 404, "E0000007")
        assert_error(await service.client.put(f"{GROUPS}/{group}/users/00unobody"), 404, "E0000007")


async def test_a_group_is_made_and_deleted_as_by_terraform() -> None:
    async with running() as service:
        body = {"profile": {"name": "Step-up", "description": "asked again"}}
        made = (await service.client.post(GROUPS, json=body)).json()
        assert (made["profile"], made["type"]) == (body["profile"], "OKTA_GROUP")
        assert_error(await service.client.post(GROUPS, json=body), 400, "E0000001")
        path = f"{GROUPS}/{made['id']}"
        assert (await service.client.delete(path)).status_code == 204
        assert_error(await service.client.get(path), 404, "E0000007")
        everyone = await group_id(service, "Everyone")
        assert_error(await service.client.delete(f"{GROUPS}/{everyone}"), 403, "E0000006")


async def test_a_group_is_replaced_as_by_terraform() -> None:
    async with running() as service:
        made = (await service.client.post(GROUPS, json={"profile": {"name": "Step-up"}})).json()
        path, body = f"{GROUPS}/{made['id']}", {"profile": {"name": "Ask again", "description": "by push"}}
        for _ in range(2):
            answer = await service.client.put(path, json=body)
            assert (answer.status_code, answer.json()["profile"]) == (200, body["profile"])
        assert (await service.client.get(path)).json()["profile"] == body["profile"]
        changes = [event["eventType"] for event in (await service.client.get("/api/v1/logs")).json()]
        assert changes == ["group.lifecycle.create", "group.profile.update"]
        taken = {"profile": {"name": "Everyone"}}
        assert_error(await service.client.put(path, json=taken), 400, "E0000001")
        everyone = f"{GROUPS}/{await group_id(service, 'Everyone')}"
        assert_error(await service.client.put(everyone, json=body), 403, "E0000038")


@pytest.mark.parametrize(
    ("path", "asked", "found"),
    [
        (GROUPS, {"search": 'profile.name eq "everyone"'}, 1),
        (GROUPS, {"search": 'profile.name sw "Contr" or type eq "BUILT_IN"'}, 2),
        (GROUPS, {"filter": 'lastMembershipUpdated gt "2199-01-01T00:00:00.000Z"'}, 0),
        ("/api/v1/users", {"search": 'profile.email eq "ADMIN@example.com" and status eq "ACTIVE"'}, 1),
        ("/api/v1/users", {"filter": 'status eq "STAGED" or status eq "RECOVERY"'}, 0),
        ("/api/v1/zones", {"filter": 'name eq "LegacyIpZone"'}, 1),
        ("/api/v1/zones", {"filter": "not (system eq true)"}, 0),
    ],
)  # fmt: skip
async def test_lists_are_filtered_as_the_caller_asks(path: str, asked: dict[str, str], found: int) -> None:
    async with running() as service:
        answer = await service.client.get(path, params=asked)
        assert (answer.status_code, len(answer.json())) == (200, found)


@pytest.mark.parametrize("asked", ['profile.nmae eq "x"', "type eq", 'id in ["a"]', "profile.name eq x"])
async def test_a_search_that_the_org_cannot_answer_is_refused(asked: str) -> None:
    async with running() as service:
        for name in ("search", "filter"):
            assert_error(await service.client.get(GROUPS, params={name: asked}), 400, "E0000031")


async def test_every_path_of_a_user_takes_me() -> None:
    async with running() as service:
        for part in ("", "/groups", "/roles", "/risk", "/factors"):
            assert (await service.client.get(f"/api/v1/users/me{part}")).status_code == 200


async def test_an_absurd_limit_is_the_largest_one() -> None:
    async with running() as service:
        answer = await service.client.get(GROUPS, params={"limit": "9" * 5_000})
        assert (answer.status_code, len(answer.json()) > 1) == (200, True)
