"""`forwarder backfill`: fetches a time range of the past from the System Log into the store."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.common import choose_org, config_option, load_settings
from forwarder.cli.time_option import TimeParam
from forwarder.clock import SystemClock
from forwarder.core.errors import SettingsError, StoreError
from forwarder.core.time import SECOND, Micros, iso
from forwarder.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress as ProgressBar

    from forwarder.okta.system_log.backfill import BackfillRequest, Plan, Progress, Report, TimeRange


@click.command()
@config_option
@click.option("--org", metavar="NAME", help="The org; needed if several have `api`.")
@click.option(
    "--since",
    type=TimeParam(),
    required=True,
    help="Start: 2026-01-31, 2026-01-31T08:00Z, or an age as in 7d.",
)
@click.option(
    "--until", type=TimeParam(), help="End, as --since; by default, how far the forwarder has polled."
)
@click.option(
    "--rate-share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of Okta's rate limit; by default half of `reconcile.rate_share`, and polling keeps the other half. "
    "A running forwarder uses at most `reconcile.rate_share` in all.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only estimate how many events there are, and how long it takes."
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
    """Fetch a time range of the past from the System Log. Okta keeps 90 days.

    Events that the store has already are skipped, so none is delivered twice. A running forwarder does the work itself.
    If none runs, this command uses the store, and a forwarder that you start meanwhile refuses to start and names this
    process. After Ctrl-C, the same command resumes. It waits while more than 50,000 events wait for a sink. Events
    that Okta adds late near the end of the range are left to polling.

    Exit codes: 0 fetched, 1 Okta or the store refused, or it was stopped, 2 wrong usage or configuration.
    """
    from forwarder.control import ask
    from forwarder.okta.system_log.backfill import BackfillRequest

    settings = load_settings(config)
    name = _choose(settings, org)
    share = rate_share or settings.reconcile.rate_share / 2
    fraction = min(1.0, share / settings.reconcile.rate_share)
    request = BackfillRequest(name, _time_range(since, until), fraction, dry_run)
    output = _Output()
    try:
        done = ask(settings.store.path, request, output.show_json, timeout=None)
        if done is None:
            asyncio.run(_run_here(settings, request, share, output.show))
    except KeyboardInterrupt:
        output.close()
        click.secho("Stopped. Run the same command again to resume.", fg="yellow", err=True)
        raise SystemExit(1) from None
    finally:
        output.close()
    output.show_result()


def _choose(settings: Settings, name: str | None) -> str:
    """Return the org of this name, or the only one that has `api`."""
    name = choose_org(settings, name, lambda org: org.api)
    org = settings.orgs[name]
    if org.api is None or org.url is None:
        raise SettingsError([f"orgs.{name}: `url` and `api` are needed to read the System Log"])
    return name


def _time_range(since: Micros, until: Micros | None) -> "TimeRange":
    from forwarder.okta.system_log.backfill import TimeRange
    from forwarder.okta.system_log.pages import RETENTION

    now = SystemClock().now()
    until = min(until or now, now)
    if since >= until:
        raise click.UsageError("--since must be before --until, and in the past")
    if until <= now - RETENTION:
        raise click.UsageError("Okta keeps 90 days of its log; the whole range is older")
    if since < now - RETENTION:
        click.secho("Okta keeps 90 days of its log; the backfill starts there.", fg="yellow", err=True)
    return TimeRange(max(since, now - RETENTION), until)


async def _run_here(settings: Settings, request: "BackfillRequest", share: float, report: "Report") -> None:
    """Run the backfill in this process, which holds the store's lock meanwhile."""
    from forwarder.metrics import Metrics
    from forwarder.okta.api.client import OktaClient
    from forwarder.okta.system_log.backfill import Backfill, BackfillRequest, backlog
    from forwarder.okta.system_log.pages import PATH, SystemLog
    from forwarder.store.dead_letters import Selection
    from forwarder.store.engine import open_commands, open_store

    org = settings.orgs[request.org]
    assert org.url is not None
    assert org.api is not None
    clock, metrics = SystemClock(), Metrics()
    open_commands(settings.store, clock).dead_letters(Selection(), limit=1)  # an error if there is no store
    store = await open_store(settings.store, clock, metrics)

    async def stop_if_behind() -> None:
        ledger = await store.ledger()
        if reason := backlog({name: sink.waiting for name, sink in ledger.sinks.items()}):
            raise StoreError(f"{reason}; start the forwarder, then run the same command again to resume")

    try:
        api = OktaClient(org.url, org.api, share, clock)
        try:
            log = SystemLog(request.org, org.url, api, clock)
            here = Backfill(log, store, clock, metrics, stop_if_behind, lambda: api.allowance(PATH))
            # No polling runs beside it, so the client has exactly the share that was asked for.
            await here.run(BackfillRequest(request.org, request.time_range, 1.0, request.dry_run), report)
        finally:
            await api.close()
    finally:
        await store.close()


class _Output:
    """Shows the plan, a progress bar, and the result."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None
        self._plan: Plan | None = None
        self._last: Progress | None = None

    def show_json(self, report: Any) -> None:
        """Show what a running forwarder reports."""
        import msgspec

        from forwarder.okta.system_log import backfill as reports

        self.show(msgspec.convert(report, reports.Plan | reports.Progress))

    def show(self, report: "Plan | Progress") -> None:
        from forwarder.okta.system_log.backfill import Progress

        if isinstance(report, Progress):
            self._last = report
            self._move_bar(report)
        else:
            self._plan = report
            _print_plan(report)

    def _move_bar(self, progress: "Progress") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as ProgressBar

        assert self._plan is not None
        time_range = self._plan.time_range
        if self._bar is None:
            columns = (
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = ProgressBar(*columns, console=Console(stderr=True))
            self._bar.start()
            self._row = self._bar.add_task("", total=time_range.length / SECOND)
        done = (progress.reached - time_range.since) / SECOND
        self._bar.update(self._row, completed=done, description=_describe(progress))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show_result(self) -> None:
        if self._last is not None:
            click.secho(f"Fetched: {_describe(self._last)}.", fg="green")


def _print_plan(plan: "Plan") -> None:
    from forwarder.okta.system_log.pages import LIMIT

    since, until = (iso(at, "seconds") for at in (plan.time_range.since, plan.time_range.until))
    if plan.polled_until is not None:
        click.echo(
            f"Events after {iso(plan.polled_until, 'seconds')} are left to the forwarder's own polling."
        )
    if not plan.time_range.length:
        click.secho("There is nothing to fetch.", fg="green")
        return
    if plan.resumes:
        click.echo(f"The last backfill stopped at {since}; it resumes there.")
    calls = -(-plan.events // LIMIT) + 1
    text = f"{since} to {until}: roughly {plan.events:,} events in {calls:,} calls"
    if plan.calls_per_minute is not None:
        duration = _duration(calls / plan.calls_per_minute)
        text += f", {plan.calls_per_minute:,} a minute by our share of Okta's rate limit: {duration}"
    click.echo(f"{text}.")


def _describe(progress: "Progress") -> str:
    text = f"{iso(progress.reached, 'seconds')}  {progress.read:,} events, {progress.new:,} of them new"
    if progress.malformed:
        text += f", {progress.malformed:,} malformed events (`forwarder dead-letters list`)"
    return f"{text}; waits: {progress.waits}" if progress.waits else text


def _duration(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"
