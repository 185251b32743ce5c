"""Checks of what reactions need in an org.

They cover the right to read users, the admin role, the protected users and groups, and the groups of add_to_group.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.core.wording import listed
from forwarder.doctor.check import Check, Finding, Found, fail, ok, warn
from forwarder.doctor.context import Context
from forwarder.doctor.okta import split_hint, with_api
from forwarder.okta.api.port import not_okta
from forwarder.react.guards.directory import Directory, LookUpError
from forwarder.react.settings.actions import AddToGroupSettings
from forwarder.reaction_runner.okta_calls import OktaCalls
from forwarder.settings import Settings
from forwarder.setup.okta_role.groups import pages
from forwarder.setup.okta_role.iam import Iam, Named
from forwarder.setup.okta_role.needs import concerned, needs_of

HEADING = "Reactions"
_SAMPLE = {"limit": "20"}
_HARMLESS = {"Read-only Administrator", "Read Only Administrator", "Report Administrator"}


def names_in(settings: Settings, org: str) -> set[str]:
    """Return the names of the actions that reactions may take in `org`. Actions that are off are left out."""
    return {each.do.name for each in concerned(settings.reactions, org)}


def orgs_with(*actions: str, settings: Settings) -> Iterable[str]:
    """Return the names of the orgs in which reactions may take at least one of `actions`.

    Orgs without the section `api`, and actions that are off, are left out.
    """
    return [name for name in with_api(settings) if names_in(settings, name) & set(actions)]


def _about_users(settings: Settings) -> Iterable[str]:
    return [name for name in with_api(settings) if names_in(settings, name) - {"notify", "block_ip"}]


def _acting(settings: Settings) -> Iterable[str]:
    return [name for name in with_api(settings) if names_in(settings, name) - {"notify"}]


def refused(name: str, what: str, error: OktaError, scope: str) -> Finding:
    """Return a finding that says what Okta refuses to show, and how the operator can allow it.

    `what` is a phrase such as "users cannot be read". `scope` is the OAuth scope that is probably missing.
    """
    seen, hint = split_hint(error)
    # If one requested scope was not granted, Okta refuses to issue a token at all, and names that scope.
    return fail(f"{what}: {seen}", hint if hint and "invalid_scope" in seen else _grant(name, scope))


async def users_of(context: Context, name: str) -> list[Mapping[str, Any]]:
    """Return some active users of the org `name`: the active ones of the first 20 users that the credentials may read.

    Raises:
        OktaError: Okta refuses the call, does not respond, or its response is not a list of users.
    """
    found = (await context.okta(name).call("GET", "/api/v1/users", query=_SAMPLE)).json()
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise not_okta("a list of users")
    return [each for each in found if each.get("status") == "ACTIVE"]


async def _access(context: Context, name: str) -> Found:
    """Check that a user can be looked up, as the guards of reactions do before each action on a user."""
    try:
        users = await users_of(context, name)
    except OktaError as error:
        return refused(name, "users cannot be read", error, "okta.users.read")
    if not users:
        return fail(
            "the credentials do not allow reading any active user, so no action can be carried out",
            f"add users to the admin role: run `forwarder setup okta-role --org {name}`",
        )
    user_id = str(users[0].get("id"))
    protect, now = context.settings.reactions.protect, context.clock.now()
    try:
        await _directory(context).person(name, user_id, protect, now, now)
    except LookUpError as error:
        seen = f"a user cannot be looked up, so every action on a user is refused: {error}"
        return fail(seen, _grant(name, "okta.groups.read and okta.roles.read"))
    names = names_in(context.settings, name)
    if "user_risk" in names:
        try:
            await context.okta(name).call("GET", f"/api/v1/users/{quote(user_id)}/risk")
        except OktaError as error:
            return refused(name, "a user's risk cannot be read", error, "okta.userRisk.manage")
    unknown = " (only the first universal_logout shows whether that action is allowed)" * ("universal_logout" in names)
    return ok(f"the credentials are allowed to look up users, which the guards need{unknown}")


async def _role(context: Context, name: str) -> Found:
    api = context.org(name).api
    assert api is not None
    if api.client_id is None:
        if api.token_id is None:
            return warn(
                "the id of the API token is unknown, so reactions cannot distinguish events that the forwarder "
                "caused from events that the token's admin caused, and may act on the forwarder's own events",
                f"set `orgs.{name}.api.token_id` (00T…, under Security > API > Tokens), or use a service app",
            )
        return ok(f"the API token {api.token_id} has the rights of the admin who made it")
    iam, run = Iam(context.okta(name)), f"`forwarder setup okta-role --org {name} --apply`"
    try:
        roles = await iam.held_by(api.client_id)
        custom = [Named(each.role, each.label, "") for each in roles if each.role]
        permissions = {permission for role in custom for permission in await iam.permissions(role)}
    except OktaError as error:
        judge = fail if context.settings.reactions.protect.admins else warn
        seen = f"the app's admin roles cannot be read; perhaps the app has no admin role: {error}"
        return judge(seen, f"run {run}, and grant the app the scope okta.roles.read")
    if not roles:
        return fail(f"the app {api.client_id} has no admin role, so Okta refuses its calls", f"run {run}")
    if wide := [each.label for each in roles if not each.role and each.label not in _HARMLESS]:
        return warn(
            f"the app has the role {wide[0]}, so Okta does not limit what reactions can do, even to administrators",
            f"run {run}, then remove {wide[0]} from the app (Admin roles), if nothing else needs it",
        )
    needs = needs_of(context.settings.reactions, name, has_zones=False).permissions
    if missing := sorted(each for each in needs - permissions if not _included(each, permissions)):
        return fail(f"the app's roles lack {', '.join(missing)}", f"run {run}")
    return ok(f"the app's roles allow what the actions need: {', '.join(each.label for each in roles)}")


def _included(permission: str, permissions: set[str]) -> bool:
    """Whether `permissions` has the `manage` permission that includes `permission`."""
    return f"okta.{permission.split('.')[1]}.manage" in permissions


async def _protected(context: Context, name: str) -> Found:
    protect, directory = context.settings.reactions.protect, _directory(context)
    judge = fail if len(list(_acting(context.settings))) < 2 else warn
    fix = "correct this entry: as it is written, it protects no user"
    found: list[Finding] = []
    try:
        unknown = await directory.unknown_groups(name, protect.groups)
    except LookUpError as error:
        return fail(f"the protected groups cannot be looked up: {error}", _grant(name, "okta.groups.read"))
    found += [judge(f"`reactions.protect.groups`: the org has no group {each}", fix) for each in unknown]
    for login in protect.users:
        try:
            await context.okta(name).call("GET", f"/api/v1/users/{quote(login, safe='')}")
        except OktaRefusedError as error:
            if error.status == 404:
                found.append(judge(f"`reactions.protect.users`: the org has no user {login}", fix))
            elif error.status != 403:  # expected: the role of `setup okta-role` cannot read protected users
                found.append(refused(name, f"the protected user {login} cannot be read", error, "okta.users.read"))
    if not (protect.users or protect.groups):
        return warn("no user and no group is protected", "name your break-glass accounts in `reactions.protect`")
    return found or ok(
        f"every user and group in `reactions.protect` exists: {listed([*protect.users, *protect.groups], 5)}"
    )


async def _groups(context: Context, name: str) -> Found:
    wanted = dict.fromkeys(
        each.do.settings.group
        for each in concerned(context.settings.reactions, name)
        if isinstance(each.do.settings, AddToGroupSettings)
    )
    try:
        found = [finding for key in wanted for finding in await _group(context, name, key)]
    except OktaError as error:
        return refused(name, "the groups of add_to_group cannot be read", error, "okta.groups.manage")
    return found or ok(f"these groups have no roles, rules or apps: {listed(list(wanted), 5)}")


async def _group(context: Context, name: str, key: str) -> list[Finding]:
    """Return the problems of a group to which the action add_to_group adds users.

    `key` is the name or the id of the group, as written in the settings.
    """
    named = [
        each
        for each in await pages(context.okta(name), "/api/v1/groups", {"q": key, "limit": "200"})
        if isinstance(profile := each.get("profile"), Mapping) and profile.get("name") == key
    ] or await _by_id(context, name, key)
    if not named:
        return [fail(f"add_to_group: the org has no group {key}", "create the group, or correct its name")]
    if len(named) > 1:
        seen = f"add_to_group: {len(named)} groups have the name {key}"
        return [fail(seen, "write the id of the group instead")]
    if (kind := named[0].get("type")) != "OKTA_GROUP":
        seen = f"add_to_group: {key} is of type {kind}, so the API cannot change its members"
        return [fail(seen, "name an OKTA_GROUP")]
    return await _side_effects(context, name, key, str(named[0].get("id")))


async def _side_effects(context: Context, name: str, key: str, group_id: str) -> list[Finding]:
    """Return the problems of the group `group_id`: admin roles and apps that its users get, and rules that fill it.

    `key` is the name or the id of the group, as written in the settings.
    """
    api, path = context.okta(name), f"/api/v1/groups/{quote(group_id)}"
    found = []
    if roles := await pages(api, f"{path}/roles"):
        role = roles[0].get("label") or roles[0].get("type")
        seen = f"add_to_group: {key} gives its users the admin role {role}"
        found.append(fail(seen, "remove the role, or name another group"))
    if apps := await pages(api, f"{path}/apps"):
        seen = f"add_to_group: {key} gives its users the app {apps[0].get('label')}"
        fix = "remove the group from the app, or name a group that only sign-in policies use, as a condition"
        found.append(fail(seen, fix))
    if rules := [rule for rule in await pages(api, "/api/v1/groups/rules") if group_id in _feeds(rule)]:
        seen = (
            f"add_to_group: the group rule {rules[0].get('name')} also adds users to {key}, so the undo of an action "
            "may not remove the user"
        )
        found.append(fail(seen, "remove the group from the rule, or name another group"))
    return found


async def _by_id(context: Context, name: str, key: str) -> list[Mapping[str, Any]]:
    try:
        found = (await context.okta(name).call("GET", f"/api/v1/groups/{quote(key, safe='')}")).json()
    except OktaRefusedError as error:
        # For an unknown group, Okta answers 403 if our role is limited to certain groups.
        if error.status in {403, 404}:
            return []
        raise
    return [found] if isinstance(found, Mapping) else []


def _feeds(rule: Mapping[str, Any]) -> Sequence[str]:
    try:
        return list(rule["actions"]["assignUserToGroups"]["groupIds"])
    except (KeyError, TypeError):
        return []


def _directory(context: Context) -> Directory:
    return Directory(OktaCalls(context.okta, context.clock))


def _grant(name: str, scope: str) -> str:
    return (
        f"a service app needs two things: the scope {scope}, granted to the app (Applications > the app > Okta API Scopes) and "
        f"listed in `orgs.{name}.api.scopes`; and an admin role: `forwarder setup okta-role --org {name}`"
    )


def _adding(settings: Settings) -> Iterable[str]:
    return orgs_with("add_to_group", settings=settings)


_NEEDS = ("okta.reachable",)
CHECKS = (
    Check("reactions.access", "the guards can look up users", HEADING, _access, _about_users, _NEEDS),
    Check("reactions.role", "the admin role of the app, or the id of the API token", HEADING, _role, _acting, _NEEDS),
    Check("reactions.protected", "the protected users and groups exist", HEADING, _protected, _acting, _NEEDS),
    Check(
        "reactions.group",
        "each group of add_to_group has the type OKTA_GROUP, and no role, rule or app",
        HEADING,
        _groups,
        _adding,
        _NEEDS,
    ),
)
