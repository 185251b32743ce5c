"""The zones that an operator may declare, and the messages for all others."""

from typing import Any

import iso3166
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from forwarder.core.errors import SettingsError
from forwarder.okta.zones.settings import ZoneSettings
from forwarder.okta.zones.zone import desired_zone
from forwarder.settings import Settings, read


def tree(zones: dict[str, Any], **org: Any) -> dict[str, Any]:
    acme = {"url": "https://acme.okta.com", "api": {"token": "planted-token"}, "zones": zones} | org
    return {"orgs": {"acme": acme}, "sinks": {"archive": {"kind": "file", "path": "/tmp/x.ndjson"}}}


def settings(zones: dict[str, Any], **org: Any) -> Settings:
    return read(tree(zones, **org))


def problems(zones: dict[str, Any], **org: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings(zones, **org)
    return caught.value.problems


def test_a_country_is_a_code_or_a_name() -> None:
    written = ["IR", "North Korea", "SYR", "Korea, Republic of", "iran"]
    zone = settings({"embargo": {"countries": written}}).orgs["acme"].zones["embargo"]
    assert zone.countries == ("IR", "KP", "SY", "KR")
    body = desired_zone("embargo", zone).body
    assert body["locations"] == [{"country": code} for code in ("IR", "KP", "SY", "KR")]


def test_the_keys_decide_the_type_of_the_zone() -> None:
    assert ZoneSettings(ips=("203.0.113.7",)).kind == "IP"
    assert ZoneSettings(countries=("IR",), asns=(64496, "AS64497")).kind == "DYNAMIC"
    assert ZoneSettings(services=("ALL_ANONYMIZERS",), countries=("IR",)).kind == "DYNAMIC_V2"
    assert ZoneSettings(asns=(64496, "AS64497", "64496")).asns == ("64496", "64497")


@pytest.mark.long
@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ({}, "is empty; set `ips`"),
        ({"countries": ["Germania"]}, "'Germania' is not a country; write its ISO 3166-1 code"),
        ({"countries": [False]}, 'write the word in quotes: "NO"'),
        ({"countries": ["EU"]}, "'EU' is the code of a continent"),
        ({"regions": ["Crimea"]}, "'Crimea' is not a region; write its ISO 3166-2 code, as in UA-43"),
        ({"regions": ["XX-1"]}, "'XX-1' is not a region"),
        ({"countries": ["UA"], "regions": ["UA-43"]}, "region UA-43 is in UA, which `countries` lists"),
        ({"asns": ["Hetzner"]}, "'Hetzner' is not the number of an autonomous system"),
        ({"asns": [0]}, "'0' is not the number of an autonomous system"),
        ({"asns": list(range(1, 77))}, "76 `asns` are too many; Okta allows 75"),
        ({"ips": ["10.0.0.300"]}, "'10.0.0.300' is not an address; write one as in 203.0.113.7"),
        ({"ips": [f"10.0.{n // 256}.{n % 256}" for n in range(1001)]}, "1001 `ips` are too many; Okta allows 1,000"),
        ({"ips": ["203.0.113.7"], "countries": ["IR"]}, "zones.z.ips: cannot be combined with other keys"),
        ({"proxy": "vpn"}, "zones.z.proxy: "),
        ({"proxy": "tor", "services": ["ALL_ANONYMIZERS"]}, "set `proxy` or `services`, not both"),
        ({"countries": ["IR"], "except_services": ["NORD_VPN"]}, "zones.z.except_services: needs `services`"),
        ({"services": ["all vpn"]}, "'all vpn' is not a category of IP services"),
        ({"contries": ["IR"]}, "unknown key; did you mean `countries`?"),
    ],
)  # fmt: skip
def test_zones_that_okta_would_refuse_are_problems_with_path_and_hint(zone: dict[str, Any], wanted: str) -> None:
    (problem,) = problems({"z": zone})
    assert problem.startswith("orgs.acme.zones.z")
    assert wanted in problem


@pytest.mark.long
def test_at_most_75_places_fit_into_a_zone() -> None:
    codes = sorted(country.alpha2 for country in iso3166.countries)
    assert settings({"z": {"countries": codes[:75]}}).orgs["acme"].zones["z"].countries == tuple(codes[:75])
    (problem,) = problems({"z": {"countries": codes[:70], "regions": [f"{code}-1" for code in codes[70:76]]}})
    assert "76 countries and regions are too many; Okta allows 75 in a zone, so write two zones" in problem


@pytest.mark.parametrize("name", ["DefaultExemptIpZone", "blockedipzone", "", "x" * 129, "line\nbreak"])
def test_a_zone_needs_a_name_that_okta_takes_and_does_not_use_itself(name: str) -> None:
    (problem,) = problems({name: {"countries": ["IR"]}})
    assert problem.startswith("orgs.acme.zones.")


@pytest.mark.long
def test_more_than_100_zones_are_refused() -> None:
    (problem,) = problems({f"z{n}": {"countries": ["IR"]} for n in range(101)})
    assert problem == "orgs.acme.zones: 101 zones are too many; Okta allows 100 in an org"


@pytest.mark.parametrize("written", ["203.0.113.0/24", "::ffff:203.0.113.0/120"])
def test_a_zone_must_not_block_the_forwarder_itself(written: str) -> None:
    (problem,) = problems({"z": {"ips": [written]}}, egress=["203.0.113.7"])
    assert problem == (
        "orgs.acme.zones.z.ips: 203.0.113.0/24 would block egress 203.0.113.7; remove it, or list smaller ranges"
    )


def test_a_zone_must_not_block_what_reactions_protect() -> None:
    written = tree({"z": {"ips": ["198.51.100.7"]}}) | {"reactions": {"protect": {"ips": ["198.51.100.0/24"]}}}
    with pytest.raises(SettingsError) as caught:
        read(written)
    assert caught.value.problems == [
        (
            "orgs.acme.zones.z.ips: 198.51.100.7 would block reactions.protect.ips 198.51.100.0/24; remove it, or list"
            " smaller ranges"
        )
    ]


def test_the_zone_of_the_action_is_not_declared_too() -> None:
    (problem,) = problems({"forwarder-blocklist": {"ips": ["203.0.113.7"]}})
    assert problem.startswith("orgs.acme.zones.forwarder-blocklist: the action block_ip uses a zone with this name")
    assert settings({"forwarder-blocklist": {"ips": ["203.0.113.7"]}}, blocklist={"zone": "other"})


@pytest.mark.long
def test_a_service_app_needs_the_scope() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    api = {"client_id": "0oa1", "private_key": pem}
    (problem,) = problems({"z": {"countries": ["IR"]}}, api=api)
    assert problem.startswith("orgs.acme.api.scopes: lacks okta.networkZones.manage, which `zones` needs")
    scopes = ["okta.logs.read", "okta.networkZones.manage"]
    assert settings({"z": {"countries": ["IR"]}}, api=api | {"scopes": scopes}).orgs["acme"].zones


def test_zones_need_credentials_and_an_url() -> None:
    zone = {"z": {"countries": ["IR"]}}
    assert problems(zone, api=None, url=None, secrets=["s" * 20]) == [
        "orgs.acme.url: is required for `api`, `hook` and `zones`, as in https://acme.okta.com",
        "orgs.acme.api: is required for `zones`, as in {token: {file: /run/secrets/okta-token}}",
    ]
