"""Okta's own client reads back the zones that the forwarder has written.

Version 3.4 of that client has no form for a list of countries or ASNs: its models raise ValidationError for any dynamic
zone, also for those that real orgs answer with. So of these its calls are used, and the response is read as JSON.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner
from okta.client import Client
from okta.models.ip_network_zone import IPNetworkZone

from forwarder.cli.main import main
from tests.fakes.okta_org import TOKEN, okta_org

ZONES = {
    "hosts": {"ips": ["198.51.100.7", "203.0.113.4/24", "192.0.2.1-192.0.2.9"]},
    "places": {"countries": ["Iran", "KP"], "regions": ["UA-43"], "asns": ["AS64496"]},
    "anonymizers": {"services": ["ALL_ANONYMIZERS"], "except_services": ["NORD_VPN"], "countries": ["IR"]},
}


@pytest.fixture(autouse=True)
def _plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_TESTING_TESTINGDISABLEHTTPSCHECK", "true")


async def _exempt(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"SSWS {TOKEN}"}, trust_env=False) as okta:
        zones = (await okta.get("/api/v1/zones")).json()
        (zone,) = [zone for zone in zones if zone["name"] == "DefaultExemptIpZone"]
        body = {"type": "IP", "name": zone["name"], "usage": "POLICY", "useAsExemptList": True}
        body |= {"gateways": [{"type": "CIDR", "value": "127.0.0.1/32"}]}
        assert (await okta.put(f"/api/v1/zones/{zone['id']}", json=body)).status_code == 200


async def _raw(client: Any, zone_id: str) -> dict[str, Any]:
    executor = client.get_request_executor()
    request, error = await executor.create_request("GET", f"/api/v1/zones/{zone_id}")
    assert error is None
    _, response, body, error = await executor.fire_request(request)
    assert (error, response.status) == (None, 200)
    read: dict[str, Any] = json.loads(body)
    return read


async def test_the_client_reads_the_zones_that_the_forwarder_wrote(tmp_path: Path) -> None:
    async with okta_org() as org:
        await _exempt(org.settings.url)
        tree = {
            "orgs": {"acme": {"url": org.settings.url, "api": {"token": TOKEN}, "zones": ZONES}},
            "store": {"path": str(tmp_path / "s.db")},
            "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "x.ndjson")}},
        }
        config = tmp_path / "forwarder.yaml"
        config.write_text(yaml.safe_dump(tree))
        words = ["zones", "sync", "--activate", "--json", "-c", str(config)]
        done = await asyncio.to_thread(CliRunner().invoke, main, words)
        assert done.exit_code == 0, done.output
        ids = {zone["name"]: zone["id"] for zone in json.loads(done.output)["zones"]}

        client: Any = Client({"orgUrl": org.settings.url, "token": TOKEN})
        hosts, _, error = await client.get_network_zone(ids["hosts"])
        assert error is None, error
        assert isinstance(hosts, IPNetworkZone)
        assert hosts.gateways is not None
        assert (hosts.name, hosts.usage, hosts.status, hosts.system) == ("hosts", "BLOCKLIST", "ACTIVE", False)
        assert [(each.type, each.value) for each in hosts.gateways] == [
            ("RANGE", "198.51.100.7-198.51.100.7"),
            ("CIDR", "203.0.113.4/24"),
            ("RANGE", "192.0.2.1-192.0.2.9"),
        ]
        stopped, _, error = await client.deactivate_network_zone(ids["hosts"])
        assert (error, stopped.status) == (None, "INACTIVE")

        places = await _raw(client, ids["places"])
        assert {(each["country"], each["region"]) for each in places["locations"]} == {
            ("IR", None),
            ("KP", None),
            ("UA", "UA-43"),
        }
        assert (places["asns"], places["usage"], places["status"]) == (["64496"], "BLOCKLIST", "ACTIVE")
        anonymizers = await _raw(client, ids["anonymizers"])
        assert anonymizers["ipServiceCategories"] == {"include": ["ALL_ANONYMIZERS"], "exclude": ["NORD_VPN"]}
        assert anonymizers["locations"]["include"] == [{"country": "IR", "region": None}]
