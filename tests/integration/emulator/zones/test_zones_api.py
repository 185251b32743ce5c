"""The network zones of the emulated org, with the quirks of recorded ones."""

from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running

ZONES = "/api/v1/zones"


def block(**changes: Any) -> dict[str, Any]:
    gateways = [{"type": "CIDR", "value": "192.0.2.4/24"}, {"type": "RANGE", "value": "198.51.100.7"}]
    return {"type": "IP", "name": "blocked", "usage": "BLOCKLIST", "gateways": gateways, "proxies": None} | changes


def countries(*codes: str, **changes: Any) -> dict[str, Any]:
    locations = [{"country": code} for code in codes]
    return {"type": "DYNAMIC", "name": "embargo", "usage": "BLOCKLIST", "locations": locations} | changes


async def created(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.post(ZONES, json=body)
    assert answer.status_code == 200, answer.text
    zone: dict[str, Any] = answer.json()
    return zone


async def own(service: Service) -> list[dict[str, Any]]:
    """The zones that not every org has."""
    zones = (await service.client.get(ZONES)).json()
    return [zone for zone in zones if not zone["system"]]


async def system(service: Service, name: str) -> dict[str, Any]:
    zones = (await service.client.get(ZONES)).json()
    (zone,) = [zone for zone in zones if zone["name"] == name]
    return dict(zone)


def enhanced(**changes: Any) -> dict[str, Any]:
    return {
        "type": "DYNAMIC_V2",
        "name": "embargo",
        "usage": "BLOCKLIST",
        "locations": {"include": [{"country": "IR"}, {"country": "KP", "region": "KP-01"}], "exclude": []},
        "asns": {"include": ["23457"], "exclude": None},
        "ipServiceCategories": {"include": ["ALL_ANONYMIZERS"], "exclude": []},
    } | changes


async def test_a_new_zone_is_active_even_if_it_should_not_be() -> None:
    async with running() as service:
        zone = await created(service, countries("IR", "KP", status="INACTIVE"))
        assert zone["status"] == "ACTIVE"
        answer = await service.client.put(f"{ZONES}/{zone['id']}", json=countries("IR", "KP", status="INACTIVE"))
        assert answer.json()["status"] == "INACTIVE"


async def test_addresses_come_back_as_okta_writes_them() -> None:
    async with running() as service:
        zone = await created(service, block())
        assert [each["value"] for each in zone["gateways"]] == ["192.0.2.4/24", "198.51.100.7-198.51.100.7"]
        assert await own(service) == [zone]


async def test_a_put_replaces_the_zone_and_shows_when_it_was_updated_before() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        zone = await created(service, countries("IR", "KP"))
        await clock.advance(60)
        answer = await service.client.put(f"{ZONES}/{zone['id']}", json=countries("SY"))
        assert answer.json()["lastUpdated"] == zone["lastUpdated"]
        after = (await service.client.get(f"{ZONES}/{zone['id']}")).json()
        assert after["lastUpdated"] > zone["lastUpdated"]
        assert [place["country"] for place in after["locations"]] == ["SY"]


@pytest.mark.parametrize(
    "wrong",
    [
        countries(*["DE"] * 76),
        countries("Germany"),
        countries("de"),
        block(usage="ALLOW"),
        block(type="NET"),
        block(name=""),
        block(gateways=[{"type": "CIDR", "value": "nowhere"}]),
        block(gateways=[{"type": "RANGE", "value": "192.0.2.9-192.0.2.1"}]),
        block(gateways=[{"type": "CIDR", "value": "192.0.2.0/24"}] * 1001),
        block(usage="POLICY", gateways=[{"type": "CIDR", "value": "192.0.2.0/24"}] * 151),
        enhanced(locations={"include": [{"country": "IR"}] * 76}),
        enhanced(locations=[{"country": "IR"}]),
        enhanced(asns={"exclude": ["AS1"]}),
        countries("IR", asns={"include": ["1"]}),
        countries("IR", locations=[{"country": "UA", "region": "Crimea"}]),
        block(name="BlockedIpZone"),
    ],
)
async def test_a_zone_that_breaks_a_rule_is_refused(wrong: dict[str, Any]) -> None:
    async with running() as service:
        assert_error(await service.client.post(ZONES, json=wrong), 400, "E0000001")
        assert await own(service) == []


async def test_two_zones_cannot_have_one_name_and_none_changes_its_type() -> None:
    async with running() as service:
        zone = await created(service, block())
        assert_error(await service.client.post(ZONES, json=block()), 400, "E0000001")
        wrong = countries("IR", name="blocked")
        assert_error(await service.client.put(f"{ZONES}/{zone['id']}", json=wrong), 400, "E0000001")


async def test_only_an_inactive_zone_can_be_deleted() -> None:
    async with running() as service:
        path = f"{ZONES}/{(await created(service, block()))['id']}"
        assert_error(await service.client.delete(path), 403, "E0000006")
        assert (await service.client.post(f"{path}/lifecycle/deactivate")).json()["status"] == "INACTIVE"
        assert (await service.client.post(f"{path}/lifecycle/activate")).json()["status"] == "ACTIVE"
        await service.client.post(f"{path}/lifecycle/deactivate")
        assert (await service.client.delete(path)).status_code == 204
        assert_error(await service.client.get(path), 404, "E0000007")
        types = [event["eventType"] for event in (await service.client.get("/api/v1/logs")).json()]
        assert types == ["zone.create", "zone.deactivate", "zone.activate", "zone.deactivate", "zone.delete"]


async def test_every_org_has_four_zones_that_cannot_be_deleted() -> None:
    async with running() as service:
        zones = (await service.client.get(ZONES)).json()
        assert [(zone["name"], zone["usage"], zone["system"]) for zone in zones] == [
            ("LegacyIpZone", "POLICY", True),
            ("BlockedIpZone", "BLOCKLIST", True),
            ("DefaultEnhancedDynamicZone", "BLOCKLIST", True),
            ("DefaultExemptIpZone", "POLICY", True),
        ]
        assert all("useAsExemptList" not in zone for zone in zones)
        assert_error(await service.client.delete(f"{ZONES}/{zones[2]['id']}"), 403, "E0000006")


async def test_the_zone_of_exempt_addresses_is_changed_only_as_such_and_stays_active() -> None:
    async with running() as service:
        zone = await system(service, "DefaultExemptIpZone")
        path, gateways = f"{ZONES}/{zone['id']}", [{"type": "CIDR", "value": "198.51.100.0/24"}]
        error = assert_error(await service.client.put(path, json=zone | {"gateways": gateways}), 400, "E0000001")
        assert [each["errorSummary"] for each in error["errorCauses"]] == [
            "useAsExemptList: The network zone does not allow usage changes for DefaultExemptIpZone."
        ]
        body = zone | {"gateways": gateways, "useAsExemptList": True, "status": "INACTIVE"}
        assert (await service.client.put(path, json=body)).json()["status"] == "ACTIVE"
        assert_error(await service.client.post(f"{path}/lifecycle/deactivate"), 403, "E0000006")
        assert (await system(service, "DefaultExemptIpZone"))["gateways"] == gateways


@pytest.mark.long
async def test_a_system_zone_holds_more_addresses() -> None:
    async with running() as service:
        zone = await system(service, "DefaultExemptIpZone")
        for many, status in ((5000, 200), (5001, 400)):
            gateways = [{"type": "CIDR", "value": "192.0.2.0/24"}] * many
            body = zone | {"gateways": gateways, "useAsExemptList": True}
            answer = await service.client.put(f"{ZONES}/{zone['id']}", json=body)
            assert answer.status_code == status
        assert len((await system(service, "DefaultExemptIpZone"))["gateways"]) == 5000


async def test_an_enhanced_zone_has_two_sides() -> None:
    async with running() as service:
        zone = await created(service, enhanced())
        assert {place["country"] for place in zone["locations"]["include"]} == {"IR", "KP"}
        assert zone["asns"] == {"include": ["23457"], "exclude": []}
        assert zone["ipServiceCategories"] == {"include": ["ALL_ANONYMIZERS"], "exclude": []}
        empty: dict[str, list[str]] = {"include": [], "exclude": []}
        body = {"type": "DYNAMIC_V2", "name": "empty", "asns": {}}
        zone = await created(service, body)
        assert [zone[key] for key in ("locations", "asns", "ipServiceCategories")] == [empty] * 3


async def test_a_dynamic_zone_shows_what_it_has() -> None:
    async with running() as service:
        zone = await created(service, {"type": "DYNAMIC", "name": "empty", "proxyType": ""})
        assert (zone["locations"], zone["proxyType"], "asns" in zone) == (None, "", False)
        assert zone["_links"].keys() == {"self", "deactivate"}
        body = countries("IR", asns=["23457"])
        zone = await created(service, body)
        assert (zone["locations"], zone["asns"]) == ([{"country": "IR", "region": None}], ["23457"])


async def test_a_bad_proxy_is_called_a_proxy() -> None:
    async with running() as service:
        wrong = block(proxies=[{"type": "CIDR", "value": "nowhere"}])
        error = assert_error(await service.client.post(ZONES, json=wrong), 400, "E0000001")
        assert [each["errorSummary"] for each in error["errorCauses"]] == [
            "proxies: nowhere is not valid for its type, CIDR or RANGE"
        ]


@pytest.mark.long
async def test_an_org_has_at_most_100_zones_and_25000_blocked_gateways() -> None:
    async with running() as service:
        many = [{"type": "CIDR", "value": "192.0.2.0/24"}] * 1000
        for number in range(25):
            await created(service, block(name=f"blocked {number}", gateways=many))
        assert_error(await service.client.post(ZONES, json=block()), 400, "E0000001")
        for number in range(75):
            await created(service, countries("IR", name=f"embargo {number}"))
        error = assert_error(await service.client.post(ZONES, json=countries("IR")), 400, "E0000001")
        assert "100 zones" in error["errorCauses"][0]["errorSummary"]


async def test_zones_are_found_by_use() -> None:
    async with running() as service:
        zone = await created(service, block())
        answer = await service.client.get(ZONES, params={"filter": 'usage eq "BLOCKLIST"'})
        names = {each["name"] for each in answer.json()}
        assert names == {"BlockedIpZone", "DefaultEnhancedDynamicZone", "blocked"}
        answer = await service.client.get(ZONES, params={"filter": f'id eq "{zone["id"]}"'})
        assert answer.json() == [zone]
        assert_error(await service.client.get(ZONES, params={"filter": "name sw x"}), 400, "E0000031")


async def test_the_event_of_a_change_shows_from_where_it_was_called() -> None:
    async with running() as service:
        await created(service, block())
        (event,) = (await service.client.get("/api/v1/logs")).json()
        assert event["client"]["ipAddress"] == "127.0.0.1"
        assert [hop["ip"] for hop in event["request"]["ipChain"]] == ["127.0.0.1"]
        assert event["client"]["userAgent"]["rawUserAgent"].startswith("python-httpx")
