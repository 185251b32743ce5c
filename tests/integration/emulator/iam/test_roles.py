"""Custom admin roles of the emulated org, and what they allow an app without a standard one."""

from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running

APP = "0oareactions"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
SCOPES = ["okta.users.read", "okta.users.manage", "okta.groups.read", "okta.groups.manage"]
CLIENTS = {APP: {"keys": [PUBLIC.decode()], "scopes": SCOPES, "dpop": False, "admin": False}}
ROLES, SETS = "/api/v1/iam/roles", "/api/v1/iam/resource-sets"
PERMISSIONS = ["okta.users.read", "okta.users.lifecycle.suspend", "okta.groups.members.manage"]


async def posted(service: Service, path: str, **body: Any) -> dict[str, Any]:
    answer = await service.client.post(path, json=body)
    assert answer.is_success, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def role(service: Service, *permissions: str) -> dict[str, Any]:
    words = permissions or PERMISSIONS
    return await posted(service, ROLES, label="Forwarder", description="reactions", permissions=words)


async def resources(service: Service, *paths: str) -> dict[str, Any]:
    urls = [f"{service.org.settings.url}/api/v1/{path}" for path in paths]
    return await posted(service, SETS, label="Staff", description="no admins", resources=urls)


async def app(service: Service) -> httpx.AsyncClient:
    """A client with an access token of the app."""
    url = f"{service.org.settings.url}/oauth2/v1/token"
    claims = {"iss": APP, "sub": APP, "aud": url, "exp": service.org.clock.now() // 1_000_000 + 60}
    form = {
        "grant_type": "client_credentials",
        "scope": " ".join(SCOPES),
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(claims, KEY, "ES256"),
    }
    token = (await service.client.post(url, data=form)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=service.org.settings.url, headers=headers, trust_env=False)


async def test_a_role_is_made_shown_changed_and_deleted() -> None:
    async with running(ManualClock()) as service:
        made = await role(service)
        path = f"{ROLES}/{made['id']}"
        assert (await service.client.get(ROLES)).json()["roles"] == [made]
        for key in (made["id"], "Forwarder"):
            assert (await service.client.get(f"{ROLES}/{key}")).json() == made
        for permission in ("okta.users.lifecycle.unsuspend", "okta.users.lifecycle.unsuspend"):
            assert (await service.client.post(f"{path}/permissions/{permission}")).status_code == 204
        assert (await service.client.delete(f"{path}/permissions/okta.users.read")).status_code == 204
        shown = (await service.client.get(f"{path}/permissions")).json()["permissions"]
        assert [each["label"] for each in shown] == [*PERMISSIONS[1:], "okta.users.lifecycle.unsuspend"]
        answer = await service.client.put(path, json={"label": "Reactions", "description": "x"})
        assert answer.json()["label"] == "Reactions"
        assert (await service.client.delete(path)).status_code == 204
        assert_error(await service.client.get(path), 404, "E0000007")


@pytest.mark.parametrize(
    "wrong", [{"permissions": []}, {"permissions": ["users.read"]}, {"label": ""}, {"label": "Forwarder"}]
)
async def test_a_role_that_breaks_a_rule_is_refused(wrong: dict[str, Any]) -> None:
    async with running(ManualClock()) as service:
        await role(service)
        body = {"label": "second", "description": "", "permissions": PERMISSIONS} | wrong
        assert_error(await service.client.post(ROLES, json=body), 400, "E0000001")


async def test_a_resource_set_holds_what_exists() -> None:
    async with running(ManualClock()) as service:
        group = service.org.groups.named("Sales")
        made = await resources(service, "users", f"groups/{group.id}/users")
        path = f"{SETS}/{made['id']}"
        more = {"additions": [f"{service.org.settings.url}/api/v1/groups/{group.id}"]}
        assert (await service.client.patch(f"{path}/resources", json=more)).status_code == 200
        shown = (await service.client.get(f"{path}/resources")).json()["resources"]
        assert [each["orn"].rpartition(f"{service.org.org_id}:")[2] for each in shown] == [
            "users",
            f"groups:{group.id}:contained_resources",
            f"groups:{group.id}",
        ]
        assert (await service.client.delete(f"{path}/resources/{shown[0]['id']}")).status_code == 204
        assert (await service.client.get(SETS)).json()["resource-sets"][0]["id"] == made["id"]
        for url, status, code in (
            ("https://other.example/api/v1/users", 400, "E0000001"),
            ("orn:okta:directory:00oother:users", 400, "E0000001"),
            (f"orn:oktapreview:directory:{service.org.org_id}:users", 400, "E0000001"),
            (f"{service.org.settings.url}/api/v1/groups/00gnone", 404, "E0000007"),
        ):
            body = {"label": "other", "description": "", "resources": [url]}
            assert_error(await service.client.post(SETS, json=body), status, code)
        assert (await service.client.delete(path)).status_code == 204


async def test_a_resource_that_is_named_in_another_way_is_not_added_again() -> None:
    """As Terraform's provider does after each import: it adds all resources of the set by their names."""
    async with running(ManualClock()) as service:
        group = service.org.groups.named("Sales")
        made = await resources(service, "users", "groups", "apps", f"groups/{group.id}", f"groups/{group.id}/users")
        path = f"{SETS}/{made['id']}/resources"
        shown = (await service.client.get(path)).json()["resources"]
        more = {"additions": [each["orn"] for each in shown]}
        assert (await service.client.patch(path, json=more)).status_code == 200
        assert (await service.client.get(path)).json()["resources"] == shown


async def test_only_a_resource_that_the_api_has_links_to_itself() -> None:
    async with running(ManualClock()) as service:
        names = [f"orn:okta:{rest}" for rest in ("directory:{}:groups", "iam:{}:contained_resources")]
        names = [name.format(service.org.org_id) for name in names]
        made = await posted(service, SETS, label="by name", description="", resources=names)
        shown = (await service.client.get(f"{SETS}/{made['id']}/resources")).json()["resources"]
        assert [each["orn"] for each in shown] == names
        groups, contained = (each["_links"] for each in shown)
        href = {"href": f"{service.org.settings.url}/api/v1/groups"}
        assert (groups["self"], groups["groups"]) == (href, href)
        assert contained.keys() == {"resource"}


async def test_a_binding_gives_a_role_to_members_any_number_of_times() -> None:
    async with running(ManualClock(), clients=CLIENTS) as service:
        user, url = service.org.users.find("user09@example.com"), service.org.settings.url
        made, found = await role(service), await resources(service, "users")
        path = f"{SETS}/{found['id']}/bindings"
        members = [f"{url}/api/v1/users/{user.id}", f"{url}/oauth2/v1/clients/{APP}"]
        for _ in range(2):
            await posted(service, path, role=made["id"], members=members)
        assert [each["id"] for each in (await service.client.get(path)).json()["roles"]] == [made["id"]]
        shown = (await service.client.get(f"{path}/{made['id']}/members")).json()["members"]
        assert [each["_links"]["self"]["href"] for each in shown] == members
        roles = (await service.client.get(f"/api/v1/users/{user.id}/roles")).json()
        assert [(each["type"], each["role"]) for each in roles] == [("CUSTOM", made["id"])]
        assert_error(await service.client.delete(f"{ROLES}/{made['id']}"), 403, "E0000006")
        assert (await service.client.delete(f"{path}/{made['id']}/members/{shown[0]['id']}")).status_code == 204
        assert (await service.client.get(f"/api/v1/users/{user.id}/roles")).json() == []
        assert (await service.client.delete(f"{path}/{made['id']}")).status_code == 204
        assert (await service.client.get(path)).json()["roles"] == []
        wrong = {"role": made["id"], "members": [f"{url}/api/v1/users/00unone"]}
        assert_error(await service.client.post(path, json=wrong), 404, "E0000007")


async def test_an_app_is_given_a_role_and_loses_it() -> None:
    async with running(ManualClock(), clients=CLIENTS) as service:
        made, found = await role(service), await resources(service, "users")
        path = f"/oauth2/v1/clients/{APP}/roles"
        assert (await service.client.get(path)).json() == []
        body = {"type": "CUSTOM", "role": made["id"], "resource-set": found["id"]}
        answer = await service.client.post(path, json=body)
        assert answer.status_code == 201
        given = answer.json()
        assert (given["type"], given["role"], given["resource-set"]) == ("CUSTOM", made["id"], found["id"])
        assert (await service.client.get(path)).json() == [given]
        assert (await service.client.get(f"{path}/{given['id']}")).json() == given
        assert (await service.client.delete(f"{path}/{given['id']}")).status_code == 204
        assert_error(await service.client.get(f"{path}/{given['id']}"), 404, "E0000007")
        assert (await service.client.get(path)).json() == []
        assert_error(await service.client.get("/oauth2/v1/clients/0oanone/roles"), 404, "E0000007")


async def test_a_role_allows_its_calls_on_its_resources_and_no_others() -> None:
    async with running(ManualClock(), clients=CLIENTS) as service:
        users, sales = service.org.users, service.org.groups.named("Sales")
        inside, outside = users.find("user09@example.com"), users.find("user11@example.com")
        sales.members.add(inside.id)
        async with await app(service) as client:
            path = "/api/v1/users/{}/lifecycle/suspend"
            assert_error(await client.post(path.format(inside.id)), 403, "E0000006")
            made = await role(service)
            found = await resources(service, f"groups/{sales.id}/users", f"groups/{sales.id}")
            body = {"type": "CUSTOM", "role": made["id"], "resource-set": found["id"]}
            await posted(service, f"/oauth2/v1/clients/{APP}/roles", **body)
            assert (await client.post(path.format(inside.id))).status_code == 200
            assert (await client.get(f"/api/v1/users/{inside.login}")).json()["status"] == "SUSPENDED"
            assert_error(await client.post(path.format(outside.id)), 403, "E0000006")
            assert_error(await client.post(f"/api/v1/users/{inside.id}/lifecycle/unsuspend"), 403, "E0000006")
            assert outside.status == "ACTIVE"
            member = f"/api/v1/groups/{sales.id}/users/{outside.id}"
            assert (await client.put(member)).status_code == 204
            other = service.org.groups.named("Finance")
            assert_error(await client.put(f"/api/v1/groups/{other.id}/users/{outside.id}"), 403, "E0000006")


async def test_changes_of_roles_are_events_of_the_org() -> None:
    async with running(ManualClock(), clients=CLIENTS) as service:
        made, found = await role(service), await resources(service, "users")
        body = {"type": "CUSTOM", "role": made["id"], "resource-set": found["id"]}
        await posted(service, f"/oauth2/v1/clients/{APP}/roles", **body)
        events = (await service.client.get("/api/v1/logs")).json()
        assert [event["eventType"] for event in events] == [
            "iam.role.create",
            "iam.resourceset.create",
            "iam.resourceset.bindings.add",
        ]
        state = (await service.client.get("/emulator/state")).json()
        assert [each["label"] for each in state["roles"] + state["resource_sets"]] == ["Forwarder", "Staff"]
