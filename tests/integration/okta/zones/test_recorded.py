"""Requests and responses of real orgs, recorded by the tests of Okta's Terraform provider: our writer sends the same
requests, and reads the responses correctly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forwarder.okta.api.port import Response
from forwarder.okta.zones.build import zone_writer
from forwarder.okta.zones.settings import OrgZones
from forwarder.okta.zones.sync import look
from tests.fakes.clock import ManualClock

ID = "nzo1exampleexample1d"
PATH = f"/api/v1/zones/{ID}"
OPEN = {"self": {"hints": {"allow": ["GET", "PUT", "DELETE"]}}, "deactivate": {"hints": {"allow": ["POST"]}}}
EXEMPT = {
    "type": "IP",
    "id": "nzo0exampleexample1d",
    "name": "DefaultExemptIpZone",
    "status": "ACTIVE",
    "usage": "POLICY",
    "system": True,
    "gateways": [{"type": "CIDR", "value": "127.0.0.1/32"}],
    "proxies": None,
}


@dataclass
class Recording:
    """An `Api` that expects the recorded calls in their order, and returns the recorded responses."""

    exchanges: list[tuple[str, str, Any, Any]]
    calls: list[tuple[str, str, Any]] = field(default_factory=list)

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        assert not query
        assert self.exchanges, (method, path)
        expected, where, request, answer = self.exchanges.pop(0)
        assert (method, path) == (expected, where)
        if request is not None:
            sent = {key: value for key, value in body.items() if value is not None}
            assert sent == request
        return Response(200, json.dumps(answer).encode(), {})

    async def close(self) -> None:
        """As `Api.close`."""


def zone(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "status": "ACTIVE",
        "usage": "POLICY",
        "created": "2026-02-18T08:28:53.000Z",
        "lastUpdated": "2026-02-18T08:28:53.000Z",
        "system": False,
        "_links": OPEN,
    } | changes


async def replayed(folder: Path, zones: dict[str, Any], *exchanges: tuple[str, str, Any, Any]) -> None:
    api = Recording([("GET", "/api/v1/zones", None, [EXEMPT]), *exchanges])
    settings = OrgZones(zones=zones)
    writer = zone_writer("acme", "http://127.0.0.1:1", settings, api, ManualClock(), store=folder / "forwarder.db")
    async with writer.writing():
        found = await look(settings, writer)
        (step,) = found.plan.steps
        applied = await writer.apply(step)
    assert (applied.left, applied.zone.status, applied.zone.usage) == ((), "INACTIVE", "BLOCKLIST")
    assert (found.problems, api.exchanges) == ([], [])


async def test_an_address_zone_is_staged_as_recorded(tmp_path: Path) -> None:
    gateways = [{"type": "RANGE", "value": "203.0.113.5-203.0.113.10"}, {"type": "CIDR", "value": "198.51.100.4/24"}]
    base = {"type": "IP", "name": "recorded", "gateways": gateways}
    staged = zone(**base, proxies=None)
    idle = {"status": "INACTIVE", "usage": "BLOCKLIST"}
    later = {"lastUpdated": "2026-02-18T08:28:54.000Z"}
    await replayed(
        tmp_path,
        {"recorded": {"ips": ["203.0.113.5-203.0.113.10", "198.51.100.4/24"]}},
        ("GET", "/api/v1/zones", None, [EXEMPT]),
        ("POST", "/api/v1/zones", base | {"status": "ACTIVE", "usage": "POLICY"}, staged),
        ("GET", PATH, None, staged),
        ("PUT", PATH, base | idle, staged | idle),
        ("GET", PATH, None, staged | idle | later),
    )


async def test_a_dynamic_zone_is_staged_as_recorded(tmp_path: Path) -> None:
    sent = [{"country": "US"}, {"country": "UA", "region": "UA-26"}, {"country": "AF", "region": "AF-BGL"}]
    base = {"type": "DYNAMIC", "name": "recorded", "locations": sent, "asns": ["2232"]}
    staged = zone(**base) | {"locations": [sent[1], sent[2], {"country": "US", "region": None}], "proxyType": None}
    idle = {"status": "INACTIVE", "usage": "BLOCKLIST"}
    await replayed(
        tmp_path,
        {"recorded": {"countries": ["US"], "regions": ["UA-26", "AF-BGL"], "asns": ["2232"]}},
        ("GET", "/api/v1/zones", None, [EXEMPT]),
        ("POST", "/api/v1/zones", base | {"status": "ACTIVE", "usage": "POLICY"}, staged),
        ("GET", PATH, None, staged),
        ("PUT", PATH, base | idle, staged | idle),
        ("GET", PATH, None, staged | idle | {"lastUpdated": "2026-02-18T08:28:54.000Z"}),
    )


async def test_a_proxy_zone_is_staged_as_recorded(tmp_path: Path) -> None:
    base = {"type": "DYNAMIC", "name": "recorded", "proxyType": "TorAnonymizer"}
    staged = zone(**base, locations=None)
    idle = {"status": "INACTIVE", "usage": "BLOCKLIST"}
    await replayed(
        tmp_path,
        {"recorded": {"proxy": "tor"}},
        ("GET", "/api/v1/zones", None, [EXEMPT]),
        ("POST", "/api/v1/zones", base | {"status": "ACTIVE", "usage": "POLICY"}, staged),
        ("GET", PATH, None, staged),
        ("PUT", PATH, base | idle, staged | idle),
        ("GET", PATH, None, staged | idle),
    )


async def test_an_enhanced_zone_is_staged_as_recorded(tmp_path: Path) -> None:
    places = [{"country": "US"}, {"country": "AF", "region": "AF-BGL"}]
    services = {"include": ["ALL_IP_SERVICES"], "exclude": ["SURFSHARK_VPN"]}
    base = {"type": "DYNAMIC_V2", "name": "recorded", "ipServiceCategories": services, "locations": {"include": places}}
    staged = zone(**base) | {
        "locations": {"include": [places[1], {"country": "US", "region": None}], "exclude": []},
        "asns": {"include": [], "exclude": []},
    }
    idle = {"status": "INACTIVE", "usage": "BLOCKLIST"}
    await replayed(
        tmp_path,
        {
            "recorded": {
                "countries": ["US"],
                "regions": ["AF-BGL"],
                "services": ["ALL_IP_SERVICES"],
                "except_services": ["SURFSHARK_VPN"],
            }
        },
        ("GET", "/api/v1/zones", None, [EXEMPT]),
        ("POST", "/api/v1/zones", base | {"status": "ACTIVE", "usage": "POLICY"}, staged),
        ("GET", PATH, None, staged),
        ("PUT", PATH, base | idle, staged | idle),
        ("GET", PATH, None, staged | idle),
    )
