"""`forwarder zones`: shows and changes the network zones that the configuration declares."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from forwarder.cli.options import ORG, choose_org, config_option, load_settings, missing_api_keys
from forwarder.cli.terminal import echo, echo_json
from forwarder.cli.zone_output import ZoneReport, look_as_json, print_applied, print_look, print_step, print_undeclared
from forwarder.clock import SystemClock
from forwarder.core.errors import OktaError, SettingsError
from forwarder.okta.zones.build import protected_by, zone_writer
from forwarder.okta.zones.sync import ZoneLook, look
from forwarder.okta.zones.writer import ZoneWriter
from forwarder.settings import OrgSettings, Settings


@click.group()
def zones() -> None:
    """Show and change the network zones in Okta that the configuration declares (`zones` of an org).

    Each zone is a blocklist: Okta refuses every request from its addresses, countries or networks, before any policy.
    Before the command changes anything, the forwarder's own addresses must be in Okta's exempt zone: docs/zones.md.

    Exit codes: 0 fine; 1 a change is refused, or a zone differs or is missing; 2 wrong usage or configuration.
    """


def _common(command: Any) -> Any:
    org = click.option("--org", type=ORG, help="The name of the org; required if several orgs are possible.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return config_option(org(as_json(command)))


@zones.command()
@_common
def show(config: Path, org: str | None, *, as_json: bool) -> None:
    """Show the declared zones: their values, how they differ from the zones in Okta, and what prevents a change.

    Exits with 1 if a zone is missing, differs or cannot be managed, or if a problem prevents all changes.
    """
    name, settings, org_settings = _select(config, org)

    async def run() -> bool:
        async with _connect(name, settings, org_settings) as writer:
            found = await look(org_settings, writer)
        if as_json:
            echo_json(look_as_json(name, found))
        else:
            print_look(name, found, contents=True)
        return not found.problems and all(step.action == "none" for step in found.plan.steps)

    if not asyncio.run(run()):
        raise SystemExit(1)


@zones.command()
@_common
@click.option("--dry-run", is_flag=True, help="Show what would change, but change nothing.")
@click.option(
    "--activate", is_flag=True, help="Activate the zones. Without this option, a new zone blocks nothing yet."
)
@click.option(
    "--adopt",
    metavar="NAME",
    multiple=True,
    help=(
        "Take over a zone of this name that the configuration declares, although someone else made the zone in "
        "Okta. Can be repeated."
    ),
)
def sync(
    config: Path, org: str | None, *, dry_run: bool, activate: bool, adopt: tuple[str, ...], as_json: bool
) -> None:
    """Create and update the declared zones: show what differs, change only that, read the zones again and compare.

    A new zone is at first an INACTIVE blocklist; --activate activates it. An ACTIVE blocklist stays ACTIVE, and its
    changes are in force about a minute later. Two kinds of zones are not changed: zones that are not declared, and
    zones that others made, unless --adopt names them.
    """
    name, settings, org_settings = _select(config, org)
    known = {*org_settings.zones, org_settings.blocklist.zone}
    if unknown := sorted(set(adopt) - known):
        raise click.UsageError(
            f"--adopt: unknown zone {unknown[0]}; zones in the configuration: {', '.join(sorted(known))}"
        )

    async def run() -> bool:
        async with _connect(name, settings, org_settings) as writer:
            found = await look(org_settings, writer, activate=activate, adopt=adopt)
            if dry_run:
                return _report_dry_run(name, found, as_json=as_json)
            return await _apply(name, found, writer, as_json=as_json)

    if not asyncio.run(run()):
        raise SystemExit(1)


def _report_dry_run(name: str, found: ZoneLook, *, as_json: bool) -> bool:
    refused = [step for step in found.plan.steps if step.problem]
    if as_json:
        echo_json(look_as_json(name, found) | {"dry_run": True})
    else:
        print_look(name, found)
        if not found.problems and not found.plan.is_empty:
            echo("Dry run: nothing was changed.")
    return not found.problems and not refused


async def _apply(name: str, found: ZoneLook, writer: ZoneWriter, *, as_json: bool) -> bool:
    """Carry out the plan in `found`, zone by zone, and print the results. Return False if anything failed.

    After a zone that fails, the command continues with the next zone. If `found` has problems, nothing is changed.
    """
    if found.problems:
        if as_json:
            echo_json(look_as_json(name, found) | {"dry_run": False})
        else:
            print_look(name, found)
        return False
    report = ZoneReport(name, found)
    for step in found.plan.steps:
        if not as_json:
            print_step(step)
        if step.action in {"none", "refuse"}:
            report.add(step)
            continue
        try:
            # The lock is released after each zone, so that the running forwarder can block addresses in between.
            async with writer.writing():
                applied = await writer.apply(step)
        except OktaError as error:
            report.add(step, error=str(error))
            echo(f"  ✗ {error}", fg="red", err=True)
            continue
        report.add(step, applied)
        if not as_json:
            print_applied(step, applied)
    if as_json:
        echo_json(report.as_json() | {"dry_run": False})
    else:
        print_undeclared(found)
        report.print_end()
    return report.is_fine


def _select(config: Path, name: str | None) -> tuple[str, Settings, OrgSettings]:
    settings = load_settings(config)
    name = choose_org(settings, name, lambda org: org.zones)
    org = settings.orgs[name]
    if missing := missing_api_keys(name, org):
        raise SettingsError(missing)
    return name, settings, org


@asynccontextmanager
async def _connect(name: str, settings: Settings, org: OrgSettings) -> AsyncIterator[ZoneWriter]:
    """Yield a writer for the zones of the org `name`. The writer is valid only inside the `async with` block."""
    from forwarder.okta.api.client import IN_COMMAND, OktaClient

    assert org.url is not None
    assert org.api is not None
    clock = SystemClock()
    async with OktaClient(org.url, org.api, settings.reconcile.rate_share, clock, retry=IN_COMMAND) as api:
        yield zone_writer(
            name,
            org.url,
            org,
            api,
            clock,
            store=settings.store.path,
            client_id=org.api.client_id,
            protected=protected_by("reactions.protect.ips", settings.reactions.protect.ips),
        )
