"""Okta's Go client reads back what the forwarder wrote: zones, groups, custom roles, providers of security events.

Okta's Terraform provider reads by this client too, by version 5 or 6 of it. Unlike version 3.4 of the Python client, it
reads dynamic zones.
"""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.core.action import Outcome
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.events.requested_changes import changed
from forwarder.settings import read
from tests.fakes.keys import pem, public_pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.reaction_org import ADMIN_TOKEN, APP, reaction_org
from tests.integration.reaction_runner.scene import TREES, ended, running, settings, until
from tests.stack import okta_go

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not okta_go.WANTED and okta_go.missing() is not None,
        reason=f"FORWARDER_OKTA_GO is not set; {okta_go.missing()}",
    ),
]

ZONES: dict[str, Any] = {
    "hosts": {"ips": ["198.51.100.7", "203.0.113.4/24", "192.0.2.1-192.0.2.9"]},
    "places": {"countries": ["Iran", "KP"], "regions": ["UA-43"], "asns": ["AS64496"]},
    "networks": {"asns": [64497]},
    "tor": {"proxy": "tor"},
    "anonymizers": {"services": ["ALL_ANONYMIZERS"], "except_services": ["NORD_VPN"], "countries": ["IR"]},
}
SHOWN: dict[str, dict[str, Any]] = {
    "forwarder-blocklist": {"type": "IP", "gateways": ["175.45.176.9-175.45.176.9"]},
    "hosts": {"type": "IP", "gateways": ["192.0.2.1-192.0.2.9", "198.51.100.7-198.51.100.7", "203.0.113.4/24"]},
    "places": {"type": "DYNAMIC", "dynamic_locations": ["IR", "KP", "UA-43"], "asns": ["64496"]},
    "networks": {"type": "DYNAMIC", "asns": ["64497"]},
    "tor": {"type": "DYNAMIC", "dynamic_proxy_type": "TorAnonymizer"},
    "anonymizers": {
        "type": "DYNAMIC_V2",
        "dynamic_locations": ["IR"],
        "ip_service_categories_include": ["ALL_ANONYMIZERS"],
        "ip_service_categories_exclude": ["NORD_VPN"],
    },
}
"""The zones, and that of `block_ip`, as a configuration of Terraform's `okta_network_zone` describes them."""
SCOPES = ("networkZones", "groups", "users", "roles", "securityEventsProviders")
BLOCKED = {"usage": "BLOCKLIST", "status": "ACTIVE"}


@pytest.fixture(autouse=True)
def _built() -> None:
    if missing := okta_go.missing():
        pytest.fail(missing, pytrace=False)


def credentials(way: str) -> dict[str, str]:
    """What the client is given: an API token, or the key of a service app."""
    if way == "token":
        return {"TOKEN": TOKEN}
    scopes = ",".join(f"okta.{name}.read" for name in SCOPES)
    return {"AUTHORIZATIONMODE": "PrivateKey", "CLIENTID": APP, "PRIVATEKEY": pem(rsa_key()), "SCOPES": scopes}


async def exempt(org: Emulator) -> None:
    headers = {"Authorization": f"SSWS {TOKEN}"}
    async with httpx.AsyncClient(base_url=org.settings.url, headers=headers, trust_env=False) as client:
        zones = (await client.get("/api/v1/zones")).json()
        zone = next(zone for zone in zones if zone["name"] == "DefaultExemptIpZone")
        body = zone | {"gateways": [{"type": "CIDR", "value": "127.0.0.1/32"}], "useAsExemptList": True}
        assert (await client.put(f"/api/v1/zones/{zone['id']}", json=body)).status_code == 200


def sorted_lists(zone: dict[str, Any]) -> dict[str, Any]:
    """A zone with its lists in order: Okta and Terraform take them as sets. What is null or empty is left out."""
    return {key: sorted(value) if isinstance(value, list) else value for key, value in zone.items() if value}


