"""`forwarder hooks`: the event hook in Okta, by command."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from forwarder.cli.common import config_option
from forwarder.cli.hook_target import Target, admin_of, choose, choose_with_wish
from forwarder.cli.hook_words import hook_as_json, print_differences, print_hook, steps, tell_end, title
from forwarder.core.errors import OktaError
from forwarder.okta.hooks.admin import HookAdmin, check_room, ours
from forwarder.okta.hooks.hook import Hook, Plan, Wanted, plan


@click.group()
def hooks() -> None:
    """Make, check and change the event hook in Okta, as `hook` of the org says.

    Every command that changes something can only show it (--dry-run). docs/hooks.md shows the same by hand, what
    rights it needs, and how a secret is rotated.

    Exit codes: 0 fine, 1 Okta refuses or the hook gets no events, 2 wrong usage or configuration.
    """


def _common(command: Any) -> Any:
    org = click.option("--org", metavar="NAME", help="Which org; needed where several could be meant.")
    return config_option(org(command))


_id_option = click.option("--id", "hook_id", metavar="ID", help="This hook, not the one that `hook` names.")
_dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
_force_option = click.option("--force", is_flag=True, help="Send the secret though the receiver refuses it.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@hooks.command("list")
@_common
@_json_option
def list_command(config: Path, org: str | None, *, as_json: bool) -> None:
    """List all event hooks of the org, those of others too."""
    target = choose(config, org, needs_hook=False)

    async def run(admin: HookAdmin) -> None:
        found = await admin.all()
        if as_json:
            click.echo(json.dumps([hook_as_json(hook) for hook in found], indent=2))
            return
        for hook in found:
            mark = click.style("✓" if hook.live else "✗", fg="green" if hook.live else "red")
            click.echo(
                f"{mark} {title(hook)}  {hook.status} {hook.verification}  {len(hook.types)} types  {hook.uri}"
            )
        if not found:
            click.echo(f"{target.name} has no event hook; `forwarder hooks sync` makes ours.")

    _run(target, run)


@hooks.command()
@_common
@_id_option
@_json_option
def show(config: Path, org: str | None, hook_id: str | None, *, as_json: bool) -> None:
    """Show our hook, and what differs from the configuration. It ends with 1 if the hook gets no events."""
    target, wanted = choose_with_wish(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:

        hook = await _existing(admin, target)
        differences = plan(wanted, hook).differences
        if as_json:
            differing = [{"what": each.what, "has": each.has, "wants": each.wants} for each in differences]
            click.echo(json.dumps(hook_as_json(hook) | {"differences": differing}, indent=2))
        else:
            print_hook(hook)
            if differences:
                click.secho(
                    "It differs from the configuration; `forwarder hooks sync` mends that:", fg="yellow"
                )
                print_differences(differences)
        if not hook.live:
            click.secho(f"Okta sends nothing to {title(hook)}.", fg="red", err=True)
            raise SystemExit(1)

    _run(target, run)


@hooks.command()
@_common
@_dry_run_option
@_force_option
def create(config: Path, org: str | None, *, dry_run: bool, force: bool) -> None:
    """Make our hook and let Okta verify it. The forwarder must run and be reachable for that."""
    target, wanted = choose_with_wish(config, org)

    async def run(admin: HookAdmin) -> None:

        if hook := ours(await admin.all(), wanted.name, wanted.uri):
            raise OktaError(f"{title(hook)} exists already; `forwarder hooks sync` brings it up to date.")
        await _bring_about(admin, wanted, None, plan(wanted, None), dry_run=dry_run, force=force)

    _run(target, run)


@hooks.command()
@_common
@_id_option
@click.option(
    "--resend-secret",
    is_flag=True,
    help="Send the newest secret, though nothing visible differs: Okta does not show which one it has.",
)
@_dry_run_option
@_force_option
def sync(
    config: Path, org: str | None, hook_id: str | None, *, resend_secret: bool, dry_run: bool, force: bool
) -> None:
    """Bring our hook to what the configuration says: show what differs, change only that, verify again.

    A hook that is missing is made, one that is INACTIVE is activated. Description, custom headers, and filters that
    the configuration says nothing about, stay as they are. Okta takes only whole hooks, so every change sends the
    newest secret too: the last one of the org's `secrets`. The receiver is asked before whether it knows it.
    """
    target, wanted = choose_with_wish(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:

        hook = await admin.get(hook_id) if hook_id else ours(await admin.all(), wanted.name, wanted.uri)
        made = plan(wanted, hook, resend_secret=resend_secret)
        await _bring_about(admin, wanted, hook, made, dry_run=dry_run, force=force)

    _run(target, run)


@hooks.command()
@_common
@_id_option
@_dry_run_option
def verify(config: Path, org: str | None, hook_id: str | None, *, dry_run: bool) -> None:
    """Let Okta send its challenge to our hook again."""
    target = choose(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:

        hook = await _existing(admin, target)
        if hook.active:
            check_room(await admin.all(), hook)
        if dry_run:
            click.echo(f"Okta would send its challenge to {hook.uri}, for {title(hook)}.")
            return
        hook = await admin.verify(hook)
        tell_end(hook)
        if not hook.live:
            click.secho("`forwarder hooks sync` activates it.", fg="yellow", err=True)
            raise SystemExit(1)

    _run(target, run)


@hooks.command()
@_common
@_id_option
@_dry_run_option
def deactivate(config: Path, org: str | None, hook_id: str | None, *, dry_run: bool) -> None:
    """Let Okta send nothing more to our hook. `sync` activates it again."""
    target = choose(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await _existing(admin, target)
        if not hook.active:
            click.echo(f"{title(hook)} is INACTIVE already.")
        elif dry_run:
            click.echo(f"{title(hook)} would be INACTIVE; now it is {hook.status}.")
        else:
            tell_end(await admin.deactivate(hook))

    _run(target, run)


@hooks.command()
@_common
@_id_option
@_dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(config: Path, org: str | None, hook_id: str | None, *, dry_run: bool, yes: bool) -> None:
    """Deactivate our hook and delete it for good."""
    target = choose(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await _existing(admin, target)
        if dry_run:
            click.echo(
                f"{title(hook)} would be deleted; it posts {len(hook.types)} event types to {hook.uri}."
            )
            return
        if not yes:
            click.confirm(f"Delete {title(hook)} in {target.name} for good?", abort=True)
        await admin.delete(hook)
        click.secho(f"✓ {title(hook)} is deleted.", fg="green")

    _run(target, run)


def _run(target: Target, act: Callable[[HookAdmin], Awaitable[None]]) -> None:
    async def run() -> None:
        async with admin_of(target) as admin:
            await act(admin)

    asyncio.run(run())


async def _existing(admin: HookAdmin, target: Target) -> Hook:
    """The hook that is meant.

    Raises:
        OktaError: there is none.
    """
    if target.hook_id:
        return await admin.get(target.hook_id)
    settings = target.org.hook
    assert settings is not None
    hook = ours(await admin.all(), settings.name, settings.uri)
    if hook is None:
        raise OktaError(f"{target.name} has no event hook {settings.name}; `forwarder hooks sync` makes it.")
    return hook


async def _bring_about(
    admin: HookAdmin, wanted: Wanted, hook: Hook | None, made: Plan, *, dry_run: bool, force: bool
) -> None:
    """Show what differs, and change it."""
    from forwarder.okta.hooks.probe import challenge

    if made.empty:
        assert hook is not None
        click.secho(f"= {title(hook)} is as it should be: nothing differs.", fg="green")
        return
    click.echo(f"{title(hook)} differs:" if hook else f"There is no event hook {wanted.name} yet:")
    print_differences(made.differences)
    if hook is None or not hook.live:
        check_room(await admin.all(), hook)
    if (made.create or made.replace) and not force and (note := await challenge(wanted)):
        click.secho(f"! {note}", fg="yellow", err=True)
    if dry_run:
        click.echo(f"It would be {steps(made)}. Nothing is changed.")
        return
    tell_end(await admin.carry_out(made, wanted, hook))
    click.echo("Okta says that it can take several minutes until a change is in force.")
