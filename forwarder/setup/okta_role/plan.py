"""What roles and resource sets the org should have, and how they differ from what it has. Pure."""

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
    """A role on a resource set; both have this label.

    Attributes:
        resources: path of a URL, or name, of each, with a name for a person.
    """

    label: str
    description: str
    permissions: frozenset[str]
    resources: Mapping[str, str]


class Present(msgspec.Struct, frozen=True):
    """What the org has of a grant.

    Attributes:
        resources: what is meant, with its id in the set.
        held: whether the app holds the role on the set.
    """

    role: Named | None = None
    permissions: frozenset[str] = frozenset()
    resource_set: Named | None = None
    resources: Mapping[str, str] = {}
    held: bool = False

    @property
    def problems(self) -> Iterator[str]:
        """Yield why it cannot be changed."""
        for kind, found in (("role", self.role), ("resource set", self.resource_set)):
            if found is not None and not found.description.startswith(OURS):
                yield f"the org has a {kind} {found.label!r} that others made; rename it in Okta"


class Difference(msgspec.Struct, frozen=True):
    """One change: `sign` is + for what is missing, - for what is too much."""

    sign: str
    what: str
    key: str
    shown: str

    @property
    def line(self) -> str:
        """The change for a person."""
        return f"{self.sign} {self.what} {self.shown}"


class Comparison(msgspec.Struct, frozen=True):
    """A grant, what the org has of it, and how that differs."""

    grant: Grant
    present: Present
    differences: tuple[Difference, ...]

    def keys(self, sign: str, what: str) -> list[str]:
        """Return the keys of the differences of one sign and one kind, as of + and permission."""
        return [each.key for each in self.differences if (each.sign, each.what) == (sign, what)]


def grants_of(
    needs: Needs, users_of: Sequence[Group], step_up: Sequence[Group], admin_roles: str
) -> list[Grant]:
    """Return what the app should hold.

    Args:
        needs: of the actions.
        users_of: groups whose users may be acted on.
        step_up: groups to which users are added.
        admin_roles: the name of all admin roles of the org.
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
    """Return Okta's name (ORN) of all admin roles of an org, by its URL at Okta: preview orgs have a partition of their own."""
    host = urlsplit(org_url).hostname or ""
    partition = "oktapreview" if host.endswith(".oktapreview.com") else "okta"
    return f"orn:{partition}:iam:{org_id}:contained_resources"


def compare(grant: Grant, present: Present, app: str) -> Comparison:
    """Return how what the org has differs. `app` is the client id of the app; empty if there is none."""
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
    """Return the groups whose users may be acted on: the wanted ones, else those that the set has, else all, and of these
    the ones without administrators and protected users.

    Args:
        groups: of the org.
        wanted: ids or names that the operator named.
        kept: the resources of the set.
    """
    have = set(kept)
    if wanted:
        chosen = [group for group in groups if any(group.is_called(key) for key in wanted)]
    else:
        chosen = [group for group in groups if f"/api/v1/groups/{quote(group.id)}/users" in have]
    return [group for group in chosen or groups if not group.why_not]


def group_problems(needs: Needs, groups: Sequence[Group], wanted: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the groups that the operator and the configuration name."""
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
    """Return the labels of the app's roles that are not ours, by the ids of ours."""
    ours = set(ids)
    return [each.label for each in held if each.role not in ours]
