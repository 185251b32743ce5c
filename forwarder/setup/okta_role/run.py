"""Compares the admin roles of the service app with what the configured actions need, and changes the roles."""

from collections.abc import Sequence

import msgspec

from forwarder.core.errors import OktaError
from forwarder.okta.api.port import Api
from forwarder.react.settings.section import ReactionsSettings
from forwarder.setup.okta_role.groups import OktaGroup, groups_of_org
from forwarder.setup.okta_role.iam import Iam
from forwarder.setup.okta_role.needs import Needs
from forwarder.setup.okta_role.plan import (
    GrantComparison,
    Present,
    admin_roles_of,
    choose_groups,
    compare,
    grants_of,
    group_problems,
)


class RoleOptions(msgspec.Struct, frozen=True):
    """The input of the command.

    Attributes:
        url: the URL of the org, without a slash at its end.
        client_id: the client id of the service app; empty if the forwarder uses an API token.
        groups: names or ids of the groups whose users the forwarder may act on. If empty, `choose_groups` chooses
            them.
    """

    url: str
    client_id: str
    needs: Needs
    reactions: ReactionsSettings
    groups: tuple[str, ...] = ()


class RoleComparison(msgspec.Struct, frozen=True):
    """The result of comparing an org with the roles and resource sets that it should have.

    Attributes:
        comparisons: a comparison for each role and its resource set.
        problems: a line for each reason why nothing can be changed.
        notes: a line for each fact that an operator should know.
    """

    comparisons: tuple[GrantComparison, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_as_it_should_be(self) -> bool:
        """Whether there is no problem and no difference."""
        return not self.problems and not any(each.differences for each in self.comparisons)


async def look(api: Api, wanted: RoleOptions) -> RoleComparison:
    """Compare the org with the roles and resource sets that it should have; change nothing.

    Raises:
        OktaError: Okta refuses or does not respond.
    """
    notes = list(wanted.needs.notes)
    if not wanted.client_id:
        notes.append(
            "an API token has the rights of the admin who made it, so no role can limit it; use a service app "
            "(orgs.NAME.api.client_id), to which the role is assigned"
        )
    if not wanted.needs.acts_on_users:
        return RoleComparison(notes=("no configured action needs an admin role for users or groups", *notes))
    iam = Iam(api)
    protect = wanted.reactions.protect
    groups, unknown = await groups_of_org(api, await iam.administrators(), protect.users, protect.groups)
    problems = [f"{line}; correct it, because a wrong name protects no one" for line in unknown]
    problems += group_problems(wanted.needs, groups, wanted.groups)
    names = [grant.label for grant in grants_of(wanted.needs, (), (), "")]
    presents = {name: await _present(iam, name, wanted.client_id) for name in names}
    step_up = [each for each in groups if any(each.is_called(key) for key in wanted.needs.groups)]
    chosen = choose_groups(groups, wanted.groups, presents[names[0]].resources)
    chosen = [each for each in chosen if each not in step_up]
    if not chosen:
        problems.append(_no_group(groups))
    grants = grants_of(wanted.needs, chosen, step_up, await _admin_roles(api, wanted.url))
    problems += [line for each in presents.values() for line in each.problems]
    comparisons = tuple(compare(grant, presents[grant.label], wanted.client_id) for grant in grants)
    notes += await _widening(iam, wanted.client_id, presents)
    return RoleComparison(comparisons, tuple(problems), (*notes, *_left_out(groups, chosen, step_up)))


async def apply(api: Api, wanted: RoleOptions, found: RoleComparison) -> RoleComparison:
    """Make the changes in `found`, compare again, and return the new result.

    Raises:
        OktaError: Okta refuses or does not respond. Changes that are already made stay; another run makes the rest.
    """
    iam = Iam(api)
    for each in found.comparisons:
        await _apply(iam, wanted, each)
    return await look(api, wanted)


async def _apply(iam: Iam, wanted: RoleOptions, found: GrantComparison) -> None:
    """Make the changes of one comparison: removals before additions, and the assignment of the role to the app last."""
    grant, present = found.grant, found.present
    added = [_url(wanted, each) for each in found.keys("+", "resource")]
    if present.role is None:
        await iam.create_role(grant.label, grant.description, sorted(grant.permissions))
    else:
        for each in found.keys("-", "permission"):
            await iam.forbid(present.role, each)
        for each in found.keys("+", "permission"):
            await iam.permit(present.role, each)
    if present.resource_set is None:
        await iam.create_set(grant.label, grant.description, added)
    else:
        for each in found.keys("-", "resource"):
            await iam.remove_resource(present.resource_set, present.resources[each])
        if added:
            await iam.add_resources(present.resource_set, added)
    if found.keys("+", "assignment"):
        role, resource_set = await iam.role(grant.label), await iam.resource_set(grant.label)
        if role is None or resource_set is None:
            raise OktaError(
                f"Okta does not show the new role and resource set {grant.label} yet; run the command again"
            )
        await iam.assign(wanted.client_id, role, resource_set)


async def _present(iam: Iam, label: str, client_id: str) -> Present:
    role, resource_set = await iam.role(label), await iam.resource_set(label)
    held = await iam.held_by(client_id) if client_id and role and resource_set else []
    return Present(
        role,
        await iam.permissions(role) if role else frozenset(),
        resource_set,
        await iam.resources(resource_set) if resource_set else {},
        any(role and resource_set and (each.role, each.resource_set) == (role.id, resource_set.id) for each in held),
    )


async def _widening(iam: Iam, client_id: str, presents: dict[str, Present]) -> list[str]:
    """Return a line for each other admin role of the app, because our roles do not limit what another role allows."""
    if not client_id:
        return []
    ours = {present.role.id for present in presents.values() if present.role}
    return [
        f"the app {client_id} also has the role {held.label}, so the app may do whatever that role allows; if that role can change"
        " users, remove it in the Admin Console (the app > Admin roles)"
        for held in await iam.held_by(client_id)
        if held.role not in ours
    ]


async def _admin_roles(api: Api, url: str) -> str:
    found = (await api.call("GET", "/.well-known/okta-organization")).json()
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise OktaError("Okta's answer to GET /.well-known/okta-organization has no id")
    # If `url` has the org's custom domain, this response contains the org's URL at Okta.
    links = found.get("_links")
    link = links.get("organization") if isinstance(links, dict) else None
    href = link.get("href") if isinstance(link, dict) else None
    return admin_roles_of(found["id"], str(href or url))


def _url(wanted: RoleOptions, resource: str) -> str:
    return wanted.url + resource if resource.startswith("/") else resource


def _no_group(groups: Sequence[OktaGroup]) -> str:
    reasons = "; ".join(f"{each.name}: {each.why_not or 'left out by --group'}" for each in groups[:5])
    return f"the org has no group on whose users the forwarder may act ({reasons}); create a group with the users on whom reactions may act, for example by a group rule"


def _left_out(groups: Sequence[OktaGroup], chosen: Sequence[OktaGroup], step_up: Sequence[OktaGroup]) -> list[str]:
    """Return the lines about the groups that are not in the resource set.

    A group whose users the forwarder must not act on has its own line, with the reason. One line names all other
    groups.
    """
    lines = [f"left out: {each.name}, because {each.why_not}" for each in groups if each.why_not]
    others = [each.name for each in groups if not each.why_not and each not in [*chosen, *step_up]]
    if others:
        lines.append(
            f"not in the set: {', '.join(others[:10])}; to change the set, name all its groups, each with a --group"
        )
    return lines
