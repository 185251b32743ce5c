"""The network zones of the emulated org, with the quirks of recorded ones."""

from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running

ZONES = "/api/v1/zones"


def block(**changes: Any) -> dict[str, Any]:
    gateways = [{"type": "CIDR", "value": "192.0.2.4/24"}, {"type": "RANGE", "value": "198.51.100.7"}]
    return {
        "type": "IP",
        "name": "blocked",
        "usage": "BLOCKLIST",
        "gateways": gateways,
        "proxies": None,
    } | changes


def countries(*codes: str, **changes: Any) -> dict[str, Any]:
    locations = [{"country": code} for code in codes]
    return {"type": "DYNAMIC", "name": "embargo", "usage": "BLOCKLIST", "locations": locations} | changes


async def created(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.post(ZONES, json=body)
    assert answer.status_code == 200, answer.text
    zone: dict[str, Any] = answer.json()
    return zone


async def test_a_new_zone_is_active_even_if_it_should_not_be() -> None:
    async with running() as service:
        zone = await created(service, countries("IR", "KP", status="INACTIVE"))
        assert zone["status"] == "ACTIVE"
        answer = await service.client.put(
            f"{ZONES}/{zone['id']}", json=countries("IR", "KP", status="INACTIVE")
        )
        assert answer.json()["status"] == "INACTIVE"


async def test_addresses_come_back_as_okta_writes_them() -> None:
    async with running() as service:
        zone = await created(service, block())
        assert [each["value"] for each in zone["gateways"]] == ["192.0.2.4/24", "198.51.100.7-198.51.100.7"]
        assert (await service.client.get(ZONES)).json() == [zone]


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
    ],
)
async def test_a_zone_that_breaks_a_rule_is_refused(wrong: dict[str, Any]) -> None:
    async with running() as service:
        assert_error(await service.client.post(ZONES, json=wrong), 400, "E0000001")
        assert (await service.client.get(ZONES)).json() == []


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
