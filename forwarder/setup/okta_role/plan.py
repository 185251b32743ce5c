"""Finds out which roles and resource sets an org should have, and how the existing ones differ. Does no I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

import msgspec

from forwarder.core.urls import split_url
from forwarder.setup.okta_role.groups import OktaGroup
from forwarder.setup.okta_role.iam import Named
from forwarder.setup.okta_role.needs import Needs

OURS = "Managed by okta-forwarder"
"""The descriptions of all roles and resource sets that this command creates begin with this text. The command changes no
others."""

_ACTS, _LOOKS = "Forwarder reactions", "Forwarder look-ups"


class Grant(msgspec.Struct, frozen=True):
    """A custom role that the app should have on a resource set.

    Attributes:
        label: the label of the role, and also of the resource set.
        description: the description of the role, and also of the resource set.
        resources: the resources in the set. A key is the path of a resource's URL, or its ORN; the value is its name for
            an operator.
    """

    label: str
    description: str
    permissions: frozenset[str]
    resources: Mapping[str, str]


class Present(msgspec.Struct, frozen=True):
    """The role, the resource set and the assignment of a `Grant`, as the org has them.

    Attributes:
        resources: the resources in the set. A key is the path of a resource's URL, or its ORN; the value is its id in
            the set.
        held: whether the role is assigned to the app on this resource set.
    """

    role: Named | None = None
    permissions: frozenset[str] = frozenset()
    resource_set: Named | None = None
    resources: Mapping[str, str] = {}
    held: bool = False

    @property
    def problems(self) -> Iterator[str]:
        """Yield a line if someone else made the role, and a line if someone else made the resource set, because the
        forwarder must not change what others made."""
        for kind, found in (("role", self.role), ("resource set", self.resource_set)):
            if found is not None and not found.description.startswith(OURS):
                yield f"the org has a {kind} {found.label!r} that this command did not create; rename it in Okta"


class NeededChange(msgspec.Struct, frozen=True):
    """A change that an org needs.

    Attributes:
        sign: + to add something, - to remove it.
        what: the kind of thing, such as "permission".
        key: what identifies the thing, such as the label of a permission.
        shown: the name of the thing for an operator.
    """

    sign: str
    what: str
    key: str
    shown: str

    @property
    def line(self) -> str:
        """The change as text for an operator."""
        return f"{self.sign} {self.what} {self.shown}"


class GrantComparison(msgspec.Struct, frozen=True):
    """A grant, the parts of it that the org has, and the changes that the org needs."""

    grant: Grant
    present: Present
    differences: tuple[NeededChange, ...]

    def keys(self, sign: str, what: str) -> list[str]:
        """Return the keys of the differences with this `sign` and this kind.

        For example, "+" and "permission" select the permissions to add.
        """
        return [each.key for each in self.differences if (each.sign, each.what) == (sign, what)]


def grants_of(
    needs: Needs, users_of: Sequence[OktaGroup], step_up: Sequence[OktaGroup], admin_roles: str
) -> list[Grant]:
    """Return the custom roles on resource sets that the app should have; empty if no action changes users.

    The forwarder may act on the users of the groups `users_of`, and add users to the groups `step_up`. `admin_roles`
    is the ORN that stands for all admin roles of the org.
    """
    if not needs.acts_on_users:
        return []
    resources = {f"/api/v1/groups/{quote(each.id)}/users": f"users of {each.name}" for each in users_of}
    resources |= {f"/api/v1/groups/{quote(each.id)}": f"group {each.name}" for each in step_up}
    acts = Grant(_ACTS, f"{OURS}: what its reactions do", needs.permissions, resources)
    # The first role shows the forwarder only the groups in its resource set. With that role alone, it could not see that a
    # user is in a protected group.
    everything = {"/api/v1/groups": "all groups"}
    permissions = {"okta.groups.read"}
    if needs.reads_roles:
        permissions.add("okta.iam.read")
        everything[admin_roles] = "admin roles and who holds them"
    looks = Grant(_LOOKS, f"{OURS}: whom its reactions spare", frozenset(permissions), everything)
    return [acts, looks]


def admin_roles_of(org_id: str, org_url: str) -> str:
    """Return the ORN that stands for all admin roles of an org. `org_url` shows whether the org is a preview org."""
    host = split_url(org_url).hostname or ""
    partition = "oktapreview" if host.endswith(".oktapreview.com") else "okta"
    return f"orn:{partition}:iam:{org_id}:contained_resources"


def compare(grant: Grant, present: Present, app: str) -> GrantComparison:
    """Compare what the org has with `grant`. `app` is the client id of the service app; empty if there is none."""
    return GrantComparison(grant, present, tuple(_differences(grant, present, app)))


def _differences(grant: Grant, present: Present, app: str) -> Iterator[NeededChange]:
    if present.role is None:
        yield NeededChange("+", "role", grant.label, grant.label)
    yield from _sets("permission", {each: each for each in grant.permissions}, present.permissions)
    if present.resource_set is None:
        yield NeededChange("+", "resource set", grant.label, grant.label)
    yield from _sets("resource", grant.resources, present.resources)
    if app and not present.held:
        yield NeededChange("+", "assignment", app, f"to the app {app}")


def _sets(what: str, wanted: Mapping[str, str], found: Iterable[str]) -> Iterator[NeededChange]:
    has = set(found)
    for key in sorted(has - wanted.keys()):
        yield NeededChange("-", what, key, key)
    for key in sorted(wanted.keys() - has, key=lambda each: wanted[each]):
        yield NeededChange("+", what, key, wanted[key])


def choose_groups(groups: Sequence[OktaGroup], wanted: Sequence[str], kept: Iterable[str]) -> list[OktaGroup]:
    """Return the groups whose users the forwarder may act on.

    These are the groups in `wanted`, the ids or names that the operator gave. If `wanted` is empty, they are the groups
    that the resource set already has; `kept` are the keys of its resources. If no group is found in this way, they are
    all groups of the org. Groups with administrators or protected users are always left out.
    """
    have = set(kept)
    if wanted:
        chosen = [group for group in groups if any(group.is_called(key) for key in wanted)]
    else:
        chosen = [group for group in groups if f"/api/v1/groups/{quote(group.id)}/users" in have]
    return [group for group in chosen or groups if not group.why_not]


def group_problems(needs: Needs, groups: Sequence[OktaGroup], wanted: Sequence[str]) -> Iterator[str]:
    """Yield a line for each problem with a group that the operator gave (`wanted`) or the configuration names (`needs`)."""
    for key in wanted:
        named = [group for group in groups if group.is_called(key)]
        if not named:
            yield f"--group: the org has no group {key}"
        for group in named:
            if group.why_not:
                yield f"--group: {group.name} must not be in the set: {group.why_not}"
    for key in needs.groups:
        named = [group for group in groups if group.is_called(key)]
        if not named:
            yield f"add_to_group: the org has no group {key}; create it, or correct its name"
        elif len(named) > 1:
            yield f"add_to_group: the org has {len(named)} groups called {key}; write the id of one"
        elif named[0].type != "OKTA_GROUP":
            yield (
                f"add_to_group: {key} has the type {named[0].type}, but the API can add members only to an OKTA_GROUP;"
                " name another group"
            )
        elif named[0].role:
            yield f"add_to_group: {key} gives the admin role {named[0].role} to its users; name another group"
