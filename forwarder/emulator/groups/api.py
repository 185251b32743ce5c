"""`/api/v1/groups`, and the groups of a user."""

from typing import Any

from litestar import delete, get, put
from litestar.params import FromPath

from forwarder.emulator.http.responses import OktaRequest, caller, org

_GROUP = "/groups/{group_id:str}"
_MEMBER = f"{_GROUP}/users/{{user_id:str}}"


@get("/groups")
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    emulator = org(request)
    found = emulator.groups.all(request.query_params.get("q", ""))
    return [group.view(emulator.settings.url) for group in found]


@get(_GROUP)
async def _show(request: OktaRequest, group_id: FromPath[str]) -> dict[str, Any]:
    return org(request).groups.find(group_id).view(org(request).settings.url)


@get(f"{_GROUP}/users")
async def _members(request: OktaRequest, group_id: FromPath[str]) -> list[dict[str, Any]]:
    emulator = org(request)
    members = emulator.groups.find(group_id).members
    return [user.view(emulator.settings.url) for user in emulator.users.all() if user.id in members]


@get(f"{_GROUP}/roles")
async def _roles(request: OktaRequest, group_id: FromPath[str]) -> list[dict[str, Any]]:
    return [{"type": role, "status": "ACTIVE"} for role in org(request).groups.find(group_id).roles]


@put(_MEMBER, status_code=204)
async def _add(request: OktaRequest, group_id: FromPath[str], user_id: FromPath[str]) -> None:
    emulator = org(request)
    emulator.groups.add(emulator.groups.find(group_id), emulator.users.find(user_id), caller(request))


@delete(_MEMBER)
async def _remove(request: OktaRequest, group_id: FromPath[str], user_id: FromPath[str]) -> None:
    emulator = org(request)
    emulator.groups.remove(emulator.groups.find(group_id), emulator.users.find(user_id), caller(request))


@get("/users/{user_id:str}/groups")
async def _groups_of(request: OktaRequest, user_id: FromPath[str]) -> list[dict[str, Any]]:
    emulator = org(request)
    return [group.view(emulator.settings.url) for group in emulator.groups.of(emulator.users.find(user_id))]


GROUP_ROUTES = (_list, _show, _members, _roles, _add, _remove, _groups_of)
