"""Zones of real orgs, compared with the declared zones."""

from typing import Any

import pytest

from forwarder.core.errors import OktaError
from forwarder.okta.zones.plan import differences_between
from forwarder.okta.zones.settings import ZoneSettings
from forwarder.okta.zones.zone import Zone, desired_zone, gateway_entry


def shown(**changes: Any) -> dict[str, Any]:
    return {
        "type": "IP",
        "id": "nzo1exampleexample01",
        "name": "blocked",
        "status": "ACTIVE",
        "usage": "BLOCKLIST",
        "created": "2026-01-01T00:00:00.000Z",
        "lastUpdated": "2026-01-01T00:00:00.000Z",
        "system": False,
        "gateways": None,
        "proxies": None,
        "_links": {},
    } | changes


def same(settings: ZoneSettings, **changes: Any) -> bool:
    zone = Zone.read(shown(**changes))
    return differences_between(desired_zone("blocked", settings).contents, zone.contents) == ()


def cidr(value: str) -> dict[str, str]:
    return {"type": "CIDR", "value": value}


def span(value: str) -> dict[str, str]:
    return {"type": "RANGE", "value": value}


def test_recorded_address_zones_are_equal_to_their_declaration() -> None:
    settings = ZoneSettings(ips=("198.51.100.4/24", "203.0.113.5-203.0.113.15", "203.0.113.99"))
    answered = [span("203.0.113.99-203.0.113.99"), span("203.0.113.5-203.0.113.15"), cidr("198.51.100.4/24")]
    assert same(settings, gateways=answered)
    assert same(settings, gateways=[*answered[:2], cidr("198.51.100.0/24")])
    assert not same(settings, gateways=answered[:2])
    assert not same(settings, gateways=[*answered, span("203.0.113.98-203.0.113.98")])
    assert not same(settings, gateways=answered, proxies=[cidr("192.0.2.0/24")])


def test_an_entry_is_sent_as_okta_shows_it_again() -> None:
    assert gateway_entry("203.0.113.7") == span("203.0.113.7-203.0.113.7")
    assert gateway_entry("203.0.113.4/24") == cidr("203.0.113.4/24")
    assert gateway_entry("::ffff:203.0.113.0/120") == cidr("203.0.113.0/24")
    assert gateway_entry("203.0.113.4 - 203.0.113.9") == span("203.0.113.4-203.0.113.9")


def test_recorded_dynamic_zones_are_equal_to_their_declaration_in_any_order() -> None:
    settings = ZoneSettings(countries=("US",), regions=("AF-BGL", "UA-26"), asns=("2232",))
    answered = [
        {"country": "UA", "region": "UA-26"},
        {"country": "AF", "region": "AF-BGL"},
        {"country": "US", "region": None},
    ]
    dynamic: dict[str, Any] = {"type": "DYNAMIC", "locations": answered, "proxyType": None, "asns": ["2232"]}
    assert same(settings, **dynamic)
    assert same(settings, **dynamic | {"locations": [{"country": "AF", "region": "BGL"}, answered[0], answered[2]]})
    assert not same(settings, **dynamic | {"asns": None})
    assert not same(settings, **dynamic | {"proxyType": "Any"})
    assert not same(settings, **dynamic | {"locations": answered[:2]})


def test_a_recorded_empty_proxy_type_is_none() -> None:
    assert same(ZoneSettings(asns=("2232",)), type="DYNAMIC", locations=None, proxyType="", asns=["2232"])


@pytest.mark.parametrize("answered", ["TorAnonymizer", "Tor"])
def test_both_spellings_of_tor_are_the_same(answered: str) -> None:
    dynamic: dict[str, Any] = {"type": "DYNAMIC", "locations": None, "proxyType": answered}
    assert same(ZoneSettings(proxy="tor"), **dynamic)
    assert not same(ZoneSettings(proxy="not-tor"), **dynamic)


def test_an_enhanced_zone_is_compared_with_what_it_excludes() -> None:
    settings = ZoneSettings(
        services=("ALL_ANONYMIZERS",), except_services=("APPLE_ICLOUD_RELAY_PROXY",), countries=("IR",)
    )
    enhanced: dict[str, Any] = {
        "type": "DYNAMIC_V2",
        "locations": {"include": [{"country": "IR", "region": None}], "exclude": None},
        "asns": {"include": [], "exclude": []},
        "ipServiceCategories": {"include": ["ALL_ANONYMIZERS"], "exclude": ["APPLE_ICLOUD_RELAY_PROXY"]},
    }
    assert same(settings, **enhanced)
    assert not same(settings, **enhanced | {"asns": {"include": [], "exclude": ["64496"]}})
    assert not same(settings, **enhanced | {"ipServiceCategories": {"include": ["ALL_ANONYMIZERS"]}})
    excluded = {"include": enhanced["locations"]["include"], "exclude": [{"country": "BE", "region": "BE-VAN"}]}
    zone = Zone.read(shown(**enhanced | {"locations": excluded}))
    (difference,) = differences_between(desired_zone("blocked", settings).contents, zone.contents)
    assert (difference.what, difference.has) == ("excluded places", ("BE-VAN",))


@pytest.mark.long
def test_a_new_zone_is_staged_as_one_that_blocks_nothing_and_fits_its_smaller_limit() -> None:
    many = ZoneSettings(ips=tuple(f"203.0.{n // 250}.{n % 250}" for n in range(1000)))
    desired = desired_zone("blocked", many)
    staged = desired.staged()
    assert (staged["usage"], len(staged["gateways"])) == ("POLICY", 150)
    final = desired.request(active=False)
    assert (final["usage"], final["status"], len(final["gateways"])) == ("BLOCKLIST", "INACTIVE", 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        shown(id="../users"),
        shown(gateways="all"),
        shown(type="DYNAMIC", locations=[7]),
        shown(type="DYNAMIC_V2", locations={"include": 7}),
        shown(status=None),
    ],
)
def test_a_response_that_is_not_a_zone_is_an_okta_error(wrong: Any) -> None:
    with pytest.raises(OktaError, match="not a network zone"):
        Zone.read(wrong)


def test_an_unreadable_entry_is_kept_and_covers_nothing() -> None:
    zone = Zone.read(shown(gateways=[{"type": "FQDN", "value": "evil.example"}, cidr("203.0.113.7/32")]))
    assert [each.text for each in zone.gateways] == ["203.0.113.7"]
    assert zone.contents == {"addresses": {"evil.example", "203.0.113.7"}}
