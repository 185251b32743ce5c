"""The addresses that must be exempt before anything is blocked, and the addresses from which Okta sees the forwarder."""

import asyncio
from typing import Any

from forwarder.okta.zones.address_ranges import parse_range
from forwarder.okta.zones.block_safety import ZoneGuard
from forwarder.okta.zones.exemption import RequiredExemption, exemption_problems
from forwarder.okta.zones.forwarder_addresses import Egress
from forwarder.okta.zones.zone import Zone
from forwarder.okta.zones.zone_record import Made
from tests.fakes.clock import ManualClock
from tests.fakes.okta_client import passing
from tests.fakes.okta_zones import ZoneOrg

OWN = RequiredExemption(parse_range("203.0.113.7"), "orgs.acme.egress")
PROTECTED = RequiredExemption(parse_range("198.51.100.0/24"), "reactions.protect.ips")


def found(org: ZoneOrg, *needed: RequiredExemption) -> list[str]:
    return list(exemption_problems([Zone.read(raw) for raw in org.zones.values()], needed))


def test_there_is_no_problem_if_everything_is_exempt() -> None:
    org = ZoneOrg()
    org.exempt("203.0.113.7", "198.51.100.0/25", "198.51.100.128/25")
    assert found(org, OWN, PROTECTED) == []


def test_a_missing_address_is_named_with_its_configuration_key() -> None:
    org = ZoneOrg()
    org.exempt("198.51.100.0/25")
    assert found(org, OWN, PROTECTED) == [
        "203.0.113.7 (orgs.acme.egress) is not in the zone DefaultExemptIpZone; add it there first",
        (
            "198.51.100.0/24 (reactions.protect.ips) is not in the zone DefaultExemptIpZone (198.51.100.128/25 of it is"
            " missing); add it there first"
        ),
    ]


def test_an_org_without_an_exempt_zone_is_refused_with_what_to_do() -> None:
    (problem,) = found(ZoneOrg(), OWN, PROTECTED)
    assert "enable the feature IP exempt zone" in problem
    assert problem.endswith("203.0.113.7, 198.51.100.0/24")


def test_only_an_active_zone_that_okta_made_exempts() -> None:
    org = ZoneOrg()
    org.exempt("203.0.113.7")["system"] = False
    assert len(found(org, OWN)) == 1
    org = ZoneOrg()
    org.exempt("203.0.113.7", status="INACTIVE")
    assert found(org, OWN) == [
        "the zone DefaultExemptIpZone is INACTIVE; activate it in the Admin Console (Security > Networks)"
    ]


def egress(org: ZoneOrg, url: str = "https://acme.okta.com", **changes: Any) -> Egress:
    return Egress(org, url, ManualClock(), **changes)


def event(address: str, *hops: str, **changes: Any) -> dict[str, Any]:
    return {
        "eventType": "zone.update",
        "published": "2026-11-28T12:00:00.000Z",
        "client": {"ipAddress": address},
        "request": {"ipChain": [{"ip": hop} for hop in hops]},
        "target": [{"id": "nzo1"}],
        "transaction": {"detail": {"requestApiTokenId": "00T1"}},
    } | changes


async def test_the_log_shows_from_where_the_service_app_calls() -> None:
    org = ZoneOrg(log=[event("8.8.8.8", "9.9.9.9", "10.0.0.1"), event("8.8.8.8")])
    addresses = await egress(org, client_id="0oa1").addresses()
    assert {each.range.text for each in addresses} == {"8.8.8.8", "9.9.9.9"}  # what is not public Okta cannot see
    assert addresses[0].why == "Okta saw our call zone.update at 2026-11-28T12:00:00.000Z from there"
    (query,) = org.queries
    assert query["filter"] == 'actor.id eq "0oa1"'


async def test_with_an_api_token_only_calls_about_our_own_zones_are_ours() -> None:
    console: dict[str, Any] = {"transaction": {"detail": {}}}
    others: dict[str, Any] = {"target": [{"id": "nzo2"}]}
    org = ZoneOrg(log=[event("8.8.8.8"), event("9.9.9.9", **console), event("1.1.1.1", **others)])
    assert [each.range.text for each in await egress(org).addresses(["nzo1"])] == ["8.8.8.8"]
    assert await egress(org).addresses() == []
    assert len(org.queries) == 1  # without a zone of ours there is nothing to ask


async def test_configured_addresses_do_not_hide_the_addresses_that_okta_saw() -> None:
    org = ZoneOrg(log=[event("8.8.8.8")])
    addresses = await egress(org, client_id="0oa1", stated=[OWN]).addresses()
    assert [each.range.text for each in addresses] == ["203.0.113.7", "8.8.8.8"]


async def test_an_emulated_org_sees_this_machine() -> None:
    org = ZoneOrg()
    assert [each.range.text for each in await egress(org, "http://localhost:8085").addresses()] == ["127.0.0.1"]
    assert await egress(org, "http://127.0.0.1:8085", stated=[OWN]).addresses() == [OWN]
    assert org.queries == []


async def test_without_a_known_egress_nothing_is_blocked() -> None:
    org = ZoneOrg()
    org.exempt("198.51.100.0/24")
    zones = [Zone.read(raw) for raw in org.zones.values()]
    assert await ZoneGuard("acme", egress(org), [PROTECTED]).problems(zones, Made({})) == [
        (
            "the forwarder does not know its public address, from which its calls reach Okta; set orgs.acme.egress, "
            "as in egress: [203.0.113.7]"
        )
    ]
    org.log = [{}, {"client": None, "request": [], "target": None, "transaction": 7}, event("nowhere", "")]
    assert await egress(org, client_id="0oa1").addresses() == []


async def test_the_log_is_asked_once_a_minute_whatever_is_blocked() -> None:
    org, clock = ZoneOrg(log=[event("8.8.8.8")]), ManualClock()
    asked = Egress(org, "https://acme.okta.com", clock)
    for _ in range(3):
        assert len(await asked.addresses(["nzo1"])) == 1
    assert len(org.queries) == 1
    await clock.advance(61)
    org.log = [event("9.9.9.9")]
    assert [each.range.text for each in await asked.addresses(["nzo1"])] == ["9.9.9.9"]


async def test_the_check_waits_until_the_log_shows_the_last_call() -> None:
    org, clock = ZoneOrg(), ManualClock()
    asked = Egress(org, "https://acme.okta.com", clock)
    assert await asked.addresses(["nzo1"]) == []
    waiting = asyncio.ensure_future(asked.addresses(["nzo1"], written="nzo1"))
    await clock.asleep()
    org.log = [event("8.8.8.8")]
    assert [each.range.text for each in await passing(clock, waiting)] == ["8.8.8.8"]
