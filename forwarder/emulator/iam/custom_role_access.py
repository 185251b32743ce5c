"""Checks the rights of an app that has no standard admin role. Each custom role of the app gives permissions on the
resources in a resource set."""

import re
from collections.abc import Iterator

from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.errors import OktaApiError, forbidden

_USER, _GROUP = r"/api/v1/users/([^/]+)", r"/api/v1/groups/([^/]+)"

_NEEDED = (
    ("GET", re.compile(_USER), "okta.users.read"),
    ("GET", re.compile(f"{_USER}/(?:groups|factors)"), "okta.users.read"),
    ("DELETE", re.compile(f"{_USER}/sessions"), "okta.users.lifecycle.clearSessions"),
    ("POST", re.compile(f"{_USER}/lifecycle/suspend"), "okta.users.lifecycle.suspend"),
    ("POST", re.compile(f"{_USER}/lifecycle/unsuspend"), "okta.users.lifecycle.unsuspend"),
    ("POST", re.compile(f"{_USER}/lifecycle/expire_password"), "okta.users.credentials.expirePassword"),
    ("GET", re.compile(_GROUP), "okta.groups.read"),
    ("GET", re.compile(f"{_GROUP}/users"), "okta.groups.read"),
    ("PUT", re.compile(f"{_GROUP}/users/([^/]+)"), "okta.groups.members.manage"),
    ("DELETE", re.compile(f"{_GROUP}/users/([^/]+)"), "okta.groups.members.manage"),
)
"""For each method and path: the permission that a call needs on the user or group in the path.

`okta.users.manage` and `okta.groups.manage` include these permissions.
"""


def check_access(emulator: Emulator, client_id: str, method: str, path: str) -> None:
    """Check that the roles of the app `client_id` allow a call.

    A call that is not in `_NEEDED` is allowed for an app with any role. For such a call, we do not know which
    permission Okta requires.

    Raises:
        OktaApiError: no role of the app allows the call, or the app has no role.
    """
    if emulator.settings.clients[client_id].admin:
        return
    url = f"{emulator.settings.url}/oauth2/v1/clients/{client_id}"
    held = [(role.permissions, found) for _, role, found in emulator.admin_roles.held_by(url)]
    if not held:
        raise forbidden()
    for verb, pattern, permission in _NEEDED:
        match = pattern.fullmatch(path)
        if verb != method or match is None:
            continue
        of_kind = "okta.groups.manage" if path.startswith("/api/v1/groups/") else "okta.users.manage"
        granting = {permission, of_kind}
        resources = {
            resource
            for permissions, found in held
            if granting & set(permissions)
            for resource in found.resources.values()
        }
        if not resources & set(_holders(emulator, path, match[1])):
            raise forbidden()
        return


def _holders(emulator: Emulator, path: str, key: str) -> Iterator[str]:
    """Yield the URLs of all resources that include the user or group `key`. `path` shows whether `key` is a
    user or a group."""
    api = f"{emulator.settings.url}/api/v1"
    if path.startswith("/api/v1/groups/"):
        yield from (f"{api}/groups", f"{api}/groups/{key}")
        return
    yield f"{api}/users"
    try:
        user = emulator.users.in_path(key)
    except OktaApiError:
        return
    for group in emulator.groups.of(user):
        yield from (f"{api}/groups/{group.id}", f"{api}/groups/{group.id}/users")
