"""The groups of the emulated org, and their members."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, iso
from forwarder.emulator.actors import Caller, Report
from forwarder.emulator.events.fixtures import entity, okta_id
from forwarder.emulator.http.errors import OktaApiError, invalid, not_found
from forwarder.emulator.object_collection import Objects
from forwarder.emulator.users.directory import EmulatedUser, UserDirectory


class EmulatedGroup(msgspec.Struct):
    """A group. The API can change its members only if its type is OKTA_GROUP.

    Attributes:
        members: ids of the users in the group.
        roles: standard admin roles that members get, by Okta's names, such as HELP_DESK_ADMIN.
        apps: labels of the apps that are assigned to the group.
    """

    id: str
    name: str
    created: Micros
    type: str = "OKTA_GROUP"
    members: set[str] = msgspec.field(default_factory=set)
    roles: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    description: str | None = None

    def view(self, org_url: str) -> dict[str, Any]:
        """Return the group as the API shows it."""
        created = iso(self.created, "milliseconds")
        url = f"{org_url}/api/v1/groups/{self.id}"
        return {
            "id": self.id,
            "created": created,
            "lastUpdated": created,
            "lastMembershipUpdated": created,
            "objectClass": ["okta:user_group"],
            "type": self.type,
            "profile": {"name": self.name, "description": self.description},
            "_links": {"users": {"href": f"{url}/users"}, "apps": {"href": f"{url}/apps"}},
        }


class EmulatedGroups(Objects[EmulatedGroup]):
    """The groups of an org. Methods raise OktaApiError where Okta would refuse the call."""

    kind = "UserGroup"

    def __init__(
        self, things: Iterable[Mapping[str, Any]], users: UserDirectory, clock: Clock, random: Random, report: Report
    ) -> None:
        """Args: `things` are the groups that occur as targets of events; the org starts with `things`. The group
        Everyone contains all users, and the group Admins all admins. `report` writes an event about each change."""
        super().__init__()
        self._report = report
        self._clock = clock
        self._random = random
        now = clock.now()
        self._by_id = {thing["id"]: EmulatedGroup(thing["id"], thing["displayName"], now) for thing in things}
        for group in self._by_id.values():
            if group.name == "Everyone":
                group.type, group.members = "BUILT_IN", {user.id for user in users.all()}
            if group.name == "Admins":
                group.members, group.roles = ({user.id for user in users.all() if user.roles}, ("HELP_DESK_ADMIN",))

    def all(self, name: str = "") -> Sequence[EmulatedGroup]:
        """Return the groups whose names begin with `name`, ignoring case."""
        return [group for group in self._by_id.values() if group.name.casefold().startswith(name.casefold())]

    def named(self, key: str) -> EmulatedGroup:
        """Return the group with this id or name."""
        for group in self._by_id.values():
            if key in {group.id, group.name}:
                return group
        raise not_found(f"{key} (UserGroup)")

    def create(self, name: str) -> EmulatedGroup:
        """Add a group without members."""
        self._require_free(name)
        group = EmulatedGroup(okta_id("00g", self._random), name, self._clock.now())
        self._by_id[group.id] = group
        return group

    def replace(self, group: EmulatedGroup, name: str, description: str | None, caller: Caller) -> None:
        """Set the name and description of a group, and write an event. If neither value would change, do nothing."""
        _require_changeable(group)
        if (name, description) == (group.name, group.description):
            return
        if name != group.name:
            self._require_free(name)
        group.name, group.description = name, description
        self._report("group.profile.update", caller, target=[entity(group.id, "UserGroup", group.name)])

    def delete(self, group: EmulatedGroup) -> None:
        """Delete a group, without an event."""
        del self._by_id[group.id]

    def of(self, user: EmulatedUser) -> Sequence[EmulatedGroup]:
        """Return the groups that the user is a member of."""
        return [group for group in self._by_id.values() if user.id in group.members]

    def add(self, group: EmulatedGroup, user: EmulatedUser, caller: Caller) -> None:
        """Add a user to a group, and write an event. If the user is already a member, do nothing."""
        _require_changeable(group)
        if user.id not in group.members:
            group.members.add(user.id)
            self._change("group.user_membership.add", group, user, caller)

    def remove(self, group: EmulatedGroup, user: EmulatedUser, caller: Caller) -> None:
        """Remove a user from a group, and write an event. If the user is not a member, do nothing."""
        _require_changeable(group)
        if user.id in group.members:
            group.members.discard(user.id)
            self._change("group.user_membership.remove", group, user, caller)

    def _require_free(self, name: str) -> None:
        if not name or any(group.name == name for group in self._by_id.values()):
            raise invalid("name", "name: An object with this field already exists, or the field is empty.")

    def _change(self, event_type: str, group: EmulatedGroup, user: EmulatedUser, caller: Caller) -> None:
        self._report(event_type, caller, target=[user.entity(), entity(group.id, "UserGroup", group.name)])


def _require_changeable(group: EmulatedGroup) -> None:
    if group.type != "OKTA_GROUP":
        raise OktaApiError(403, "E0000038", "This operation is not allowed in the current group's type.")
