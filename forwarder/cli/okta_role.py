"""`forwarder setup okta-role`: creates an admin role in Okta that keeps reactions from acting on administrators."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.options import ORG, choose_org, config_option, load_settings
from forwarder.cli.setup_output import SECRET_SOURCE, secret_source, show
from forwarder.cli.terminal import echo_json
from forwarder.clock import SystemClock
from forwarder.core.errors import OktaError, OktaRefusedError, SettingsError

if TYPE_CHECKING:
    from forwarder.okta.settings import ApiSettings
    from forwarder.settings import Settings
    from forwarder.setup.okta_role.run import RoleComparison, RoleOptions

_SCOPES = ("okta.roles.manage", "okta.groups.read", "okta.users.read")
_HINT = (
    "this command needs the rights of a Super Administrator; name an API token of one with --token env:NAME, or give the "
    "app the role Super Administrator and the scopes " + ", ".join(_SCOPES)
)


@click.command("okta-role")
@config_option
@click.option("--org", type=ORG, help="The name of the org; required if several orgs are possible.")
@click.option(
    "--apply", "applies", is_flag=True, help="Make the changes. Without this option, the command only shows them."
)
@click.option(
    "--group",
    "groups",
    metavar="NAME",
    multiple=True,
    help="A group on whose users the forwarder may act, by name or id. Can be repeated. Default: the groups of the last "
    "run; in the first run, every group that has no administrator and no protected user.",
)
@click.option(
    "--token",
    metavar=SECRET_SOURCE,
    callback=secret_source,
    help="Where to read the API token of a Super Administrator for this run. Default: the credentials of the org's `api`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def okta_role(
    config: Path,
    org: str | None,
    groups: tuple[str, ...],
    token: dict[str, str] | None,
    *,
    applies: bool,
    as_json: bool,
) -> None:
    """Limit the rights of the service app in Okta to what the configured actions need, and to groups without
    administrators.

    Okta then refuses every other call. The command shows how the custom admin role, its resource set and its assignment to
    the app differ from what `reactions` needs. It changes only objects that it created. You can run it again at any time,
    for example after a change of `reactions`.

    Exit codes: 0 fine; 1 Okta refused a change or shows a difference after it; 2 wrong usage or configuration.
    """
    from forwarder.setup.okta_role.run import apply, look

    settings = load_settings(config)
    name, wanted = _wanted(settings, org, groups)
    api = _credentials(settings, name, token)

    async def run() -> bool:
        from forwarder.okta.api.client import IN_COMMAND, OktaClient

        client = OktaClient(wanted.url, api, settings.reconcile.rate_share, SystemClock(), retry=IN_COMMAND)
        try:
            async with client:
                after = before = await look(client, wanted)
                changes = applies and not before.problems
                if changes and not before.is_as_it_should_be:
                    after = await apply(client, wanted, before)
        except OktaRefusedError as error:
            if error.status in {400, 401, 403}:
                raise OktaError(f"{error}; {_HINT}") from None
            raise
        if as_json:
            echo_json(_as_json(name, wanted, before, after, applied=changes))
        else:
            _print(before, after, applied=changes)
        return not after.problems and (not changes or after.is_as_it_should_be)

    if not asyncio.run(run()):
        raise SystemExit(1)


def _wanted(settings: "Settings", org: str | None, groups: tuple[str, ...]) -> "tuple[str, RoleOptions]":
    from forwarder.setup.okta_role.needs import needs_of
    from forwarder.setup.okta_role.run import RoleOptions

    name = choose_org(settings, org, lambda org: org.api)
    found = settings.orgs[name]
    if not found.url or not found.api:
        key = "api" if found.url else "url"
        raise SettingsError([f"orgs.{name}.{key}: is required for this command; see docs/reactions.md"])
    needs = needs_of(settings.reactions, name, has_zones=bool(found.zones))
    return name, RoleOptions(found.url.rstrip("/"), found.api.client_id or "", needs, settings.reactions, groups=groups)


def _credentials(settings: "Settings", name: str, token: dict[str, str] | None) -> "ApiSettings":
    from forwarder.okta.settings import ApiSettings

    if token is not None:
        from pydantic import ValidationError

        try:
            return ApiSettings.model_validate({"token": token})
        except ValidationError as error:
            text = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise click.UsageError("--token: " + text.removeprefix("Value error, ")) from None
    api = settings.orgs[name].api
    assert api is not None
    if api.private_key is None:
        return api
    return api.model_copy(update={"scopes": tuple(dict.fromkeys((*api.scopes, *_SCOPES)))})


def _print(before: "RoleComparison", after: "RoleComparison", *, applied: bool) -> None:
    for each in before.comparisons:
        if each.differences:
            show("info", f"role and resource set {each.grant.label!r}:")
            show("diff", "\n".join(difference.line for difference in each.differences))
        else:
            show("same", f"role and resource set {each.grant.label!r} are up to date")
    for line in after.notes:
        show("note", line)
    for line in after.problems:
        show("problem", line)
    if after.problems:
        show(
            "problem",
            "Nothing was changed."
            if not applied
            else "The changes were made, but these problems are left. Correct them, then run the command again.",
        )
    elif applied and not after.is_as_it_should_be:
        left = [difference.line for each in after.comparisons for difference in each.differences]
        show(
            "problem", "After the change, Okta still shows differences: " + "; ".join(left) + ". Run the command again"
        )
    elif applied and not before.is_as_it_should_be:
        show("done", "the changes were made, and Okta shows them")
    elif not before.is_as_it_should_be:
        show("info", "Nothing was changed: add --apply to make these changes.")


def _as_json(
    name: str, wanted: "RoleOptions", before: "RoleComparison", after: "RoleComparison", *, applied: bool
) -> dict[str, object]:
    return {
        "org": name,
        "app": wanted.client_id or None,
        "applied": applied,
        "ok": not after.problems and (not applied or after.is_as_it_should_be),
        "roles": [
            {
                "label": each.grant.label,
                "permissions": sorted(each.grant.permissions),
                "resources": sorted(each.grant.resources),
                "changes": [difference.line for difference in each.differences],
            }
            for each in before.comparisons
        ],
        "problems": list(after.problems),
        "notes": list(after.notes),
    }
