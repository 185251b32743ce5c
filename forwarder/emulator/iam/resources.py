"""The resources in a resource set. Each resource is a URL of Okta's API, or an Okta resource name (ORN) if
the API has no URL for this resource."""

import re

from forwarder.emulator.http.errors import OktaApiError, invalid
from forwarder.emulator.org import Emulator

_NAME = re.compile(r"orn:okta:[a-z]+:([^:]+):.+")
_IN_API = re.compile(
    r"orn:okta:(?:directory:[^:]+:(users|groups(?::[^:]+(?::contained_resources)?)?)|idp:[^:]+:(apps))"
)


def meant(emulator: Emulator, resource: str) -> str:
    """Return a resource in the form in which a set keeps it: as a URL if the API has a URL for this resource,
    else as an ORN. `resource` may be a URL or an ORN.

    Raises:
        OktaApiError: this org does not have the resource.
    """
    api = f"{emulator.settings.url}/api/v1/"
    if resource.startswith("orn:"):
        name = _NAME.fullmatch(resource)
        if name is None or name[1] != emulator.org_id:
            raise _unknown(resource)
        found = _IN_API.fullmatch(resource)
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


def orn(emulator: Emulator, resource: str) -> str:
    """Return the ORN of a resource, which is a URL or an ORN."""
    if resource.startswith("orn:"):
        return resource
    path = resource.removeprefix(f"{emulator.settings.url}/api/v1/")
    service = "idp" if path == "apps" else "directory"
    name = re.sub("/users$", "/contained_resources", path).replace("/", ":")
    return f"orn:okta:{service}:{emulator.org_id}:{name}"


def resource_links(emulator: Emulator, resource: str) -> dict[str, dict[str, str]]:
    """Return the `_links` to a resource. They are empty for an ORN, because the API has no URL for this
    resource. (Admin roles are such resources.)"""
    if resource.startswith("orn:"):
        return {}
    path = resource.removeprefix(f"{emulator.settings.url}/api/v1/")
    itself = {"href": resource}
    return ({path: itself} if path in {"users", "groups"} else {}) | {"self": itself}


def _unknown(resource: str) -> OktaApiError:
    return invalid("resources", f"resources: {resource} is not a resource of this org")
