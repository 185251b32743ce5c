"""Reads and changes custom admin roles, resource sets, and the assignment of such roles to an app, over Okta's API."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from forwarder.core.errors import OktaError
from forwarder.core.urls import split_url
from forwarder.okta.api.port import Api, not_okta

_ROLES, _SETS, _CLIENTS = "/api/v1/iam/roles", "/api/v1/iam/resource-sets", "/oauth2/v1/clients"
_MOST_PAGES = 100


class Held(msgspec.Struct, frozen=True):
    """An admin role that is assigned to an app. `role` and `resource_set` are ids; both are empty for a standard role."""

    label: str
    role: str = ""
    resource_set: str = ""


class Named(msgspec.Struct, frozen=True):
    """A role or a resource set, as Okta shows it."""

    id: str
    label: str
    description: str


class Iam:
    """The admin roles of one org.

    Methods raise OktaError if Okta refuses, does not respond, or sends something unreadable.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def role(self, label: str) -> Named | None:
        """Return the custom role with this label; None if there is none."""
        return _find(await self._all(_ROLES, "roles"), label)

    async def permissions(self, role: Named) -> frozenset[str]:
        """Return the permissions of a custom role, as in `okta.users.read`."""
        found = await self._all(f"{_ROLES}/{quote(role.id)}/permissions", "permissions")
        return frozenset(str(each.get("label")) for each in found)

    async def resource_set(self, label: str) -> Named | None:
        """Return the resource set with this label; None if there is none."""
        return _find(await self._all(_SETS, "resource-sets"), label)

    async def resources(self, found: Named) -> dict[str, str]:
        """Return the resources of a resource set, as a mapping.

        A key is the path of the resource's URL, or its ORN. The value is the id of the resource in the set.
        """
        listed = await self._all(f"{_SETS}/{quote(found.id)}/resources", "resources")
        return {_meant(each): str(each.get("id")) for each in listed}

    async def held_by(self, client_id: str) -> list[Held]:
        """Return the admin roles that are assigned to an app."""
        found = await self._list(f"{_CLIENTS}/{quote(client_id)}/roles")
        return [
            Held(
                str(each.get("label") or each.get("type")),
                str(each.get("role") or ""),
                str(each.get("resource-set") or ""),
            )
            for each in found
        ]

    async def administrators(self) -> list[str]:
        """Return the ids of users with an admin role. Users who have a role only through a group may be missing."""
        return [str(each.get("id")) for each in await self._all("/api/v1/iam/assignees/users", "value")]

    async def create_role(self, label: str, description: str, permissions: Sequence[str]) -> None:
        """Create a custom role."""
        body = {"label": label, "description": description, "permissions": list(permissions)}
        await self._api.call("POST", _ROLES, body=body)

    async def permit(self, role: Named, permission: str) -> None:
        """Add a permission to a role."""
        await self._api.call("POST", f"{_ROLES}/{quote(role.id)}/permissions/{permission}")

    async def forbid(self, role: Named, permission: str) -> None:
        """Remove a permission from a role."""
        await self._api.call("DELETE", f"{_ROLES}/{quote(role.id)}/permissions/{permission}")

    async def create_set(self, label: str, description: str, resources: Sequence[str]) -> None:
        """Create a resource set."""
        body = {"label": label, "description": description, "resources": list(resources)}
        await self._api.call("POST", _SETS, body=body)

    async def add_resources(self, found: Named, resources: Sequence[str]) -> None:
        """Add resources, given as URLs or ORNs, to the resource set `found`."""
        await self._api.call("PATCH", f"{_SETS}/{quote(found.id)}/resources", body={"additions": list(resources)})

    async def remove_resource(self, found: Named, resource_id: str) -> None:
        """Remove a resource from the resource set `found`; `resource_id` is its id in the set."""
        await self._api.call("DELETE", f"{_SETS}/{quote(found.id)}/resources/{quote(resource_id)}")

    async def assign(self, client_id: str, role: Named, found: Named) -> None:
        """Assign a custom role to an app. The role applies to the resources of the resource set `found`."""
        body = {"type": "CUSTOM", "role": role.id, "resource-set": found.id}
        await self._api.call("POST", f"{_CLIENTS}/{quote(client_id)}/roles", body=body)

    async def _all(self, path: str, key: str) -> list[Mapping[str, Any]]:
        """Return the elements of all pages at `path`. Each page is an object with a list of elements under `key`."""
        found: list[Mapping[str, Any]] = []
        following = path
        for _ in range(_MOST_PAGES):
            page = await self._json(following)
            if not isinstance(page, dict) or not isinstance(page.get(key, []), list):
                raise not_okta(f"the list `{key}` of GET {path}")
            found += _mappings(path, page.get(key, []))
            links = page.get("_links")
            link = links.get("next") if isinstance(links, dict) else None
            if not isinstance(link, dict) or not link.get("href"):
                return found
            # In real responses, links of roles have the host name of the Admin Console. The credentials must not be sent
            # to that host, and the org's own host answers the same path.
            following = split_url(str(link["href"]))._replace(scheme="", netloc="").geturl()
        raise OktaError(f"GET {path} has more than {_MOST_PAGES} pages; check whether a proxy answers in place of Okta")

    async def _list(self, path: str) -> list[Mapping[str, Any]]:
        found = await self._json(path)
        if not isinstance(found, list):
            raise not_okta(f"the list of GET {path}")
        return _mappings(path, found)

    async def _json(self, path: str) -> Any:
        return (await self._api.call("GET", path)).json()


def _mappings(path: str, found: Iterable[Any]) -> list[Mapping[str, Any]]:
    listed = list(found)
    if not all(isinstance(each, dict) for each in listed):
        raise not_okta(f"the list of objects of GET {path}")
    return listed


def _find(listed: Iterable[Mapping[str, Any]], label: str) -> Named | None:
    for each in listed:
        if each.get("label") == label:
            return Named(str(each.get("id")), label, str(each.get("description") or ""))
    return None


def _meant(resource: Mapping[str, Any]) -> str:
    """Return the path of the resource's URL or, if it has no URL, its name (ORN)."""
    links = resource.get("_links")
    itself = links.get("self") if isinstance(links, dict) else None
    href = str(itself.get("href") or "") if isinstance(itself, dict) else ""
    if href.startswith("http"):
        return split_url(href).path
    return str(resource.get("orn") or href)
