"""`/api/v1/zones`."""

from typing import Any

from litestar import delete, get, post, put
from litestar.params import FromPath

from forwarder.emulator.http.errors import decode, not_found
from forwarder.emulator.http.responses import OktaRequest, caller, org, org_url, paged, set_effect
from forwarder.emulator.http.search import matching
from forwarder.emulator.zones.zone_body import ZoneSpec

_ZONE = "/zones/{zone_id:str}"


@get("/zones")
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    emulator = org(request)
    found = [zone.view(emulator.settings.url) for zone in emulator.zones.all()]
    return paged(request, matching(request, found), 10_000)


@post("/zones", status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    emulator = org(request)
    spec = decode(await request.body(), ZoneSpec, "zone")
    return emulator.zones.create(spec, caller(request)).view(emulator.settings.url)


@get(_ZONE)
async def _show(request: OktaRequest, zone_id: FromPath[str]) -> dict[str, Any]:
    return org(request).zones.find(zone_id).view(org_url(request))


@put(_ZONE)
async def _replace(request: OktaRequest, zone_id: FromPath[str]) -> dict[str, Any]:
    zones = org(request).zones
    zone = zones.find(zone_id)
    updated, before = zone.updated, (zone.spec, zone.active)
    zones.replace(zone, decode(await request.body(), ZoneSpec, "zone"), caller(request))
    set_effect(request, changed=(zone.spec, zone.active) != before)
    return zone.view(org_url(request), updated=updated)


@delete(_ZONE)
async def _delete(request: OktaRequest, zone_id: FromPath[str]) -> None:
    zones = org(request).zones
    zones.delete(zones.find(zone_id), caller(request))


@post(f"{_ZONE}/lifecycle/{{step:str}}", status_code=200)
async def _lifecycle(request: OktaRequest, zone_id: FromPath[str], step: FromPath[str]) -> dict[str, Any]:
    zones = org(request).zones
    zone = zones.find(zone_id)
    if step not in {"activate", "deactivate"}:
        raise not_found(request.url.path)
    before = zone.active
    zones.set_active(zone, caller(request), active=step == "activate")
    set_effect(request, changed=zone.active != before)
    return zone.view(org_url(request))


ZONE_ROUTES = (_list, _create, _show, _replace, _delete, _lifecycle)
