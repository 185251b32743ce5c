"""Which roles and resource sets an org should have, and how those that it has differ. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, urlsplit

import msgspec

from forwarder.setup.okta_role.groups import Group
from forwarder.setup.okta_role.iam import Held, Named
from forwarder.setup.okta_role.needs import Needs

OURS = "Managed by okta-forwarder"
"""How the description of all begins that this command makes; it changes nothing else."""

_ACTS, _LOOKS = "Forwarder reactions", "Forwarder look-ups"


class Grant(msgspec.Struct, frozen=True):
    """A custom role on a resource set that the app should have; both have the label `label`.

    Attributes:
        resources: the path of the URL, or the ORN, of each resource, with its name for an operator.
    """

    label: str
    description: str
    permissions: frozenset[str]
    resources: Mapping[str, str]


class Present(msgspec.Struct, frozen=True):
    """The role, the resource set and the assignment of a `Grant`, as the org has them.

    Attributes:
        resources: the path of the URL, or the ORN, of each resource, with its id in the set.
        held: whether the role on the set is assigned to the app.
    """

    role: Named | None = None
    permissions: frozenset[str] = frozenset()
    resource_set: Named | None = None
    resources: Mapping[str, str] = {}
    held: bool = False

    @property
    def problems(self) -> Iterator[str]:
        """Yield why the role or the set cannot be changed: the forwarder did not create it."""
        for kind, found in (("role", self.role), ("resource set", self.resource_set)):
            if found is not None and not found.description.startswith(OURS):
                yield f"the org has a {kind} {found.label!r} that others made; rename it in Okta"


class Difference(msgspec.Struct, frozen=True):
    """A change of an org: `sign` is + to add, - to remove; `what` is the kind, `shown` the printed name."""

    sign: str
    what: str
    key: str
    shown: str

    @property
    def line(self) -> str:
        """The change as text for an operator."""
        return f"{self.sign} {self.what} {self.shown}"


class Comparison(msgspec.Struct, frozen=True):
    """A grant, its parts as the org has them, and the changes that the org needs."""

    grant: Grant
    present: Present
    differences: tuple[Difference, ...]

    def keys(self, sign: str, what: str) -> list[str]:
        """Return the keys of the differences with this `sign` and this kind, as in "+" and "permission"."""
        return [each.key for each in self.differences if (each.sign, each.what) == (sign, what)]


def grants_of(
    needs: Needs, users_of: Sequence[Group], step_up: Sequence[Group], admin_roles: str
) -> list[Grant]:
    """Return the roles on resource sets that the app should have; empty if no action changes users.

    Args:
        needs: what the configured actions need.
        users_of: the groups on whose users the forwarder may act.
        step_up: the groups to which actions add users.
        admin_roles: the ORN that stands for all admin roles of the org.
    """
    if not needs.acts_on_users:
        return []
    resources = {f"/api/v1/groups/{quote(each.id)}/users": f"users of {each.name}" for each in users_of}
    resources |= {f"/api/v1/groups/{quote(each.id)}": f"group {each.name}" for each in step_up}
    acts = Grant(_ACTS, f"{OURS}: what its reactions do", needs.permissions, resources)
    # By the other role the forwarder sees only groups that are in its set, and would miss that a user is protected.
    everything = {"/api/v1/groups": "all groups"}
    permissions = {"okta.groups.read"}
    if needs.reads_roles:
        permissions.add("okta.iam.read")
        everything[admin_roles] = "admin roles and who holds them"
    looks = Grant(_LOOKS, f"{OURS}: whom its reactions spare", frozenset(permissions), everything)
    return [acts, looks]


def admin_roles_of(org_id: str, org_url: str) -> str:
    """Return the ORN that stands for all admin roles of an org; `org_url` shows if it is a preview org."""
    host = urlsplit(org_url).hostname or ""
    partition = "oktapreview" if host.endswith(".oktapreview.com") else "okta"
    return f"orn:{partition}:iam:{org_id}:contained_resources"


def compare(grant: Grant, present: Present, app: str) -> Comparison:
    """Compare what the org has with `grant`. `app` is the client id of the app; empty if there is none."""
    return Comparison(grant, present, tuple(_differences(grant, present, app)))


def _differences(grant: Grant, present: Present, app: str) -> Iterator[Difference]:
    if present.role is None:
        yield Difference("+", "role", grant.label, grant.label)
    yield from _sets("permission", {each: each for each in grant.permissions}, present.permissions)
    if present.resource_set is None:
        yield Difference("+", "resource set", grant.label, grant.label)
    yield from _sets("resource", grant.resources, present.resources)
    if app and not present.held:
        yield Difference("+", "assignment", app, f"to the app {app}")


def _sets(what: str, wanted: Mapping[str, str], found: Iterable[str]) -> Iterator[Difference]:
    has = set(found)
    for key in sorted(has - wanted.keys()):
        yield Difference("-", what, key, key)
    for key in sorted(wanted.keys() - has, key=lambda each: wanted[each]):
        yield Difference("+", what, key, wanted[key])


def choose_groups(groups: Sequence[Group], wanted: Sequence[str], kept: Iterable[str]) -> list[Group]:
    """Return the groups on whose users the forwarder may act.

    They are the wanted groups, else those that the resource set already has, else all groups; without those
    that contain administrators or protected users.

    Args:
        groups: the groups of the org.
        wanted: ids or names of groups that the operator gave.
        kept: the resources that the set has.
    """
    have = set(kept)
    if wanted:
        chosen = [group for group in groups if any(group.is_called(key) for key in wanted)]
    else:
        chosen = [group for group in groups if f"/api/v1/groups/{quote(group.id)}/users" in have]
    return [group for group in chosen or groups if not group.why_not]


def group_problems(needs: Needs, groups: Sequence[Group], wanted: Sequence[str]) -> Iterator[str]:
    """Yield the problems of the groups that the operator (`wanted`) and the configuration (`needs`) name."""
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
            yield f"add_to_group: {key} is of type {named[0].type}; only an OKTA_GROUP takes members by the API"
        elif named[0].role:
            yield f"add_to_group: {key} gives the admin role {named[0].role} to its users; name another group"


def other_roles(held: Iterable[Held], ids: Iterable[str]) -> list[str]:
    """Return the labels of the roles in `held` whose id is not among `ids`, those of our roles."""
    ours = set(ids)
    return [each.label for each in held if each.role not in ours]
