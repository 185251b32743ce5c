"""What a resource set holds: by the URL of Okta's API where there is one, else by Okta's resource name (ORN)."""

import re

from forwarder.emulator.http.errors import OktaApiError, invalid
from forwarder.emulator.org import Emulator

_NAME = re.compile(r"orn:okta:[a-z]+:([^:]+):.+")
_IN_API = re.compile(
    r"orn:okta:(?:directory:[^:]+:(users|groups(?::[^:]+(?::contained_resources)?)?)|idp:[^:]+:(apps))"
)


def meant(emulator: Emulator, resource: str) -> str:
    """Return what a URL or name means. Recordings show a URL also for what was added by its name.

    Raises:
        OktaApiError: this org does not have it.
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
    """Return Okta's name of a resource."""
    if resource.startswith("orn:"):
        return resource
    path = resource.removeprefix(f"{emulator.settings.url}/api/v1/")
    service = "idp" if path == "apps" else "directory"
    name = re.sub("/users$", "/contained_resources", path).replace("/", ":")
    return f"orn:okta:{service}:{emulator.org_id}:{name}"


def resource_links(emulator: Emulator, resource: str) -> dict[str, dict[str, str]]:
    """Return the links to what is meant; none to what the API does not have, as admin roles and who holds them."""
    if resource.startswith("orn:"):
        return {}
    path = resource.removeprefix(f"{emulator.settings.url}/api/v1/")
    itself = {"href": resource}
    return ({path: itself} if path in {"users", "groups"} else {}) | {"self": itself}


def _unknown(resource: str) -> OktaApiError:
    return invalid("resources", f"resources: {resource} is not a resource of this org")
