"""`forwarder reactions`: shows and controls the actions that alerts lead to.

`check` checks everything that reactions need, and `jwks` prints the public keys of risk events; the other commands are
in `reaction_list.py` and `reaction_changes.py`.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from forwarder.cli.doctor import print_rows
from forwarder.cli.options import ORG, check_org, config_option, load_settings
from forwarder.cli.reaction_changes import approve, pause, refuse, resume, undo
from forwarder.cli.reaction_list import export, list_command, show
from forwarder.core.errors import SettingsError

if TYPE_CHECKING:
    from forwarder.doctor.check import Check, CheckRow
    from forwarder.settings import Settings

_OTHER_CHECKS = ("okta.reachable", "okta.clock", "okta.log", "reactions.state")
"""The checks outside the group `reactions` that reactions need too."""
_TIMEOUT = 30.0
"""The number of seconds that each check may take. Some checks call Okta several times."""


@click.group()
def reactions() -> None:
    """Show, approve, undo and pause the actions that alerts lead to."""


@reactions.command()
@config_option
@click.option("--org", type=ORG, help="Only checks about this org, or about no org.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as `forwarder doctor --json`.")
def check(config: Path, org: str | None, *, as_json: bool) -> None:
    """Check everything that reactions need, and say how to fix each problem: rights and roles in Okta, groups, zones,
    keys, webhooks.

    The command connects to Okta, webhooks and receivers, but changes nothing: it prompts no user, and sends no message.
    `forwarder doctor` runs these checks too. Some rights, such as the right to suspend a user, cannot be tried without
    using them; the command reads these rights from the admin roles of the app.

    Exit codes: 0 no check fails; 1 a check fails; 2 wrong usage or configuration.
    """
    settings = load_settings(config)
    check_org(settings, org)
    if not settings.reactions.on:
        raise SettingsError(["reactions.on: there are no reactions to check; docs/reactions.md shows how to begin"])
    rows = asyncio.run(_run(settings, org))
    print_rows(rows, as_json=as_json)
    if any(row.verdict == "fail" for row in rows):
        raise SystemExit(1)


async def _run(settings: "Settings", org: str | None) -> "list[CheckRow]":
    from forwarder.clock import SystemClock
    from forwarder.doctor.all_checks import CHECKS
    from forwarder.doctor.context import Context
    from forwarder.doctor.runner import run

    checks = [each for each in CHECKS if each.group == "reactions" or each.id in _OTHER_CHECKS]
    context = Context(settings, SystemClock(), _TIMEOUT)
    await context.prepare()
    try:
        return await run([_limited(each, org) for each in checks], context)
    finally:
        await context.close()


def _limited(check: "Check", org: str | None) -> "Check":
    """Return a copy of `check` that leaves out all orgs but `org`. If `org` is None, return `check` itself."""
    if org is None:
        return check

    def subjects(settings: "Settings") -> Iterable[str]:
        # A subject may also be a name of another kind; those of reactions.provider are receivers.
        return [
            each
            for each in check.subjects(settings)
            if each == org or each not in settings.orgs or check.id == "reactions.provider"
        ]

    return msgspec.structs.replace(check, subjects=subjects)


@reactions.command()
@config_option
def jwks(config: Path) -> None:
    """Print the public keys (JWKS) that receivers use to check the forwarder's risk events.

    Publish the output at the URL `reactions.set.jwks`, as application/json. With `jwks: serve`, the forwarder itself
    serves the keys. The output contains no secret. The command reads the keys of `reactions.set`, opens no connection,
    and changes nothing.
    """
    settings = load_settings(config, secrets="reactions").reactions.set
    if settings is None:
        hint = "add the section, as in {issuer: https://fw.example, key: {file: set.pem}}"
        raise SettingsError([f"reactions.set: there are no keys without this section; {hint}"])
    click.echo(msgspec.json.format(settings.key_set(), indent=2))


for _command in (list_command, show, export, approve, refuse, undo, pause, resume):
    reactions.add_command(_command)
