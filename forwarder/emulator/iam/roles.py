"""Custom admin roles, resource sets, and the members that hold a role on a set."""

import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, iso
from forwarder.emulator.actors import Caller, Report
from forwarder.emulator.events.fixtures import entity, okta_id
from forwarder.emulator.http.errors import forbidden, invalid, not_found
from forwarder.emulator.iam.standard_roles import Assignment

_PERMISSION = re.compile(r"okta(\.[a-zA-Z]+)+")


class CustomRole(msgspec.Struct):
    """A custom admin role; `permissions` maps Okta's names of permissions to the time when each was added."""

    id: str
    label: str
    description: str
    permissions: dict[str, Micros]
    created: Micros
    updated: Micros

    def view(self, org_url: str) -> dict[str, Any]:
        """Return the role as the API shows it."""
        url = f"{org_url}/api/v1/iam/roles/{self.id}"
        return {
            "id": self.id,
            "label": self.label,
            "description": self.description,
            "created": iso(self.created, "milliseconds"),
            "lastUpdated": iso(self.updated, "milliseconds"),
            "_links": {"permissions": {"href": f"{url}/permissions"}, "self": {"href": url}},
        }


class Member(msgspec.Struct, frozen=True):
    """A user, group or app that got a role on a resource set at the time `since`."""

    url: str
    since: Micros


class Binding(msgspec.Struct):
    """The members that hold a role on a resource set. `members` maps the id of each membership to the member."""

    role: CustomRole
    members: dict[str, Member]


class ResourceSet(msgspec.Struct):
    """A set of resources; a role can be limited to the resources in a set. `resources` maps ids in the set to URLs or
    ORNs; `bindings` maps role ids to bindings."""

    id: str
    label: str
    description: str
    resources: dict[str, str]
    created: Micros
    updated: Micros
    bindings: dict[str, Binding] = msgspec.field(default_factory=dict)

    def view(self, org_url: str) -> dict[str, Any]:
        """Return the set as the API shows it."""
        url = f"{org_url}/api/v1/iam/resource-sets/{self.id}"
        return {
            "id": self.id,
            "label": self.label,
            "description": self.description,
            "created": iso(self.created, "milliseconds"),
            "lastUpdated": iso(self.updated, "milliseconds"),
            "_links": {
                "bindings": {"href": f"{url}/bindings"},
                "self": {"href": url},
                "resources": {"href": f"{url}/resources"},
            },
        }


