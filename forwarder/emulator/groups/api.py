"""`/api/v1/groups`, and the groups of a user."""

from typing import Any

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath

from forwarder.core.time import iso
from forwarder.emulator.events.fixtures import entity
from forwarder.emulator.groups.groups import EmulatedGroup
from forwarder.emulator.http.errors import decode, forbidden
from forwarder.emulator.http.responses import OktaRequest, caller, org, org_url, paged, set_effect
from forwarder.emulator.http.search import matching
from forwarder.emulator.iam.standard_roles import standard_role

_GROUP = "/groups/{group_id:str}"
_MEMBER = f"{_GROUP}/users/{{user_id:str}}"


class _Profile(msgspec.Struct):
    name: str
    description: str | None = None


class _GroupSpec(msgspec.Struct):
    profile: _Profile


@get("/groups")
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    emulator = org(request)
    found = [group.view(emulator.settings.url) for group in emulator.groups.all(request.query_params.get("q", ""))]
    return paged(request, matching(request, found), 10_000)


@post("/groups", status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    emulator, body = org(request), decode(await request.body(), _GroupSpec, "group")
    group = emulator.groups.create(body.profile.name)
    group.description = body.profile.description
    target = [entity(group.id, "UserGroup", group.name)]
    emulator.report_change("group.lifecycle.create", caller(request), target=target)
    return group.view(emulator.settings.url)


@put(_GROUP)
async def _replace(request: OktaRequest, group_id: FromPath[str]) -> dict[str, Any]:
    emulator = org(request)
    group = emulator.groups.find(group_id)
    profile = decode(await request.body(), _GroupSpec, "group").profile
    before = (group.name, group.description)
    emulator.groups.replace(group, profile.name, profile.description, caller(request))
    set_effect(request, changed=(group.name, group.description) != before)
    return group.view(emulator.settings.url)


@delete(_GROUP)
async def _delete(request: OktaRequest, group_id: FromPath[str]) -> None:
    emulator = org(request)
    group = emulator.groups.find(group_id)
    if group.type != "OKTA_GROUP":
        raise forbidden("A built-in group cannot be deleted.")
    emulator.groups.delete(group)
    target = [entity(group.id, "UserGroup", group.name)]
    emulator.report_change("group.lifecycle.delete", caller(request), target=target)


@get(_GROUP)
async def _show(request: OktaRequest, group_id: FromPath[str]) -> dict[str, Any]:
    return org(request).groups.find(group_id).view(org_url(request))


@get(f"{_GROUP}/users")
async def _members(request: OktaRequest, group_id: FromPath[str]) -> list[dict[str, Any]]:
    emulator = org(request)
    members = emulator.groups.find(group_id).members
    found = [user.view(emulator.settings.url) for user in emulator.users.all() if user.id in members]
    return paged(request, found, 1000)


@get(f"{_GROUP}/roles")
async def _roles(request: OktaRequest, group_id: FromPath[str]) -> list[dict[str, Any]]:
    emulator, group = org(request), org(request).groups.find(group_id)
    custom = emulator.admin_roles.shown_of(f"{emulator.settings.url}/api/v1/groups/{group.id}", "GROUP")
    return [standard_role(role, "GROUP") for role in group.roles] + custom


@get(f"{_GROUP}/apps")
async def _apps(request: OktaRequest, group_id: FromPath[str]) -> list[dict[str, Any]]:
    group = org(request).groups.find(group_id)
    return paged(request, [_app(group, number, label) for number, label in enumerate(group.apps)], 200)


@put(_MEMBER, status_code=204)
async def _add(request: OktaRequest, group_id: FromPath[str], user_id: FromPath[str]) -> None:
    emulator = org(request)
    group, user = emulator.groups.find(group_id), emulator.users.in_path(user_id)
    was_member = user.id in group.members
    emulator.groups.add(group, user, caller(request))
    set_effect(request, changed=not was_member)


@delete(_MEMBER)
async def _remove(request: OktaRequest, group_id: FromPath[str], user_id: FromPath[str]) -> None:
    emulator = org(request)
    group, user = emulator.groups.find(group_id), emulator.users.in_path(user_id)
    was_member = user.id in group.members
    emulator.groups.remove(group, user, caller(request))
    set_effect(request, changed=was_member)


@get("/users/{user_id:str}/groups")
async def _groups_of(request: OktaRequest, user_id: FromPath[str]) -> list[dict[str, Any]]:
    emulator = org(request)
    found = emulator.groups.of(emulator.users.in_path(user_id))
    return paged(request, [group.view(emulator.settings.url) for group in found], 200)


def _app(group: EmulatedGroup, number: int, label: str) -> dict[str, Any]:
    """Return an app that is assigned to a group, as the API shows it. `label` is the name of the app, and
    `number` becomes a part of its id."""
    created = iso(group.created, "milliseconds")
    return {
        "id": f"0oa{number:03d}{group.id[3:17]}",
        "name": "bookmark",
        "label": label,
        "status": "ACTIVE",
        "signOnMode": "BOOKMARK",
        "settings": {"app": {"url": "https://app.example.com", "requestIntegration": False}},
        "created": created,
        "lastUpdated": created,
    }


GROUP_ROUTES = (_list, _create, _replace, _delete, _show, _members, _roles, _apps, _add, _remove, _groups_of)
