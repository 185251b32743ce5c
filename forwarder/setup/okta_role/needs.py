"""Finds out which permissions the configured actions need in one org, and on which groups. Does no I/O."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from forwarder.core.action import WITHOUT_USER
from forwarder.react.settings.actions import AddToGroupSettings
from forwarder.react.settings.entries import WrittenAction, prompt_of, written
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.types import Mode

_USERS = ("okta.users.read",)
PERMISSIONS: Mapping[str, Sequence[str]] = {
    "revoke_sessions": ("okta.users.lifecycle.clearSessions",),
    "expire_password": ("okta.users.credentials.expirePassword",),
    "add_to_group": ("okta.users.groupMembership.manage", "okta.groups.members.manage", "okta.groups.read"),
    "suspend": ("okta.users.lifecycle.suspend", "okta.users.lifecycle.unsuspend"),
}
"""Action → permissions that it needs, besides the permission to read users.

The permission to clear sessions also allows revoking tokens.
"""

_NOT_ESTABLISHED: Mapping[str, str] = {
    "block_ip": "the Organization Administrator may write network zones",
    "user_risk": "the Super Administrator may set a user's risk",
    "universal_logout": "the Super Administrator may do it",
    "prompt": "the Help Desk Administrator, limited to groups, may use the factors of users (factors/verify)",
}
"""Action → the standard role that allows it. For these actions, Okta documents no permission of custom roles."""


class Needs(msgspec.Struct, frozen=True):
    """What the custom admin role must allow in one org.

    Attributes:
        permissions: the permissions on users and on `groups`; empty if no action needs any.
        groups: ids or names of the groups that actions add users to.
        reads_roles: whether the forwarder looks up the admin roles of users.
        notes: a line for each right that the custom role does not give.
    """

    permissions: frozenset[str]
    groups: tuple[str, ...]
    reads_roles: bool
    notes: tuple[str, ...]

    @property
    def acts_on_users(self) -> bool:
        """Whether any action changes a user or a group through the API of the org."""
        return bool(self.permissions)


def needs_of(reactions: ReactionsSettings, org: str, *, has_zones: bool) -> Needs:
    """Return what the role in `org` must allow for the actions that are not off.

    An action needs the same rights in the modes `shadow` and `enforce`, because it looks up users in both modes.
    """
    own = concerned(reactions, org)
    names = {each.do.name for each in own}
    permissions = {permission for name in names for permission in PERMISSIONS.get(name, ())}
    if any(name not in WITHOUT_USER | {"risk_event"} for name in names):
        permissions.update(_USERS)
    groups = dict.fromkeys(each.do.settings.group for each in own if isinstance(each.do.settings, AddToGroupSettings))
    reads_roles = bool(permissions) and reactions.protect.admins
    return Needs(frozenset(permissions), tuple(groups), reads_roles, tuple(_notes(own, has_zones=has_zones)))


def concerned(reactions: ReactionsSettings, org: str) -> list[WrittenAction]:
    """Return the actions that are configured for `org` and are not off."""
    return [
        each
        for each in written(reactions)
        if each.mode is not Mode.OFF and (each.entry.orgs is None or org in each.entry.orgs)
    ]


def _notes(own: Sequence[WrittenAction], *, has_zones: bool) -> Iterator[str]:
    names = {each.do.name for each in own if (prompt := prompt_of(each.do)) is None or prompt.by == "push"}
    if has_zones:
        names.add("block_ip")
    for name, text in _NOT_ESTABLISHED.items():
        if name in names:
            yield (
                f"this role does not allow {name}, because Okta does not document the permission for {name}. A standard role"
                f" is needed: {text}. Test this in a preview org: the app may then do more than this role allows"
            )
    yield (
        "this role does not allow reading the System Log: assign the Report Administrator to the app too. To manage the"
        " event hook, also assign a custom role with okta.eventhooks.manage"
    )
