"""`forwarder zones` as an operator uses it, against the emulated org."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.emulator.emulator import Emulator
from tests.fakes.okta_org import TOKEN, okta_org

ZONES = "/api/v1/zones"
KINDS: dict[str, Any] = {
    "hosts": {"ips": ["198.51.100.7", "203.0.113.4/24", "192.0.2.1-192.0.2.9", "2001:db8::/32"]},
    "networks": {"asns": ["AS64496", 64497]},
    "places": {"countries": ["US"], "regions": ["AF-BGL", "UA-26"], "asns": [2232], "proxy": "tor"},
    "anonymizers": {"services": ["ALL_ANONYMIZERS"], "except_services": ["NORD_VPN"], "countries": ["IR"]},
}
EMBARGO = {"embargo": {"countries": ["IR", "North Korea"], "regions": ["UA-43"]}}


@dataclass
class Scene:
    """An org and a configuration for it."""

    org: Emulator
    client: httpx.AsyncClient
    folder: Path
    seen: int = 0

    async def run(
        self, *words: str, zones: Any = EMBARGO, protect: tuple[str, ...] = (), **org: Any
    ) -> tuple[int, str]:
        """The exit code and the output of `forwarder zones`, in a thread, so that the org can answer."""
        acme = {"url": self.org.settings.url, "api": {"token": TOKEN}, "zones": zones} | org
        tree = {
            "orgs": {"acme": acme},
            "store": {"path": str(self.folder / "s.db")},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "x.ndjson")}},
            "reactions": {"protect": {"ips": list(protect)}},
        }
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(tree))
        arguments = ["zones", words[0], "-c", str(config), *words[1:]]
        done = await asyncio.to_thread(CliRunner().invoke, main, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    async def shown(self, name: str) -> dict[str, Any]:
        """A zone as Okta shows it."""
        zones = (await self.client.get(ZONES)).json()
        (zone,) = [zone for zone in zones if zone["name"] == name]
        return dict(zone)

    async def exempt(self, *addresses: str) -> None:
        """Put addresses into Okta's zone of exempt ones."""
        zone = await self.shown("DefaultExemptIpZone")
        gateways = [{"type": "CIDR", "value": text if "/" in text else f"{text}/32"} for text in addresses]
        body = {key: zone[key] for key in ("type", "name", "usage")}
        body |= {"gateways": gateways, "useAsExemptList": True}
        answer = await self.client.put(f"{ZONES}/{zone['id']}", json=body)
        assert answer.status_code == 200, answer.text
        self.seen = len(self.org.calls)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Method and last word of the path of each change since the exempt zone was set."""
        calls = self.org.calls[self.seen :]
        return [(call.method, call.path.rpartition("/")[2]) for call in calls]


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        okta_org() as org,
        httpx.AsyncClient(
            base_url=org.settings.url, headers={"Authorization": f"SSWS {TOKEN}"}, trust_env=False
        ) as client,
    ):
        yield Scene(org, client, tmp_path)


@pytest.mark.long
async def test_nothing_is_written_unless_the_forwarder_is_exempt(there: Scene) -> None:
    for words in (("sync",), ("sync", "--activate"), ("sync", "--dry-run"), ("show",)):
        code, output = await there.run(*words)
        assert code == 1
        assert "+ IR\n    + KP\n    + UA-43" in output
        assert "✗ Refused: " in output
        assert "DefaultExemptIpZone" in output
        assert "127.0.0.1" in output
    assert there.changes == []


async def test_what_is_wrong_with_the_declaration_is_said_before_anything_is_sent(there: Scene) -> None:
    code, output = await there.run("sync", zones={"embargo": {"countries": ["Iran", "Atlantis"]}})
    assert code == 2
    assert "orgs.acme.zones.embargo.countries[1]: 'Atlantis' is not a country" in output
    code, output = await there.run("sync", "--adopt", "embarg")
    assert (code, "unknown zone embarg; zones in the configuration: embargo, forwarder-blocklist" in output) == (
        2,
        True,
    )
    assert there.org.calls == []


async def test_a_machine_reads_what_would_be_done(there: Scene) -> None:
    code, output = await there.run("sync", "--dry-run", "--json")
    found = json.loads(output)
    assert (code, found["org"], found["dry_run"], len(found["refused"])) == (1, "acme", True, 1)
    (zone,) = found["zones"]
    assert (zone["name"], zone["type"], zone["action"], zone["id"]) == ("embargo", "DYNAMIC", "create", None)
    assert zone["differences"][0] == {"what": "places", "has": [], "wants": ["IR", "KP", "UA-43"]}


async def test_an_org_that_refuses_is_said_with_what_is_missing(there: Scene) -> None:
    code, output = await there.run("show", api={"token": "00wrong"})
    assert code == 1
    assert "The API token is wrong, revoked, or expired" in output


async def test_without_declared_zones_there_is_nothing_to_refuse(there: Scene) -> None:
    code, output = await there.run("sync", zones={})
    assert (code, "acme declares no zones." in output) == (0, True)


@pytest.mark.long
async def test_a_zone_is_staged_shown_and_activated(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    code, output = await there.run("sync", "--dry-run")
    assert code == 0, output
    assert "! embargo does not exist yet; it will be a blocklist of type DYNAMIC:" in output
    assert "Dry run: nothing was changed." in output
    assert there.changes == []

    code, output = await there.run("sync")
    assert code == 0, output
    zone = await there.shown("embargo")
    assert f"✓ Created embargo ({zone['id']}): it is INACTIVE, so it blocks nothing yet." in output
    assert "Not ACTIVE yet: embargo. Check what these zones list, then run: forwarder zones sync --activate" in output
    assert (zone["status"], zone["usage"]) == ("INACTIVE", "BLOCKLIST")
    code, output = await there.run("show")
    assert code == 0, output
    assert f"! embargo ({zone['id']}) is INACTIVE, 3 values; `forwarder zones sync --activate` activates it." in output

    assert "    places: IR, KP, UA-43\n" in output

    code, output = await there.run("sync", "--activate")
    assert (code, f"✓ Activated embargo ({zone['id']}): it is ACTIVE." in output) == (0, True), output
    assert there.changes == [("POST", "zones"), ("PUT", zone["id"]), ("POST", "activate")]
    code, output = await there.run("sync", "--activate")
    assert (code, f"✓ embargo ({zone['id']}) is ACTIVE, 3 values." in output, len(there.changes)) == (0, True, 3)
    code, output = await there.run("show", "--json")
    (shown,) = json.loads(output)["zones"]
    assert (code, shown["status"], shown["action"], shown["id"]) == (0, "ACTIVE", "none", zone["id"])
    assert shown["contents"] == {"places": ["IR", "KP", "UA-43"]}


@pytest.mark.long
async def test_every_kind_of_zone_is_made_and_then_up_to_date(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    code, output = await there.run("sync", "--activate", "--json", zones=KINDS)
    assert code == 0, output
    done = json.loads(output)["zones"]
    assert [(zone["name"], zone["action"], zone["status"], zone["left"]) for zone in done] == [
        (name, "create", "ACTIVE", []) for name in sorted(KINDS)
    ]
    code, output = await there.run("show", zones=KINDS)
    assert (code, "differs" in output, output.count("✓")) == (0, False, 4), output


def as_terraform_writes(zone: dict[str, Any]) -> dict[str, Any]:
    """The body by which Okta's Terraform provider writes a zone like this one: recorded forms, with a set's own order."""
    body = {key: zone[key] for key in ("type", "name", "usage", "status")}
    if zone["type"] == "IP":
        return body | {"gateways": zone["gateways"][::-1]}

    def places(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in place.items() if value} for place in found][::-1]

    if zone["type"] == "DYNAMIC":
        body |= {"proxyType": zone["proxyType"] or "", "locations": places(zone["locations"] or [])}
        return {key: value for key, value in (body | {"asns": zone.get("asns")}).items() if value or key == "proxyType"}
    sides = {
        "asns": zone["asns"],
        "locations": {side: places(found) for side, found in zone["locations"].items()},
        "ipServiceCategories": zone["ipServiceCategories"],
    }
    return body | {key: {side: found for side, found in both.items() if found} for key, both in sides.items()}


@pytest.mark.long
async def test_a_zone_that_terraform_writes_again_with_the_same_content_is_up_to_date(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    await there.run("sync", "--activate", zones=KINDS)
    for name in KINDS:
        before = await there.shown(name)
        path = f"{ZONES}/{before['id']}"
        answer = await there.client.put(path, json=as_terraform_writes(before))
        assert answer.status_code == 200, answer.text
        assert (await there.client.post(f"{path}/lifecycle/activate")).status_code == 200
    there.seen = len(there.org.calls)
    code, output = await there.run("sync", "--activate", zones=KINDS)
    assert (code, "differs" in output, output.count("✓"), there.changes) == (0, False, 4, []), output


@pytest.mark.long
async def test_zones_of_terraform_and_the_exempt_zone_stay_as_they_are(there: Scene) -> None:
    await there.exempt("127.0.0.1", "198.51.100.0/24")
    hosts = [{"type": "RANGE", "value": "203.0.113.5-203.0.113.9"}, {"type": "CIDR", "value": "192.0.2.4/24"}]
    theirs: list[dict[str, Any]] = [
        {"type": "IP", "usage": "BLOCKLIST", "gateways": hosts},
        {"type": "IP", "usage": "POLICY", "gateways": hosts, "proxies": hosts},
        {"type": "DYNAMIC", "usage": "BLOCKLIST", "proxyType": "TorAnonymizer"},
        {"type": "DYNAMIC", "usage": "BLOCKLIST", "proxyType": "", "locations": [{"country": "CU"}]},
        {"type": "DYNAMIC_V2", "usage": "POLICY", "asns": {}, "locations": {"exclude": [{"country": "US"}]}},
    ]
    for number, body in enumerate(theirs):
        made = await there.client.post(ZONES, json={"name": f"terraform {number}", "status": "ACTIVE"} | body)
        await there.client.post(f"{ZONES}/{made.json()['id']}/lifecycle/deactivate")
    before = (await there.client.get(ZONES)).json()
    for words in (("sync", "--dry-run"), ("sync", "--activate"), ("sync",)):
        code, output = await there.run(*words)
        assert code == 0, output
    await there.run("sync", zones={"embargo": {"countries": ["SY"]}})
    after = (await there.client.get(ZONES)).json()
    assert [zone for zone in after if zone["name"] != "embargo"] == before
    assert len(after) == len(before) + 1


@pytest.mark.long
async def test_a_change_of_an_active_zone_is_in_force_at_once_and_says_what_changes(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    await there.run("sync", "--activate")
    code, output = await there.run("sync", zones={"embargo": {"countries": ["IR", "SY"]}})
    assert code == 0, output
    assert "    - KP\n    - UA-43\n    + SY\n" in output
    assert "it is ACTIVE." in output
    assert {place["country"] for place in (await there.shown("embargo"))["locations"]} == {"IR", "SY"}


async def test_zones_of_others_are_adopted_only_by_name(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    theirs = {"type": "DYNAMIC", "name": "embargo", "usage": "BLOCKLIST", "locations": [{"country": "CU"}]}
    policy = theirs | {"name": "offices", "usage": "POLICY"}
    zones = EMBARGO | {"offices": {"countries": ["DE"]}}
    for body in (theirs, policy):
        await there.client.post(ZONES, json=body)
    there.seen += 2
    code, output = await there.run("sync", "--activate", zones=zones)
    assert (code, there.changes) == (1, [])
    assert "✗ embargo is not changed: the forwarder has no record of having made it" in output
    assert "✗ offices is not changed: the forwarder did not make it, and policies may use it" in output
    code, output = await there.run("sync", "--adopt", "embargo")
    assert (code, "is ACTIVE" in output, len(there.changes)) == (0, True, 1), output


@pytest.mark.long
async def test_a_zone_that_is_not_declared_any_more_is_named_and_stays(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    await there.run("sync", "--activate")
    code, output = await there.run("sync", zones={})
    assert code == 0
    assert "is not declared any more and still blocks. The forwarder never deletes a zone:" in output
    code, output = await there.run("sync", "--json", zones={})
    assert [zone["name"] for zone in json.loads(output)["undeclared"]] == ["embargo"]
    assert (await there.shown("embargo"))["status"] == "ACTIVE"


async def test_one_refused_zone_does_not_keep_the_others_from_being_made(there: Scene) -> None:
    await there.exempt("127.0.0.1")
    zones = {"odd": {"services": ["ALL_ANONYMIZERS"], "countries": ["IR"]}} | EMBARGO
    await there.client.post(ZONES, json={"type": "IP", "name": "odd", "usage": "BLOCKLIST"})
    code, output = await there.run("sync", zones=zones)
    assert code == 1
    assert "Okta cannot change a zone's type" in output
    assert (await there.shown("embargo"))["status"] == "INACTIVE"


async def test_what_the_operator_states_as_egress_must_be_exempt(there: Scene) -> None:
    await there.exempt("127.0.0.1", "203.0.113.0/25")
    code, output = await there.run("sync", egress=["203.0.113.7", "203.0.113.200"])
    assert (code, there.changes) == (1, [])
    assert "✗ Refused: 203.0.113.200 (orgs.acme.egress) is not in the zone DefaultExemptIpZone" in output
    assert "203.0.113.7 (" not in output


@pytest.mark.long
async def test_what_reactions_protect_must_be_exempt(there: Scene) -> None:
    await there.exempt("127.0.0.1", "198.51.100.0/25")
    code, output = await there.run("sync", "--activate", protect=("198.51.100.0/24",))
    assert (code, there.changes) == (1, [])
    assert "198.51.100.0/24 (reactions.protect.ips) is not in the zone DefaultExemptIpZone" in output
    assert "(198.51.100.128/25 of it is missing)" in output
    await there.exempt("127.0.0.1", "198.51.100.0/24")
    code, output = await there.run("sync", "--activate", protect=("198.51.100.0/24",))
    assert code == 0, output
