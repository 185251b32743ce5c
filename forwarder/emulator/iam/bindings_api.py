"""The API that shows and changes who holds which admin role.

The API consists of the bindings below `/api/v1/iam/resource-sets`, the list of administrators, and the roles of an app
below `/oauth2/v1/clients`.
"""

from typing import Any

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath

from forwarder.core.time import iso
from forwarder.emulator.http.errors import decode, invalid, not_found
from forwarder.emulator.http.responses import OktaRequest, caller, org, org_url
from forwarder.emulator.iam.api import Additions
from forwarder.emulator.iam.roles import ResourceSet
from forwarder.emulator.iam.standard_roles import standard_role

_SET = "/iam/resource-sets/{set_id:str}"
_BINDING = f"{_SET}/bindings/{{role_id:str}}"
_CLIENT_ROLES = "/clients/{client_id:str}/roles"
_CLIENT_ROLE = f"{_CLIENT_ROLES}/{{member_id:str}}"


class _BindingSpec(msgspec.Struct):
    role: str
    members: tuple[str, ...] = ()


class _ClientRole(msgspec.Struct, rename="kebab"):
    type: str
    role: str = ""
    resource_set: str = ""


@get(f"{_SET}/bindings")
async def _bindings(request: OktaRequest, set_id: FromPath[str]) -> dict[str, Any]:
    found = org(request).admin_roles.resource_set(set_id)
    return {"roles": [_binding(request, found, role_id) for role_id in found.bindings], "_links": {}}


@post(f"{_SET}/bindings", status_code=200)
async def _bind(request: OktaRequest, set_id: FromPath[str]) -> dict[str, Any]:
    roles, spec = org(request).admin_roles, decode(await request.body(), _BindingSpec, "binding")
    found, role = roles.resource_set(set_id), roles.role(spec.role)
    _check_members(request, spec.members)
    roles.bind(found, role, spec.members, caller(request))
    return _binding(request, found, role.id)


@get(_BINDING)
async def _show_binding(request: OktaRequest, set_id: FromPath[str], role_id: FromPath[str]) -> dict[str, Any]:
    roles = org(request).admin_roles
    return _binding(request, roles.resource_set(set_id), roles.role(role_id).id)


@delete(_BINDING)
async def _unbind(request: OktaRequest, set_id: FromPath[str], role_id: FromPath[str]) -> None:
    roles = org(request).admin_roles
    roles.unbind(roles.resource_set(set_id), roles.role(role_id), None, caller(request))


@get(f"{_BINDING}/members")
async def _members(request: OktaRequest, set_id: FromPath[str], role_id: FromPath[str]) -> dict[str, Any]:
    roles = org(request).admin_roles
    found, role = roles.resource_set(set_id), roles.role(role_id)
    if role.id not in found.bindings:
        raise not_found(f"{role_id} (Binding)")
    members = [
        {
            "id": key,
            "created": (since := iso(member.since, "milliseconds")),
            "lastUpdated": since,
            "_links": {"self": {"href": member.url}},
        }
        for key, member in found.bindings[role.id].members.items()
    ]
    return {"members": members, "_links": _binding(request, found, role.id)["_links"]}


@patch(f"{_BINDING}/members", status_code=200)
async def _add_members(request: OktaRequest, set_id: FromPath[str], role_id: FromPath[str]) -> dict[str, Any]:
    roles, more = org(request).admin_roles, decode(await request.body(), Additions, "members")
    found, role = roles.resource_set(set_id), roles.role(role_id)
    _check_members(request, more.additions)
    roles.bind(found, role, more.additions, caller(request))
    return _binding(request, found, role.id)


@delete(f"{_BINDING}/members/{{member_id:str}}")
async def _remove_member(
    request: OktaRequest, set_id: FromPath[str], role_id: FromPath[str], member_id: FromPath[str]
) -> None:
    roles = org(request).admin_roles
    roles.unbind(roles.resource_set(set_id), roles.role(role_id), member_id, caller(request))


@get(_CLIENT_ROLES)
async def _roles_of_client(request: OktaRequest, client_id: FromPath[str]) -> list[dict[str, Any]]:
    return _held_by_client(request, client_id)


