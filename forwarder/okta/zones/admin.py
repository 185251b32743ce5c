"""Reads and changes the network zones of one org, over Okta's API."""

from typing import Any
from urllib.parse import quote

from forwarder.core.errors import OktaError
from forwarder.okta.api.port import Api, not_okta
from forwarder.okta.zones.zone import Zone

PATH = "/api/v1/zones"
_MAX_PAGES = 50


class ZoneAdmin:
    """The network zones of one org.

    Every method raises OktaRefusedError if Okta refuses, OktaUnreachableError if it does not respond, and OktaError if
    its response is unreadable. The response to a change is not used, because it can be stale: it has the old
    `lastUpdated` and, for a new zone, a status other than the requested status.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def all(self) -> list[Zone]:
        """Return every zone of the org, ours and others."""
        zones: list[Zone] = []
        link = PATH
        for _ in range(_MAX_PAGES):
            response = await self._api.call("GET", link)
            page = response.json()
            if not isinstance(page, list):
                raise not_okta("a list of network zones")
            zones += [Zone.read(raw) for raw in page]
            if "next" not in response.links:
                return zones
            link = response.links["next"]
        raise OktaError(
            f"Okta's list of network zones has not ended after {_MAX_PAGES} pages; check whether a proxy answers in place of"
            " Okta, then try again"
        )

    async def get(self, zone_id: str) -> Zone:
        return Zone.read((await self._api.call("GET", _path(zone_id))).json())

    async def create(self, body: dict[str, Any]) -> str:
        """Create a zone and return its id."""
        return Zone.read((await self._api.call("POST", PATH, body=body)).json()).id

    async def replace(self, zone_id: str, body: dict[str, Any]) -> Zone:
        """Replace a zone, read it again, and return it."""
        await self._api.call("PUT", _path(zone_id), body=body)
        return await self.get(zone_id)

    async def activate(self, zone_id: str) -> Zone:
        """Make a zone ACTIVE, read it again, and return it."""
        await self._api.call("POST", f"{_path(zone_id)}/lifecycle/activate")
        return await self.get(zone_id)


def _path(zone_id: str) -> str:
    return f"{PATH}/{quote(zone_id, safe='')}"
