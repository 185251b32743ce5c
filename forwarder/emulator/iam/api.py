"""`/api/v1/iam/roles` and `/api/v1/iam/resource-sets`.

A resource in a set is a URL of Okta's API, or an Okta resource name (ORN) if the API has no URL for this
resource.
"""

import re
from typing import Any

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import FromPath

from forwarder.core.time import iso
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.errors import OktaApiError, decode, invalid, not_found
from forwarder.emulator.http.responses import OktaRequest, caller, org, org_url
from forwarder.emulator.iam.roles import CustomRole, ResourceSet

_ROLE = "/iam/roles/{role_id:str}"
_SETS = "/iam/resource-sets"
_SET = f"{_SETS}/{{set_id:str}}"

_ORN = re.compile(r"orn:okta:[a-z]+:([^:]+):.+")
_ORN_WITH_URL = re.compile(
    r"orn:okta:(?:directory:[^:]+:(users|groups(?::[^:]+(?::contained_resources)?)?)|idp:[^:]+:(apps))"
)


class _RoleSpec(msgspec.Struct):
    label: str
    description: str = ""
    permissions: tuple[str, ...] = ()


class _SetSpec(msgspec.Struct):
    label: str
    description: str = ""
    resources: tuple[str, ...] = ()


class Additions(msgspec.Struct):
    """The body of a PATCH that adds resources to a set, or members to a binding."""

    additions: tuple[str, ...] = ()


@get("/iam/roles")
async def _roles(request: OktaRequest) -> dict[str, Any]:
    return {"roles": [role.view(org_url(request)) for role in org(request).admin_roles.roles()], "_links": {}}


@post("/iam/roles", status_code=200)
async def _create_role(request: OktaRequest) -> dict[str, Any]:
    spec = decode(await request.body(), _RoleSpec, "role")
    role = org(request).admin_roles.create_role(spec.label, spec.description, spec.permissions, caller(request))
    return role.view(org_url(request))


@get(_ROLE)
async def _show_role(request: OktaRequest, role_id: FromPath[str]) -> dict[str, Any]:
    return org(request).admin_roles.role(role_id).view(org_url(request))


@put(_ROLE)
async def _replace_role(request: OktaRequest, role_id: FromPath[str]) -> dict[str, Any]:
    roles, spec = org(request).admin_roles, decode(await request.body(), _RoleSpec, "role")
    role = roles.role(role_id)
    roles.rename(role, spec.label, spec.description)
    return role.view(org_url(request))


@delete(_ROLE)
async def _delete_role(request: OktaRequest, role_id: FromPath[str]) -> None:
    roles = org(request).admin_roles
    roles.delete_role(roles.role(role_id), caller(request))


@get(f"{_ROLE}/permissions")
async def _permissions(request: OktaRequest, role_id: FromPath[str]) -> dict[str, Any]:
    role = org(request).admin_roles.role(role_id)
    return {"permissions": [_permission(request, role, name) for name in role.permissions]}


@get(f"{_ROLE}/permissions/{{name:str}}")
async def _show_permission(request: OktaRequest, role_id: FromPath[str], name: FromPath[str]) -> dict[str, Any]:
    role = org(request).admin_roles.role(role_id)
    if name not in role.permissions:
        raise not_found(f"{name} (Permission)")
    return _permission(request, role, name)


@post(f"{_ROLE}/permissions/{{name:str}}", status_code=204)
async def _permit(request: OktaRequest, role_id: FromPath[str], name: FromPath[str]) -> None:
    roles = org(request).admin_roles
    roles.permit(roles.role(role_id), name, caller(request))


@delete(f"{_ROLE}/permissions/{{name:str}}")
async def _forbid(request: OktaRequest, role_id: FromPath[str], name: FromPath[str]) -> None:
    roles = org(request).admin_roles
    roles.forbid(roles.role(role_id), name, caller(request))


@get(_SETS)
async def _sets(request: OktaRequest) -> dict[str, Any]:
    shown = [found.view(org_url(request)) for found in org(request).admin_roles.sets()]
    return {"resource-sets": shown, "_links": {}}


@post(_SETS, status_code=200)
async def _create_set(request: OktaRequest) -> dict[str, Any]:
    spec = decode(await request.body(), _SetSpec, "resourceSet")
    roles, resources = org(request).admin_roles, _kept_forms(request, spec.resources)
    return roles.create_set(spec.label, spec.description, resources, caller(request)).view(org_url(request))


@get(_SET)
async def _show_set(request: OktaRequest, set_id: FromPath[str]) -> dict[str, Any]:
    return org(request).admin_roles.resource_set(set_id).view(org_url(request))


@put(_SET)
async def _replace_set(request: OktaRequest, set_id: FromPath[str]) -> dict[str, Any]:
    roles, spec = org(request).admin_roles, decode(await request.body(), _SetSpec, "resourceSet")
    found = roles.resource_set(set_id)
    roles.rename(found, spec.label, spec.description)
    return found.view(org_url(request))