@get(_CLIENT_ROLE)
async def _role_of_client(request: OktaRequest, client_id: FromPath[str], member_id: FromPath[str]) -> dict[str, Any]:
    for shown in _held_by_client(request, client_id):
        if shown["id"] == member_id:
            return shown
    raise not_found(f"{member_id} (Role assignment)")


@post(_CLIENT_ROLES, status_code=201)
async def _assign_to_client(request: OktaRequest, client_id: FromPath[str]) -> dict[str, Any]:
    roles, url = org(request).admin_roles, _client_url(request, client_id)
    spec = decode(await request.body(), _ClientRole, "role")
    if spec.type != "CUSTOM":
        raise invalid("type", "type: only CUSTOM is emulated")
    role, found = roles.role(spec.role), roles.resource_set(spec.resource_set)
    roles.bind(found, role, [url], caller(request))
    held = {"role": role.id, "resource-set": found.id}
    (shown,) = [each for each in _held_by_client(request, client_id) if held.items() <= each.items()]
    return shown


@delete(_CLIENT_ROLE)
async def _take_from_client(request: OktaRequest, client_id: FromPath[str], member_id: FromPath[str]) -> None:
    roles = org(request).admin_roles
    for key, role, found in list(roles.held_by(_client_url(request, client_id))):
        if key == member_id:
            roles.unbind(found, role, member_id, caller(request))
            return
    raise not_found(f"{member_id} (Role assignment)")


@get("/iam/assignees/users")
async def _administrators(request: OktaRequest) -> dict[str, Any]:
    """List the users who have a role that is assigned directly to them, not only through a group."""
    emulator = org(request)
    url = f"{emulator.settings.url}/api/v1/users"
    held = emulator.admin_roles.held_by
    found = [user for user in emulator.users.all() if user.roles or any(held(f"{url}/{user.id}"))]
    shown = [
        {
            "id": user.id,
            "orn": f"orn:okta:directory:{emulator.org_id}:users:{user.id}",
            "_links": {"self": {"href": f"{url}/{user.id}"}, "roles": {"href": f"{url}/{user.id}/roles"}},
        }
        for user in found
    ]
    return {"value": shown, "_links": {}}


def _held_by_client(request: OktaRequest, client_id: str) -> list[dict[str, Any]]:
    """Return the roles of an app as the API shows them."""
    emulator, url = org(request), _client_url(request, client_id)
    standard = ["SUPER_ADMIN"] if emulator.settings.clients[client_id].admin else []
    held = [standard_role(role, "CLIENT") for role in standard] + emulator.admin_roles.shown_of(url, "CLIENT")
    return [each | {"_links": {"assignee": {"href": url}}} for each in held]


def _client_url(request: OktaRequest, client_id: str) -> str:
    if client_id not in org(request).settings.clients:
        raise not_found(f"{client_id} (PublicClientApp)")
    return f"{org_url(request)}/oauth2/v1/clients/{client_id}"


def _check_members(request: OktaRequest, members: tuple[str, ...]) -> None:
    """Check that all members are URLs of users, groups or apps of this org; raise OktaApiError otherwise."""
    emulator = org(request)
    for url in members:
        kind, _, key = url.removeprefix(org_url(request)).rpartition("/")
        if kind == "/api/v1/users":
            emulator.users.find(key)
        elif kind == "/api/v1/groups":
            emulator.groups.find(key)
        elif kind == "/oauth2/v1/clients":
            _client_url(request, key)
        else:
            raise invalid("members", f"members: {url} is not a user, group or app of this org")


def _binding(request: OktaRequest, found: ResourceSet, role_id: str) -> dict[str, Any]:
    if role_id not in found.bindings:
        raise not_found(f"{role_id} (Binding)")
    shown = found.view(org_url(request))["_links"]
    url = f"{shown['bindings']['href']}/{role_id}"
    return {
        "id": role_id,
        "_links": {
            "self": {"href": url},
            "resource-set": shown["self"],
            "bindings": shown["bindings"],
            "members": {"href": f"{url}/members"},
        },
    }


BINDING_ROUTES = (_bindings, _bind, _show_binding, _unbind, _members, _add_members, _remove_member, _administrators)
CLIENT_ROLE_ROUTES = (_roles_of_client, _role_of_client, _assign_to_client, _take_from_client)
