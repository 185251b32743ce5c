"""The network zones of an org behind the port of Okta's API, with what recordings of real orgs show:

- POST with INACTIVE makes an ACTIVE zone; PUT honours the status.
- PUT answers with the `lastUpdated` of before; locations come back reordered, with `region: null`.
- a RANGE of one address comes back as `a-a`; a CIDR keeps its host bits.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from forwarder.core.errors import OktaRefusedError
from forwarder.okta.api.port import Response

EXEMPT = "DefaultExemptIpZone"


def refusal(status: int, code: str = "E0000001", text: str = "refused") -> OktaRefusedError:
    return OktaRefusedError(status, code, text)


@dataclass
class ZoneOrg:
    """An `Api`. Zones are as Okta shows them, by id.

    Attributes:
        log: events of the System Log, the oldest first.
        ip: from where the org sees the calls.
        before: called with method and path before each call that changes something; may raise, or change zones as others do.
        after: the same, after it.
        page: zones per page of the list.
    """

    zones: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    ip: str = "8.8.8.8"
    before: Callable[[str, str], object] = lambda _method, _path: None
    after: Callable[[str, str], object] = lambda _method, _path: None
    page: int = 200
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    ticks: int = 0
    made: int = 0
    queries: list[Mapping[str, str]] = field(default_factory=list)
    most_policy_gateways: int = 150

    def add(self, name: str, **changes: Any) -> dict[str, Any]:
        """Have a zone that others made: an active IP blocklist, unless changed."""
        zone: dict[str, Any] = {
            "type": "IP",
            "id": self._id(),
            "name": name,
            "status": "ACTIVE",
            "usage": "BLOCKLIST",
            "created": "2026-01-01T00:00:00.000Z",
            "lastUpdated": "2026-01-01T00:00:00.000Z",
            "system": False,
            "gateways": [],
            "proxies": None,
        } | changes
        self.zones[zone["id"]] = zone
        return zone

    def exempt(self, *texts: str, **changes: Any) -> dict[str, Any]:
        """Have the zone of exempt addresses."""
        gateways = [
            {"type": "CIDR", "value": text if "/" in text else f"{text}/{128 if ':' in text else 32}"} for text in texts
        ]
        return self.add(EXEMPT, usage="POLICY", system=True, gateways=gateways or None, **changes)

    def named(self, name: str) -> dict[str, Any]:
        (found,) = [zone for zone in self.zones.values() if zone["name"] == name]
        return found

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Method and path of the calls that changed something, without the id."""
        return [
            (method, path.replace("/api/v1/zones", "").partition("/lifecycle")[2] or "zone")
            for method, path, _ in self.calls
            if method != "GET"
        ]

    def _id(self) -> str:
        self.made += 1
        return f"nzo{self.made:017d}"

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        self.calls.append((method, path, copy.deepcopy(body)))
        json.dumps(body)  # it must be JSON
        if path == "/api/v1/logs":
            self.queries.append(query or {})
            return _answer(self.log[::-1])
        if method == "GET":
            return self._read(path)
        self.before(method, path)
        answer = self._change(method, path, body)
        self.after(method, path)
        return _answer(answer)

    async def close(self) -> None:
        """As `Api.close`."""

    def _read(self, path: str) -> Response:
        path, _, start = path.partition("?after=")
        if path != "/api/v1/zones":
            return _answer(self._zone(path))
        zones = list(self.zones.values())
        first = int(start or 0)
        links = {}
        if first + self.page < len(zones):
            links["next"] = f"/api/v1/zones?after={first + self.page}"
        return _answer(zones[first : first + self.page], links)

    def _change(self, method: str, path: str, body: Any) -> dict[str, Any]:
        self.ticks += 1
        now = f"2026-11-28T12:00:{self.ticks:02d}.000Z"
        if method == "POST" and path == "/api/v1/zones":
            if any(zone["name"] == body["name"] for zone in self.zones.values()):
                raise refusal(400, text="name: A zone with this name already exists.")
            self._check(body)
            made = _shown(body) | {"id": self._id(), "status": "ACTIVE", "system": False}
            made |= {"created": now, "lastUpdated": now}
            self.zones[made["id"]] = made
            self._log("zone.create", made)
            return made
        zone = self._zone(path.partition("/lifecycle")[0])
        before = zone["lastUpdated"]
        if "/lifecycle/" in path:
            zone |= {"status": "ACTIVE" if path.endswith("/activate") else "INACTIVE", "lastUpdated": now}
            self._log("zone.activate", zone)
            return zone
        assert method == "PUT"
        assert body["type"] == zone["type"]
        self._check(body)
        kept = {key: zone[key] for key in ("id", "created", "system")}
        zone.clear()
        zone |= _shown(body) | kept | {"lastUpdated": now}
        self._log("zone.update", zone)
        return {**zone, "lastUpdated": before}

    def _check(self, body: Mapping[str, Any]) -> None:
        gateways = body.get("gateways") or ()
        if len(gateways) > (self.most_policy_gateways if body["usage"] == "POLICY" else 1000):
            raise refusal(400, text="gateways: too many")

    def _zone(self, path: str) -> dict[str, Any]:
        zone = self.zones.get(path.removeprefix("/api/v1/zones/"))
        if zone is None:
            raise refusal(404, "E0000007", "not found")
        return zone

    def _log(self, event_type: str, zone: Mapping[str, Any]) -> None:
        self.log.append(
            {
                "eventType": event_type,
                "published": "2026-11-28T12:00:00.000Z",
                "client": {"ipAddress": self.ip},
                "request": {"ipChain": [{"ip": self.ip}]},
                "target": [{"id": zone["id"], "type": "NetworkZone"}],
                "transaction": {"detail": {"requestApiTokenId": "00T1"}},
            }
        )


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """A zone as Okta shows what was sent."""
    zone = copy.deepcopy(dict(body))
    for entry in zone.get("gateways") or ():
        if entry["type"] == "RANGE" and "-" not in entry["value"]:
            entry["value"] = f"{entry['value']}-{entry['value']}"
    if zone["type"] == "DYNAMIC":
        places = [{"country": each["country"], "region": each.get("region")} for each in zone.get("locations") or ()]
        zone["locations"] = places[::-1] or None
        zone.setdefault("proxyType", None)
    return zone


def _answer(tree: Any, links: Mapping[str, str] | None = None) -> Response:
    return Response(200, msgspec.json.encode(tree), links or {})
