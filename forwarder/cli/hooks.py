"""`forwarder hooks`: manages the event hook in Okta."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from forwarder.cli.hook_output import hook_as_json, print_differences, print_hook, print_state, steps, title
from forwarder.cli.hook_selection import HookSelection, load_desired_hook, select
from forwarder.cli.options import ORG, config_option
from forwarder.cli.terminal import echo, echo_json
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError, OktaError
from forwarder.core.printable import printable_line
from forwarder.core.urls import same_url
from forwarder.core.wording import count
from forwarder.okta.hooks.admin import HookAdmin, check_quota, find_own
from forwarder.okta.hooks.hook import DesiredHook, Hook, HookPlan, plan

_LOOK_TIMEOUT = 15.0  # seconds for the running forwarder to ask Okta


@click.group()
def hooks() -> None:
    """Create, check and change the event hook in Okta that the section `hook` of the org describes.

    Every command that changes something has --dry-run. docs/hooks.md says how to do the same by hand, which
    permissions are needed, and how to rotate a secret.

    Exit codes: 0 fine; 1 Okta refuses the call or sends no events to the hook; 2 wrong usage or configuration.
    """


def _common(command: Any) -> Any:
    org = click.option("--org", type=ORG, help="The name of the org; required if several orgs are possible.")
    return config_option(org(command))


_id_option = click.option(
    "--id",
    "hook_id",
    metavar="ID",
    help="Use the hook with this ID, instead of finding the hook by the setting `hook.name`.",
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, but change nothing.")
_force_option = click.option(
    "--force", is_flag=True, help="Send the secret to Okta even if the receiver refuses this secret."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@hooks.command("list")
@_common
@_json_option
def list_command(config: Path, org: str | None, *, as_json: bool) -> None:
    """List all event hooks of the org, including those that the forwarder does not manage."""
    selection = select(config, org, needs_hook=False)

    async def run(admin: HookAdmin) -> None:
        found = await admin.all()
        if as_json:
            echo_json([hook_as_json(hook) for hook in found])
            return
        for hook in found:
            mark, color = ("✓", "green") if hook.live else ("✗", "red")
            what = f"{hook.status} {hook.verification}  {count(len(hook.types), 'type')}  {hook.uri}"
            echo(f"{mark} {title(hook)}  {what}", fg=color)
        if not found:
            echo(f"{selection.name} has no event hook; `forwarder hooks sync` creates one.")

    _run(selection, run)


@hooks.command()
@_common
@_id_option
@_json_option
def show(config: Path, org: str | None, hook_id: str | None, *, as_json: bool) -> None:
    """Show our hook, and how it differs from the configuration. Exits with 1 if Okta sends no events to the hook, or
    sends them to another address than `hook.uri`."""
    selection, desired = load_desired_hook(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await _existing(admin, selection)
        differences = plan(desired, hook).differences
        if as_json:
            differing = [{"what": each.what, "has": each.has, "wants": each.wants} for each in differences]
            echo_json(hook_as_json(hook) | {"differences": differing})
        else:
            print_hook(hook)
            if differences:
                echo("The hook differs from the configuration; `forwarder hooks sync` updates it:", fg="yellow")
                print_differences(differences)
        if not hook.live:
            echo(f"Okta sends no events to {title(hook)}.", fg="red", err=True)
            raise SystemExit(1)
        _check_address(hook, selection)

    _run(selection, run)


@hooks.command()
@_common
@_dry_run_option
@_force_option
def create(config: Path, org: str | None, *, dry_run: bool, force: bool) -> None:
    """Create our hook and let Okta verify it. The forwarder must be running and reachable from the internet."""
    selection, desired = load_desired_hook(config, org)

    async def run(admin: HookAdmin) -> None:
        if hook := find_own(await admin.all(), desired.name, desired.uri):
            raise OktaError(f"{title(hook)} already exists; `forwarder hooks sync` updates it.")
        await _apply(admin, desired, None, plan(desired, None), dry_run=dry_run, force=force)

    _run_change(selection, run, dry_run=dry_run)


@hooks.command()
@_common
@_id_option
@click.option(
    "--resend-secret",
    is_flag=True,
    help="Send the newest secret even if the hook is up to date. Okta does not show which secret it has, so the command cannot compare it.",
)
@_dry_run_option
@_force_option
def sync(
    config: Path, org: str | None, hook_id: str | None, *, resend_secret: bool, dry_run: bool, force: bool
) -> None:
    """Update our hook to match the configuration: show what differs, change only that, and let Okta verify it again.

    The command creates the hook if it is missing, and activates it if it is INACTIVE. If the configuration does not
    mention the description, a custom header or a filter, the command does not change it. Okta accepts only complete
    hooks, so every change also sends the newest secret: the last one of the org's `secrets`. Before that, the command
    checks that the receiver accepts this secret.
    """
    selection, desired = load_desired_hook(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await admin.get(hook_id) if hook_id else find_own(await admin.all(), desired.name, desired.uri)
        made = plan(desired, hook, resend_secret=resend_secret)
        await _apply(admin, desired, hook, made, dry_run=dry_run, force=force)

    _run_change(selection, run, dry_run=dry_run)


@hooks.command()
@_common
@_id_option
@_dry_run_option
def verify(config: Path, org: str | None, hook_id: str | None, *, dry_run: bool) -> None:
    """Let Okta send its challenge to our hook again."""
    selection = select(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await _existing(admin, selection)
        if hook.active:
            check_quota(await admin.all(), hook)
        if dry_run:
            echo(f"Dry run: Okta would send its challenge to {hook.uri}, for {title(hook)}.")
            return
        _check_address(hook, selection)
        hook = await admin.verify(hook)
        print_state(hook)
        if not hook.live:
            echo("`forwarder hooks sync` activates the hook.", fg="yellow", err=True)
            raise SystemExit(1)

    _run_change(selection, run, dry_run=dry_run)


@hooks.command()
@_common
@_id_option
@_dry_run_option
def deactivate(config: Path, org: str | None, hook_id: str | None, *, dry_run: bool) -> None:
    """Stop Okta from sending events to our hook. `forwarder hooks sync` activates the hook again."""
    selection = select(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await _existing(admin, selection)
        if not hook.active:
            echo(f"{title(hook)} is already INACTIVE.")
        elif dry_run:
            echo(f"Dry run: would deactivate {title(hook)}, which is {hook.status}.")
        else:
            print_state(await admin.deactivate(hook))

    _run_change(selection, run, dry_run=dry_run)


@hooks.command()
@_common
@_id_option
@_dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(config: Path, org: str | None, hook_id: str | None, *, dry_run: bool, yes: bool) -> None:
    """Deactivate our hook and delete it for good."""
    selection = select(config, org, hook_id)

    async def run(admin: HookAdmin) -> None:
        hook = await _existing(admin, selection)
        if dry_run:
            echo(f"Dry run: would delete {title(hook)}, which posts {len(hook.types)} event types to {hook.uri}.")
            return
        if not yes:
            click.confirm(f"Delete {title(hook)} in {selection.name} for good?", abort=True)
        await admin.delete(hook)
        echo(f"✓ Deleted {title(hook)}.", fg="green")

    _run_change(selection, run, dry_run=dry_run)


def _run(selection: HookSelection, act: Callable[[HookAdmin], Awaitable[None]]) -> None:
    from forwarder.okta.api.client import IN_COMMAND, OktaClient

    async def run() -> None:
        org = selection.org
        assert org.url is not None
        assert org.api is not None
        async with OktaClient(org.url, org.api, selection.rate_share, SystemClock(), retry=IN_COMMAND) as api:
            await act(HookAdmin(api))

    asyncio.run(run())


def _run_change(selection: HookSelection, act: Callable[[HookAdmin], Awaitable[None]], *, dry_run: bool) -> None:
    """Run `act`. Then ask the running forwarder to check the hook now, instead of after `check_interval`."""
    from forwarder.control_socket.client import ask
    from forwarder.okta.hooks.watch import CheckHookRequest

    try:
        _run(selection, act)
    finally:
        if not dry_run:
            with contextlib.suppress(ForwarderError):  # the forwarder also checks by itself
                ask(selection.store, CheckHookRequest(selection.name), timeout=_LOOK_TIMEOUT)


def _check_address(hook: Hook, selection: HookSelection) -> None:
    """Raise OktaError if the configured hook has another address than `hook.uri`. A hook that the operator chose by its
    ID may have any address."""
    settings = selection.org.hook
    if settings and not selection.hook_id and not same_url(hook.uri, settings.uri):
        raise OktaError(
            f"The URL of {title(hook)} is {printable_line(hook.uri)}, and not {settings.uri} (`hook.uri`), so its events do "
            "not come to this forwarder. `forwarder hooks sync` changes the URL. If another forwarder uses this hook, give "
            "each forwarder a hook of its own (`hook.name`)."
        )


async def _existing(admin: HookAdmin, selection: HookSelection) -> Hook:
    """Return the selected hook as Okta has it.

    Raises:
        OktaError: Okta has no such hook, or the call fails.
    """
    if selection.hook_id:
        return await admin.get(selection.hook_id)
    settings = selection.org.hook
    assert settings is not None
    hook = find_own(await admin.all(), settings.name, settings.uri)
    if hook is None:
        raise OktaError(f"{selection.name} has no event hook named {settings.name}; `forwarder hooks sync` creates it.")
    return hook


async def _apply(
    admin: HookAdmin, desired: DesiredHook, hook: Hook | None, plan: HookPlan, *, dry_run: bool, force: bool
) -> None:
    """Print how `hook` differs from `desired`. Then carry out `plan`, unless `dry_run` is true."""
    from forwarder.okta.hooks.receiver_probe import probe_receiver

    if plan.is_empty:
        assert hook is not None
        echo(f"{title(hook)} is up to date.", fg="green")
        return
    echo(f"{title(hook)} differs:" if hook else f"There is no event hook named {desired.name} yet:")
    print_differences(plan.differences, in_full=dry_run)
    if hook is None or not hook.live:
        check_quota(await admin.all(), hook)
    if (plan.create or plan.replace) and not force and (note := await probe_receiver(desired)):
        echo(f"! {note}", fg="yellow", err=True)
    if dry_run:
        echo(f"Dry run: would {steps(plan)} the hook.")
        return
    print_state(await admin.apply(plan, desired, hook))
    echo("It can take Okta several minutes to apply a change.")
