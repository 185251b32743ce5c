"""Finds the groups whose users the forwarder may act on: groups without administrators and without protected users."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.okta.api.port import Api, not_okta
from forwarder.react.guards.directory import folded

_MOST_PAGES = 200
_FULL = {"limit": "200"}


class OktaGroup(msgspec.Struct, frozen=True):
    """A group of the org.

    Attributes:
        why_not: why the forwarder must not act on the users of the group; empty if it may act on them.
        role: an admin role that the group gives to its users; empty if the group gives none.
    """

    id: str
    name: str
    type: str
    why_not: str = ""
    role: str = ""

    def is_called(self, key: str) -> bool:
        """Whether `key` is the id or the name of the group. Upper and lower case count as equal."""
        return folded(key) in {folded(self.id), folded(self.name)}


async def groups_of_org(
    api: Api, administrators: Iterable[str], users: Sequence[str], groups: Sequence[str]
) -> tuple[list[OktaGroup], list[str]]:
    """Return all groups of the org, and a line for each protected user or group that the org does not have.

    `administrators` are ids of users, `users` the ids or logins of the protected users, and `groups` the ids or names
    of the protected groups.

    Raises:
        OktaError: Okta refuses or does not respond.
    """
    found = [_group(each) for each in await pages(api, "/api/v1/groups", _FULL)]
    roles: dict[str, str] = {}
    reasons = {each.id: "it holds every user" for each in found if each.type == "BUILT_IN"}
    people = dict.fromkeys(administrators, "an administrator is in it")
    unknown = []
    for name in users:
        if (user := await _user(api, name)) is None:
            unknown.append(f"reactions.protect.users: the org has no user {name}")
        else:
            people.setdefault(user, f"the protected user {name} is in it")
    for name in groups:
        named = [each for each in found if each.is_called(name)]
        if not named:
            unknown.append(f"reactions.protect.groups: the org has no group {name}")
        for each in named:
            reasons[each.id] = "reactions.protect.groups names it"
            why = f"a member of the protected group {each.name} is in it"
            people = dict.fromkeys(await _members(api, each), why) | people
    for each in found:
        if held := await pages(api, f"/api/v1/groups/{quote(each.id)}/roles"):
            roles[each.id] = str(held[0].get("label") or held[0].get("type"))
            reasons[each.id] = f"it gives the admin role {roles[each.id]}"
            people = dict.fromkeys(await _members(api, each), "an administrator is in it") | people
    for user_id, why in people.items():
        for listed in await pages(api, f"/api/v1/users/{quote(user_id)}/groups"):
            reasons.setdefault(_group(listed).id, why)
    judged = [
        msgspec.structs.replace(each, why_not=reasons.get(each.id, ""), role=roles.get(each.id, "")) for each in found
    ]
    return judged, unknown


async def _user(api: Api, key: str) -> str | None:
    try:
        found = (await api.call("GET", f"/api/v1/users/{quote(key, safe='')}")).json()
    except OktaRefusedError as error:
        if error.status == 404:
            return None
        raise
    if not isinstance(found, Mapping) or not isinstance(found.get("id"), str):
        raise OktaError(f"Okta's answer about the user {key} has no id")
    return str(found["id"])


async def _members(api: Api, group: OktaGroup) -> list[str]:
    return [str(each.get("id")) for each in await pages(api, f"/api/v1/groups/{quote(group.id)}/users", _FULL)]


async def pages(api: Api, path: str, query: Mapping[str, str] | None = None) -> list[Mapping[str, Any]]:
    """Return the elements of all pages at `path`. Each page must be a list of objects.

    Raises:
        OktaError: Okta refuses, does not respond, or answers with something else.
    """
    found: list[Mapping[str, Any]] = []
    following = path
    for _ in range(_MOST_PAGES):
        response = await api.call("GET", following, query=query)
        page = response.json()
        if not isinstance(page, list) or not all(isinstance(each, Mapping) for each in page):
            raise not_okta(f"the list of GET {path}")
        found += page
        if not (link := response.links.get("next")):
            return found
        following, query = link, None
    raise OktaError(f"GET {path} has more than {_MOST_PAGES} pages; check whether a proxy answers in place of Okta")


def _group(found: Mapping[str, Any]) -> OktaGroup:
    profile = found.get("profile")
    name = profile.get("name") if isinstance(profile, Mapping) else None
    if not isinstance(found.get("id"), str) or not isinstance(name, str):
        raise OktaError("Okta answered with a group that has no id or no name")
    return OktaGroup(found["id"], name, str(found.get("type")))
