"""What Okta's Terraform provider asked of real orgs and what they answered, as its own tests recorded it in 2025 and 2026:
the emulated org gives the same answers. Names, addresses and times are our own; logos of groups are left out."""

from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running

ZONES, GROUPS, ROLES, SETS = ("/api/v1/zones", "/api/v1/groups", "/api/v1/iam/roles", "/api/v1/iam/resource-sets")
NOON = "2026-01-01T12:00:{:02}.000Z"
RANGES = [{"type": "RANGE", "value": "203.0.113.5-203.0.113.15"}, {"type": "CIDR", "value": "198.51.100.4/24"}]
PROXIES = [{"type": "CIDR", "value": "192.0.2.4/24"}, {"type": "RANGE", "value": "192.0.2.5-192.0.2.15"}]
US, AF, UA = {"country": "US"}, {"country": "AF", "region": "AF-BGL"}, {"country": "UA", "region": "UA-26"}
CN, BE = {"country": "CN", "region": "CN-BJ"}, {"country": "BE", "region": "BE-VAN"}
ALL_US = US | {"region": None}
NONE: dict[str, Any] = {"include": [], "exclude": []}
SERVICES = ["SYMANTEC_VPN", "GOOGLE_VPN", "TRENDMICRO_VPN"]


async def ask(service: Service, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await service.client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def zone(service: Service, zone_id: str, fields: dict[str, Any], updated: int) -> dict[str, Any]:
    """A zone as the API shows it, with the second of its last change."""
    url = f"{service.org.settings.url}{ZONES}/{zone_id}"
    verb = "deactivate" if fields["status"] == "ACTIVE" else "activate"
    return {
        "id": zone_id,
        "system": False,
        "created": NOON.format(0),
        "lastUpdated": NOON.format(updated),
        "_links": {
            "self": {"href": url, "hints": {"allow": ["GET", "PUT", "DELETE"]}},
            verb: {"href": f"{url}/lifecycle/{verb}", "hints": {"allow": ["POST"]}},
        },
    } | fields


@pytest.mark.parametrize(
    ("sent", "shown", "update", "updated"),
    [
        pytest.param(
            {"type": "IP", "usage": "POLICY", "gateways": RANGES, "proxies": PROXIES},
            {},
            {"type": "IP", "usage": "BLOCKLIST", "gateways": RANGES[1:], "status": "INACTIVE"},
            {"proxies": None},
            id="addresses",
        ),
        pytest.param(
            {"type": "DYNAMIC", "usage": "BLOCKLIST", "proxyType": "TorAnonymizer"},
            {"locations": None},
            {"type": "DYNAMIC", "usage": "POLICY", "proxyType": "NotTorAnonymizer", "status": "INACTIVE"},
            {"locations": None},
            id="proxies",
        ),
        pytest.param(
            {"type": "DYNAMIC", "usage": "POLICY", "proxyType": "", "locations": [US, AF]},
            {"locations": [AF, ALL_US]},
            {
                "type": "DYNAMIC",
                "usage": "POLICY",
                "proxyType": "",
                "locations": [US, UA, AF],
                "asns": ["2232"],
                "status": "INACTIVE",
            },
            {"locations": [UA, AF, ALL_US]},
            id="places",
        ),
        pytest.param(
            {
                "type": "DYNAMIC_V2",
                "usage": "POLICY",
                "asns": {},
                "locations": {"include": [US, AF]},
                "ipServiceCategories": {"include": ["ALL_IP_SERVICES"], "exclude": ["SURFSHARK_VPN"]},
            },
            {"asns": NONE, "locations": {"include": [AF, ALL_US], "exclude": []}},
            {
                "type": "DYNAMIC_V2",
                "usage": "POLICY",
                "asns": {},
                "locations": {"exclude": [CN, BE]},
                "ipServiceCategories": {"include": SERVICES},
            },
            {
                "asns": NONE,
                "locations": {"include": [], "exclude": [BE, CN]},
                "ipServiceCategories": {"include": SERVICES, "exclude": []},
            },
            id="enhanced",
        ),
    ],
)
async def test_a_zone_is_made_changed_and_deleted(
    sent: dict[str, Any], shown: dict[str, Any], update: dict[str, Any], updated: dict[str, Any]
) -> None:
    clock = ManualClock()
    async with running(clock) as service:
        sent = {"name": "recorded", "status": "ACTIVE"} | sent
        made = await ask(service, "POST", ZONES, sent)
        path = f"{ZONES}/{made['id']}"
        assert made == zone(service, made["id"], sent | shown, 0)
        await clock.advance(1)
        assert await ask(service, "POST", f"{path}/lifecycle/activate") == zone(service, made["id"], sent | shown, 1)
        assert await ask(service, "GET", path) == zone(service, made["id"], sent | shown, 1)

        await clock.advance(4)
        update = {"name": "recorded Updated", "status": "ACTIVE"} | update
        assert await ask(service, "PUT", path, update) == zone(service, made["id"], update | updated, 1)
        await clock.advance(1)
        step = "activate" if update["status"] == "ACTIVE" else "deactivate"
        after = zone(service, made["id"], update | updated, 6)
        assert await ask(service, "POST", f"{path}/lifecycle/{step}") == after
        assert await ask(service, "GET", path) == after

        await ask(service, "POST", f"{path}/lifecycle/deactivate")
        await ask(service, "DELETE", path, status=204)
        assert_error(await service.client.get(path), 404, "E0000007")


async def test_a_risk_is_set_and_raised() -> None:
    async with running(ManualClock()) as service:
        user = service.org.users.find("user09@example.com")
        url = f"{service.org.settings.url}/api/v1/users/{user.id}"
        links = {
            "user": {"href": url, "hints": {"allow": ["GET"]}},
            "self": {"href": f"{url}/risk", "hints": {"allow": ["GET", "PUT"]}},
        }
        path = f"/api/v1/users/{user.id}/risk"
        for level, status in (("LOW", 201), ("HIGH", 200)):
            shown = {"riskLevel": level, "reason": "Admin override risk", "_links": links}
            assert await ask(service, "PUT", path, {"riskLevel": level}, status) == shown
            assert await ask(service, "GET", path) == shown


async def test_a_group_is_found_by_its_name_with_its_members() -> None:
    async with running(ManualClock()) as service:
        body = {"profile": {"name": "recorded", "description": "testing, testing"}}
        made = await ask(service, "POST", GROUPS, body)
        url = f"{service.org.settings.url}{GROUPS}/{made['id']}"
        times = dict.fromkeys(("created", "lastUpdated", "lastMembershipUpdated"), NOON.format(0))
        assert made == body | times | {
            "id": made["id"],
            "objectClass": ["okta:user_group"],
            "type": "OKTA_GROUP",
            "_links": {"users": {"href": f"{url}/users"}, "apps": {"href": f"{url}/apps"}},
        }
        assert await ask(service, "GET", f"{GROUPS}/{made['id']}") == made
        users = [service.org.users.find(f"user{number:02}@example.com") for number in (9, 11)]
        for user in users:
            await ask(service, "PUT", f"{GROUPS}/{made['id']}/users/{user.id}", status=204)
        members = await ask(service, "GET", f"{GROUPS}/{made['id']}/users?limit=200")
        assert {each["id"] for each in members} == {user.id for user in users}
        for member in members:
            assert member.keys() == {
                "id",
                "status",
                "created",
                "activated",
                "statusChanged",
                "lastLogin",
                "lastUpdated",
                "passwordChanged",
                "type",
                "profile",
                "credentials",
                "_links",
            }
            url = f"{service.org.settings.url}/api/v1/users/{member['id']}"
            assert member["_links"] == {"self": {"href": url}}
        assert await ask(service, "GET", f"{GROUPS}?q=recorded") == [made]
        of_user = await ask(service, "GET", f"/api/v1/users/{users[0].id}/groups")
        assert [each["type"] for each in of_user if each["profile"]["name"] == "Everyone"] == ["BUILT_IN"]
        assert made in of_user


async def test_a_group_is_found_by_its_name_and_type() -> None:
    async with running() as service:
        body = {"profile": {"name": "Every colleague"}}
        made = await ask(service, "POST", GROUPS, body)
        for kind, name in (("OKTA_GROUP", "Every colleague"), ("BUILT_IN", "Everyone")):
            query = {"q": "Every", "filter": f'type eq "{kind}"'}
            found = (await service.client.get(GROUPS, params=query)).json()
            assert [each["profile"]["name"] for each in found] == [name]
        query = {"filter": f'id eq "{made["id"]}"'}
        assert (await service.client.get(GROUPS, params=query)).json() == [made]
        assert_error(await service.client.get(GROUPS, params={"filter": "name pr"}), 400, "E0000031")


async def test_a_custom_role_gets_another_permission() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        first, second = "okta.apps.assignment.manage", "okta.users.read"
        body = {"label": "recorded", "description": "testing, testing", "permissions": [first]}
        made = await ask(service, "POST", ROLES, body)
        path = f"{ROLES}/{made['id']}"
        url = f"{service.org.settings.url}{path}"
        links = {"permissions": {"href": f"{url}/permissions"}, "self": {"href": url}}
        times = dict.fromkeys(("created", "lastUpdated"), NOON.format(0))
        role = times | {"id": made["id"], "label": "recorded", "description": "testing, testing", "_links": links}
        assert made == role
        assert await ask(service, "GET", path) == role

        await clock.advance(3)
        change = {"label": "recorded", "description": "testing, testing updated"}
        role |= change | {"lastUpdated": NOON.format(3)}
        assert await ask(service, "PUT", path, change) == role
        await ask(service, "POST", f"{path}/permissions/{second}", status=204)
        assert await ask(service, "GET", path) == role
        shown = (await ask(service, "GET", f"{path}/permissions"))["permissions"]
        assert sorted(shown, key=lambda each: str(each["label"])) == [
            {
                "label": name,
                "created": NOON.format(since),
                "lastUpdated": NOON.format(since),
                "conditions": None,
                "_links": {"role": {"href": url}, "self": {"href": f"{url}/permissions/{name}"}},
            }
            for name, since in ((first, 0), (second, 3))
        ]
        await ask(service, "DELETE", path, status=204)


async def test_a_resource_set_is_renamed_and_loses_a_resource() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        api = f"{service.org.settings.url}/api/v1"
        body = {"label": "recorded", "description": "testing, testing"}
        resources = [f"{api}/{kind}" for kind in ("groups", "apps", "users")]
        made = await ask(service, "POST", SETS, body | {"resources": resources})
        path, url = f"{SETS}/{made['id']}", f"{api}/iam/resource-sets/{made['id']}"
        links = {key: {"href": f"{url}/{key}"} for key in ("bindings", "resources")} | {"self": {"href": url}}
        times = dict.fromkeys(("created", "lastUpdated"), NOON.format(0))
        assert made == body | times | {"id": made["id"], "_links": links}
        assert await ask(service, "GET", path) == made

        await clock.advance(6)
        change = {"id": made["id"], "label": "recorded updated", "description": "testing, testing updated"}
        renamed = made | change | {"lastUpdated": NOON.format(6)}
        assert await ask(service, "PUT", path, change) == renamed
        listed = await ask(service, "GET", f"{path}/resources?limit=200")
        assert listed["_links"] == {"resource-set": {"href": url}, "self": {"href": f"{url}/resources"}}
        by_orn = {each["orn"]: each for each in listed["resources"]}
        for orn, kind in (("directory", "users"), ("directory", "groups"), ("idp", "apps")):
            shown = by_orn[f"orn:okta:{orn}:{service.org.org_id}:{kind}"]
            itself = {"href": f"{api}/{kind}"}
            assert shown["_links"] == {"self": itself, "resource": {"href": f"{url}/resources/{shown['id']}"}} | (
                {} if kind == "apps" else {kind: itself}
            )
            assert (shown["created"], shown["lastUpdated"]) == (NOON.format(0), NOON.format(6))

        await clock.advance(1)
        groups = by_orn[f"orn:okta:directory:{service.org.org_id}:groups"]
        await ask(service, "DELETE", f"{path}/resources/{groups['id']}", status=204)
        assert await ask(service, "GET", path) == renamed
        left = (await ask(service, "GET", f"{path}/resources?limit=200"))["resources"]
        assert left == [each for each in listed["resources"] if each != groups]
        await ask(service, "DELETE", path, status=204)


async def test_a_resource_set_that_is_made_by_names_shows_urls() -> None:
    """Recorded on 2025-07-21."""
    async with running(ManualClock()) as service:
        api = f"{service.org.settings.url}/api/v1"
        names = [f"orn:okta:directory:{service.org.org_id}:{kind}" for kind in ("groups", "users")]
        body = {"label": "by name", "description": "testing, testing", "resources": names}
        made = await ask(service, "POST", SETS, body)
        url = f"{api}/iam/resource-sets/{made['id']}"
        listed = (await ask(service, "GET", f"{SETS}/{made['id']}/resources?limit=200"))["resources"]
        assert [(each["orn"], each["_links"]) for each in listed] == [
            (
                name,
                {
                    kind: {"href": f"{api}/{kind}"},
                    "self": {"href": f"{api}/{kind}"},
                    "resource": {"href": f"{url}/resources/{each['id']}"},
                },
            )
            for name, kind, each in zip(names, ("groups", "users"), listed, strict=True)
        ]


async def test_a_standard_role_of_an_app_is_read_by_its_id() -> None:
    async with running(ManualClock(), clients={"0oaterraform": {"scopes": []}}) as service:
        path = "/oauth2/v1/clients/0oaterraform/roles"
        (held,) = await ask(service, "GET", path)
        assert held["id"] == "KNKVARKSL5AUITKJJY"  # Okta's ids of standard roles are their type in base 32
        assert await ask(service, "GET", f"{path}/{held['id']}") == held
        app = f"{service.org.settings.url}/oauth2/v1/clients/0oaterraform"
        assert (held["assignmentType"], held["_links"]) == ("CLIENT", {"assignee": {"href": app}})


async def test_administrators_are_listed_by_id() -> None:
    async with running(ManualClock()) as service:
        listed = await ask(service, "GET", "/api/v1/iam/assignees/users?after=&limit=200")
        admin = next(user for user in service.org.users.all() if user.roles)
        url = f"{service.org.settings.url}/api/v1/users/{admin.id}"
        assert {
            "id": admin.id,
            "orn": f"orn:okta:directory:{service.org.org_id}:users:{admin.id}",
            "_links": {"roles": {"href": f"{url}/roles"}, "self": {"href": url}},
        } in listed["value"]