class AdminRoles:
    """The custom roles and resource sets of an org. Methods raise OktaApiError where Okta would refuse the call."""

    def __init__(self, clock: Clock, random: Random, report: Report) -> None:
        self._clock = clock
        self._random = random
        self._report = report
        self._roles: dict[str, CustomRole] = {}
        self._sets: dict[str, ResourceSet] = {}

    def roles(self) -> Sequence[CustomRole]:
        """Return every custom role."""
        return tuple(self._roles.values())

    def sets(self) -> Sequence[ResourceSet]:
        """Return every resource set."""
        return tuple(self._sets.values())

    def role(self, key: str) -> CustomRole:
        """Return the role with this id or label."""
        for role in self._roles.values():
            if key in {role.id, role.label}:
                return role
        raise not_found(f"{key} (Role)")

    def resource_set(self, key: str) -> ResourceSet:
        """Return the resource set with this id or label."""
        for found in self._sets.values():
            if key in {found.id, found.label}:
                return found
        raise not_found(f"{key} (ResourceSet)")

    def held_by(self, member_url: str) -> Iterator[tuple[str, CustomRole, ResourceSet]]:
        """Yield the roles of one member. Each item is the member's id in the binding, the role, and the
        resource set."""
        for found in self._sets.values():
            for binding in found.bindings.values():
                for member_id, member in binding.members.items():
                    if member.url == member_url:
                        yield member_id, binding.role, found

    def shown_of(self, member_url: str, assignment: Assignment) -> list[dict[str, Any]]:
        """Return the roles of one member as the API shows them."""
        return [
            {
                "id": member_id,
                "label": role.label,
                "type": "CUSTOM",
                "status": "ACTIVE",
                "assignmentType": assignment,
                "role": role.id,
                "resource-set": found.id,
            }
            | _times(found.bindings[role.id].members[member_id].since)
            for member_id, role, found in self.held_by(member_url)
        ]

    def create_role(self, label: str, description: str, permissions: Sequence[str], caller: Caller) -> CustomRole:
        """Create a role."""
        if not permissions:
            raise invalid("permissions", "permissions: The field cannot be left blank")
        _check_permissions(permissions)
        if not label or any(role.label == label for role in self._roles.values()):
            raise invalid("label", "label: A role with this label already exists, or the label is blank.")
        now = self._clock.now()
        given = dict.fromkeys(permissions, now)
        role = CustomRole(okta_id("cr0", self._random), label, description, given, now, now)
        self._roles[role.id] = role
        self._report("iam.role.create", caller, target=[_entity(role)])
        return role

    def rename(self, thing: CustomRole | ResourceSet, label: str, description: str) -> None:
        """Change the label and description of a role or a resource set."""
        thing.label, thing.description, thing.updated = label, description, self._clock.now()

    def permit(self, role: CustomRole, permission: str, caller: Caller) -> None:
        """Add a permission to a role. If the role already has the permission, change nothing."""
        _check_permissions([permission])
        if permission not in role.permissions:
            role.updated = role.permissions[permission] = self._clock.now()
            self._report("iam.role.permissions.add", caller, target=[_entity(role)])

    def forbid(self, role: CustomRole, permission: str, caller: Caller) -> None:
        """Take a permission from a role."""
        if permission not in role.permissions:
            raise not_found(f"{permission} (Permission)")
        del role.permissions[permission]
        role.updated = self._clock.now()
        self._report("iam.role.permissions.delete", caller, target=[_entity(role)])

    def delete_role(self, role: CustomRole, caller: Caller) -> None:
        """Delete a role."""
        if any(role.id in found.bindings for found in self._sets.values()):
            raise forbidden("A role that is assigned cannot be deleted.")
        del self._roles[role.id]
        self._report("iam.role.delete", caller, target=[_entity(role)])

    def create_set(self, label: str, description: str, resources: Sequence[str], caller: Caller) -> ResourceSet:
        """Create a resource set."""
        if not label or any(found.label == label for found in self._sets.values()):
            raise invalid("label", "label: A set with this label already exists, or the label is blank.")
        now = self._clock.now()
        made = ResourceSet(okta_id("iam", self._random), label, description, {}, now, now)
        self._sets[made.id] = made
        self.add_resources(made, resources)
        self._report("iam.resourceset.create", caller, target=[_entity(made)])
        return made

    def add_resources(self, found: ResourceSet, resources: Sequence[str]) -> None:
        """Add resources to a set. Resources that the set already has stay unchanged."""
        for resource in resources:
            if resource not in found.resources.values():
                found.resources[okta_id("ire", self._random)] = resource
        found.updated = self._clock.now()

    def delete_set(self, found: ResourceSet, caller: Caller) -> None:
        """Delete a resource set and its bindings."""
        del self._sets[found.id]
        self._report("iam.resourceset.delete", caller, target=[_entity(found)])

    def bind(self, found: ResourceSet, role: CustomRole, members: Sequence[str], caller: Caller) -> Binding:
        """Give the members with these URLs a role on a set. Members that already hold the role stay
        unchanged."""
        binding = found.bindings.setdefault(role.id, Binding(role, {}))
        for url in members:
            if all(member.url != url for member in binding.members.values()):
                binding.members[okta_id("irb", self._random)] = Member(url, self._clock.now())
        self._report("iam.resourceset.bindings.add", caller, target=[_entity(found), _entity(role)])
        return binding

    def unbind(self, found: ResourceSet, role: CustomRole, member_id: str | None, caller: Caller) -> None:
        """Take a role on a set from one member, or from all members if `member_id` is None."""
        binding = found.bindings.get(role.id)
        if binding is None or (member_id is not None and member_id not in binding.members):
            raise not_found(f"{member_id or role.id} (Binding)")
        if member_id is not None:
            del binding.members[member_id]
        if member_id is None or not binding.members:
            del found.bindings[role.id]
        self._report("iam.resourceset.bindings.delete", caller, target=[_entity(found), _entity(role)])


def _times(since: Micros) -> dict[str, str]:
    return {"created": iso(since, "milliseconds"), "lastUpdated": iso(since, "milliseconds")}


def _entity(thing: CustomRole | ResourceSet) -> dict[str, Any]:
    kind = "Role" if isinstance(thing, CustomRole) else "ResourceSet"
    return entity(thing.id, kind, thing.label)


def _check_permissions(permissions: Sequence[str]) -> None:
    wrong = [name for name in permissions if not _PERMISSION.fullmatch(name)]
    if wrong:
        raise invalid("permissions", *(f"permissions: {name} is not a valid permission" for name in wrong))
