"""Serves `/emulator/groups`, a path that Okta does not have: changes groups without writing events."""

from typing import Any

import msgspec
from litestar import delete, post, put
from litestar.params import FromPath

from forwarder.emulator.groups.groups import EmulatedGroup
from forwarder.emulator.http.errors import decode
from forwarder.emulator.http.responses import OktaRequest, org


class _GroupRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /emulator/groups` and `PUT /emulator/groups/{id}`; absent fields change nothing.

    Attributes:
        type: OKTA_GROUP, APP_GROUP or BUILT_IN.
        roles: standard admin roles that members get, by Okta's names, such as HELP_DESK_ADMIN.
        apps: labels of the apps that are assigned to the group.
        members: ids or logins of all users in the group.
    """

    name: str | None = None
    type: str | None = None
    roles: tuple[str, ...] | None = None
    apps: tuple[str, ...] | None = None
    members: tuple[str, ...] | None = None


@post("/groups", status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    requested = decode(await request.body(), _GroupRequest, "group")
    return _apply(request, org(request).groups.create(requested.name or ""), requested)


@put("/groups/{group_id:str}")
async def _change(request: OktaRequest, group_id: FromPath[str]) -> dict[str, Any]:
    requested = decode(await request.body(), _GroupRequest, "group")
    return _apply(request, org(request).groups.named(group_id), requested)


@delete("/groups/{group_id:str}")
async def _delete(request: OktaRequest, group_id: FromPath[str]) -> None:
    groups = org(request).groups
    groups.delete(groups.named(group_id))


def _apply(request: OktaRequest, group: EmulatedGroup, requested: _GroupRequest) -> dict[str, Any]:
    for name in ("name", "type", "roles", "apps"):
        if (value := getattr(requested, name)) is not None:
            setattr(group, name, value)
    if requested.members is not None:
        group.members = {org(request).users.find(key).id for key in requested.members}
    return msgspec.structs.asdict(group) | {"members": sorted(group.members)}


GROUP_CONTROL = (_create, _change, _delete)
