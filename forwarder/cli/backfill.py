"""`forwarder backfill`: a span of the past from the System Log into the store."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.common import choose_org, config_option, load_settings
from forwarder.cli.moments import Moment
from forwarder.clock import SystemClock
from forwarder.core.errors import SettingsError
from forwarder.core.time import Micros, to_datetime
from forwarder.settings import OrgSettings, Settings

if TYPE_CHECKING:
    from forwarder.okta.api.client import OktaClient
    from forwarder.okta.system_log.backfill import Backfill, Progress, Span

MOST_WAITING = 50_000
"""Events that may wait for a sink while a backfill goes on: it must not fill the store, for hooks would be refused."""

_SECOND = 1_000_000


@click.command()
@config_option
@click.option("--org", metavar="NAME", help="Which org; needed where several have `api`.")
@click.option(
    "--since", type=Moment(), required=True, help="Where to begin: 2026-01-31, 2026-01-31T08:00Z, or 7d ago."
)
@click.option(
    "--until", type=Moment(), help="Where to end, as --since; else where the forwarder's own polling is."
)
@click.option(
    "--rate-share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of Okta's rate limit; else half of `reconcile.rate_share`, so that polling has the other half.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only say roughly how many events there are, and how long it takes."
)
def backfill(
    config: Path,
    org: str | None,
    since: Micros,
    until: Micros | None,
    rate_share: float | None,
    *,
    dry_run: bool,
) -> None:
    """Fetch what happened in a span of the past from the System Log. Okta keeps 90 days.

    What the store knows already is dropped, so no event comes twice. It works whether or not a forwarder runs on the
    store, and goes on where it was when it is stopped (Ctrl-C) and started again. It waits while more than 50,000
    events wait for a sink. What comes late into Okta's log near the end of the span, polling brings.

    Exit codes: 0 fetched, 1 Okta or the store refuses, or it was stopped, 2 wrong usage or configuration.
    """
    settings = load_settings(config)
    name = _choose(settings, org)
    share = rate_share or settings.reconcile.rate_share / 2
    try:
        asyncio.run(_backfill(settings, name, _asked(since, until), share, dry_run=dry_run))
    except KeyboardInterrupt:
        click.secho("Stopped. The same command goes on from there.", fg="yellow", err=True)
        raise SystemExit(1) from None


def _choose(settings: Settings, name: str | None) -> str:
    """The org of this name, or the only one that has `api`."""
    name = choose_org(settings, name, lambda org: org.api)
    org = settings.orgs[name]
    if org.api is None or org.url is None:
        raise SettingsError([f"orgs.{name}: `url` and `api` are needed to read the System Log"])
    return name


def _asked(since: Micros, until: Micros | None) -> "Span":
    from forwarder.okta.system_log.backfill import Span
    from forwarder.okta.system_log.pages import KEPT

    now = SystemClock().now()
    until = min(until or now, now)
    if since >= until:
        raise click.UsageError("--since must be before --until, and in the past")
    if until <= now - KEPT:
        raise click.UsageError("Okta keeps 90 days of its log; nothing is left of that span")
    if since < now - KEPT:
        click.secho("Okta keeps 90 days of its log; it begins there.", fg="yellow", err=True)
    return Span(max(since, now - KEPT), until)


async def _backfill(settings: Settings, name: str, asked: "Span", share: float, *, dry_run: bool) -> None:
    from forwarder.okta.api.client import OktaClient
    from forwarder.okta.system_log.backfill import Backfill
    from forwarder.okta.system_log.pages import SystemLog
    from forwarder.store.sqlite.intake import CommandIntake

    org: OrgSettings = settings.orgs[name]
    assert org.url is not None
    assert org.api is not None
    clock = SystemClock()
    api = OktaClient(org.url, org.api, share, clock)
    try:
        log = SystemLog(name, org.url, api, clock)
        task = Backfill(log, CommandIntake(settings.store, clock), clock, _sinks_keep_up(settings.store.path))
        span = await _rest(task, asked)
        if span is None:
            return
        await _tell_estimate(task, span, api)
        if not dry_run:
            await _run(task, span)
    finally:
        await api.close()


async def _rest(task: "Backfill", asked: "Span") -> "Span | None":
    """What there is to do, told; None where there is nothing."""
    from forwarder.okta.system_log.backfill import Span

    polled = await task.polled()
    if polled is not None and polled < asked.until:
        click.echo(f"What happened after {_iso(polled)}, the forwarder's own polling brings.")
        asked = Span(asked.since, max(polled, asked.since))
    rest = await task.rest(asked)
    if not rest.length:
        click.secho("There is nothing to fetch.", fg="green")
        return None
    if rest.since > asked.since:
        click.echo(f"The last backfill was stopped at {_iso(rest.since)}; it goes on there.")
    return rest


async def _tell_estimate(task: "Backfill", span: "Span", api: "OktaClient") -> None:
    from forwarder.okta.system_log.pages import LIMIT, PATH

    events = await task.estimate(span)
    calls = -(-events // LIMIT) + 1
    told = f"{_iso(span.since)} to {_iso(span.until)}: roughly {events:,} events in {calls:,} calls"
    a_minute = api.allowance(PATH)
    if a_minute is not None:
        told += f", {a_minute:,} a minute by our share of Okta's rate limit: {_duration(calls / a_minute)}"
    click.echo(f"{told}.")


async def _run(task: "Backfill", span: "Span") -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task("", total=span.length / _SECOND)

        def tell(progress: "Progress") -> None:
            bar.update(row, completed=(progress.reached - span.since) / _SECOND, description=_words(progress))

        done = await task.run(span, tell)
    click.secho(f"Fetched: {_words(done)}.", fg="green")


def _words(progress: "Progress") -> str:
    words = f"{_iso(progress.reached)}  {progress.read:,} events, {progress.new:,} of them new"
    if progress.rejected:
        words += f", {progress.rejected:,} elements that are no event (`forwarder dead-letters list`)"
    return f"{words}; waits: {progress.waits}" if progress.waits else words


def _sinks_keep_up(store: Path) -> Callable[[], Awaitable[str | None]]:
    """Says which sink is too far behind."""
    from forwarder.store.ledger import ledger
    from forwarder.store.sqlite import schema

    def look() -> str | None:
        try:
            with closing(schema.connect_reader(store)) as db:
                sinks = ledger(db, store, count=False).sinks
        except sqlite3.Error as error:
            raise schema.trouble(store, error) from error
        waiting, name = max(((sink.waiting, name) for name, sink in sinks.items()), default=(0, ""))
        if waiting <= MOST_WAITING:
            return None
        return f"{waiting:,} events wait for the sink {name}; does a forwarder run?"

    return lambda: asyncio.to_thread(look)


def _duration(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def _iso(at: Micros) -> str:
    return to_datetime(at).isoformat(timespec="seconds").replace("+00:00", "Z")