@delete(_SET)
async def _delete_set(request: OktaRequest, set_id: FromPath[str]) -> None:
    roles = org(request).admin_roles
    roles.delete_set(roles.resource_set(set_id), caller(request))


@get(f"{_SET}/resources")
async def _resources(request: OktaRequest, set_id: FromPath[str]) -> dict[str, Any]:
    found = org(request).admin_roles.resource_set(set_id)
    shown = [_resource(request, found, resource_id) for resource_id in found.resources]
    links = found.view(org_url(request))["_links"]
    return {"resources": shown, "_links": {"resource-set": links["self"], "self": links["resources"]}}


@patch(f"{_SET}/resources", status_code=200)
async def _add_resources(request: OktaRequest, set_id: FromPath[str]) -> dict[str, Any]:
    roles, more = org(request).admin_roles, decode(await request.body(), Additions, "resources")
    found = roles.resource_set(set_id)
    roles.add_resources(found, _kept_forms(request, more.additions))
    return found.view(org_url(request))


@delete(f"{_SET}/resources/{{resource_id:str}}")
async def _remove_resource(request: OktaRequest, set_id: FromPath[str], resource_id: FromPath[str]) -> None:
    found = org(request).admin_roles.resource_set(set_id)
    if found.resources.pop(resource_id, None) is None:
        raise not_found(f"{resource_id} (Resource)")


def _kept_forms(request: OktaRequest, named: tuple[str, ...]) -> list[str]:
    return [_kept_form(org(request), resource) for resource in named]


def _permission(request: OktaRequest, role: CustomRole, name: str) -> dict[str, Any]:
    shown = role.view(org_url(request))
    url = f"{shown['_links']['permissions']['href']}/{name}"
    given = iso(role.permissions[name], "milliseconds")
    return {
        "label": name,
        "created": given,
        "lastUpdated": given,
        "conditions": None,
        "_links": {"role": shown["_links"]["self"], "self": {"href": url}},
    }


def _resource(request: OktaRequest, found: ResourceSet, resource_id: str) -> dict[str, Any]:
    """Return a resource of a set as the API shows it.

    The link `self` is the URL of the resource itself. The link `resource` is the URL of the entry in the set. Recorded
    responses of Okta have these two links too.
    """
    emulator, resource = org(request), found.resources[resource_id]
    place = f"{org_url(request)}/api/v1/iam/resource-sets/{found.id}/resources/{resource_id}"
    return {
        "id": resource_id,
        "orn": _orn(emulator, resource),
        "created": iso(found.created, "milliseconds"),
        "lastUpdated": iso(found.updated, "milliseconds"),
        "_links": _resource_links(emulator, resource) | {"resource": {"href": place}},
    }


def _kept_form(emulator: Emulator, resource: str) -> str:
    """Convert `resource`, a URL or an ORN, to the form that a set stores: a URL if the API has one for this
    resource, else an ORN.

    Raises:
        OktaApiError: this org does not have the resource.
    """
    api = f"{emulator.settings.url}/api/v1/"
    if resource.startswith("orn:"):
        name = _ORN.fullmatch(resource)
        if name is None or name[1] != emulator.org_id:
            raise _unknown(resource)
        found = _ORN_WITH_URL.fullmatch(resource)
        if found is None:
            return resource
        path = (found[1] or found[2]).replace(":contained_resources", ":users").replace(":", "/")
    else:
        path = resource.removeprefix(api)
        if path == resource:
            raise _unknown(resource)
    kind, _, rest = path.partition("/")
    if kind == "groups" and rest:
        emulator.groups.find(rest.removesuffix("/users"))
    elif path not in {"users", "groups", "apps"}:
        raise _unknown(resource)
    return api + path


def _orn(emulator: Emulator, resource: str) -> str:
    """Return the ORN of a resource, which is a URL or an ORN."""
    if resource.startswith("orn:"):
        return resource
    path = resource.removeprefix(f"{emulator.settings.url}/api/v1/")
    service = "idp" if path == "apps" else "directory"
    name = re.sub("/users$", "/contained_resources", path).replace("/", ":")
    return f"orn:okta:{service}:{emulator.org_id}:{name}"


def _resource_links(emulator: Emulator, resource: str) -> dict[str, dict[str, str]]:
    """Return the `_links` to a resource. The links are empty for an ORN, such as the ORN of all admin roles, because
    the API has no URL for such a resource."""
    if resource.startswith("orn:"):
        return {}
    path = resource.removeprefix(f"{emulator.settings.url}/api/v1/")
    itself = {"href": resource}
    return ({path: itself} if path in {"users", "groups"} else {}) | {"self": itself}


def _unknown(resource: str) -> OktaApiError:
    return invalid("resources", f"resources: {resource} is not a resource of this org")


ROLE_ROUTES = (
    _roles,
    _create_role,
    _show_role,
    _replace_role,
    _delete_role,
    _permissions,
    _show_permission,
    _permit,
    _forbid,
    _sets,
    _create_set,
    _show_set,
    _replace_set,
    _delete_set,
    _resources,
    _add_resources,
    _remove_resource,
)
