"""The groups of the emulated org."""

from tests.integration.emulator.helpers import Service, assert_error, running

GROUPS = "/api/v1/groups"


async def group_id(service: Service, name: str) -> str:
    (group,) = (await service.client.get(GROUPS, params={"q": name})).json()
    return str(group["id"])


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