@pytest.mark.parametrize("way", ["token", "app", "dpop"])
async def test_the_client_reads_zones_and_members_that_the_forwarder_wrote(tmp_path: Path, way: str) -> None:
    scopes = [f"okta.{name}.read" for name in SCOPES]
    app = {"keys": [public_pem(rsa_key())], "scopes": scopes, "dpop": way == "dpop"}
    async with okta_org(clients={APP: app}) as org:
        await exempt(org)
        group = org.groups.create("Step-up")
        user = org.users.find("user09@example.com")
        do = [
            {"add_to_group": {"group": "Step-up", "for": "24h"}},
            {"suspend": {"for": "4h"}, "approve": False},
            {"block_ip": {"for": "24h"}, "approve": False},
        ]
        tree = TREES[settings(tmp_path, org, do).store.path]
        tree["orgs"]["acme"] |= {"zones": ZONES, "blocklist": {"activate": True}}
        address = {"client": {"ipAddress": "175.45.176.9"}}
        async with running(read(tree)) as forwarder:
            await org.emit(1, ["user.session.start"], partial(changed, user=user.entity(), fields=address))
            rows = await until(ended(len(do)), forwarder)
        assert {row.outcome for row in rows} == {Outcome.DONE}, [(row.name, row.detail) for row in rows]
        config = tmp_path / "config.json"
        config.write_text(json.dumps(tree))
        words = ["zones", "sync", "--activate", "-c", str(config)]
        done = await asyncio.to_thread(CliRunner().invoke, main, words)
        assert done.exit_code == 0, done.output

        found = await asyncio.to_thread(okta_go.read_org, org.settings.url, credentials(way))
        ours = {zone["name"]: sorted_lists(zone) for zone in found["zones"]}
        for name in ("LegacyIpZone", "BlockedIpZone", "DefaultEnhancedDynamicZone", "DefaultExemptIpZone"):
            del ours[name]
        assert ours == {name: BLOCKED | {"name": name} | zone for name, zone in SHOWN.items()}
        step_up = next(each for each in found["groups"] if each["name"] == "Step-up")
        member = {"id": user.id, "login": user.login, "status": "SUSPENDED"}
        assert step_up == {"id": group.id, "name": "Step-up", "type": "OKTA_GROUP", "users": [member]}


async def test_the_client_reads_the_roles_that_setup_made_and_a_provider(tmp_path: Path) -> None:
    async with reaction_org(tmp_path, admin=False) as there:
        url = there.org.settings.url
        words = ["setup", "okta-role", "-c", str(there.write()), "--token", "env:ADMIN_TOKEN", "--apply"]
        runner = CliRunner(env={"ADMIN_TOKEN": ADMIN_TOKEN})
        done = await asyncio.to_thread(runner.invoke, main, words)
        assert done.exit_code == 0, done.output
        issuer = "https://fw.example"
        names = {"issuer": issuer, "jwks_url": f"{issuer}/.well-known/jwks.json"}
        body = {"name": "okta-forwarder", "type": "okta-forwarder", "settings": names}
        headers = {"Authorization": f"SSWS {ADMIN_TOKEN}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
            answer = await client.post(f"{url}/api/v1/security-events-providers", json=body)
            assert answer.status_code == 200, answer.text

        found = await asyncio.to_thread(okta_go.read_org, url, {"TOKEN": ADMIN_TOKEN})
        held = list(there.org.admin_roles.held_by(f"{url}/oauth2/v1/clients/{APP}"))
        assert len(held) == 2
        assert {role["label"]: sorted(role["permissions"]) for role in found["roles"]} == {
            role.label: sorted(role.permissions) for _, role, _ in held
        }
        assert {role["description"] for role in found["roles"]} == {role.description for _, role, _ in held}
        assert {each["label"]: (sorted(each["resources"]), each["members"]) for each in found["resource_sets"]} == {
            resources.label: (
                # This version of the client shows no name of what has no URL.
                sorted("" if each.startswith("orn:") else each for each in resources.resources.values()),
                [f"{url}/oauth2/v1/clients/{APP}"],
            )
            for _, _, resources in held
        }
        shown = {"name": "okta-forwarder", "type": "okta-forwarder", "is_enabled": "ACTIVE"}
        assert found["providers"] == [shown | names]
