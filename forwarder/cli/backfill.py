"""`forwarder backfill`: fetches a past time range from the System Log into the store."""

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.options import ORG, choose_org, config_option, load_settings
from forwarder.cli.terminal import console, echo
from forwarder.cli.time_option import TimeParam
from forwarder.clock import SystemClock
from forwarder.core.errors import SettingsError, StoreError
from forwarder.core.time import SECOND, Micros, iso
from forwarder.core.wording import count
from forwarder.settings import Settings

if TYPE_CHECKING:
    from forwarder.okta.system_log.backfill import BackfillPlan, BackfillProgress, BackfillRequest, Report

_RESUME = "run the same command again to resume"
_PATIENCE = 20.0
"""The number of seconds without a report after which the command says that it still waits."""


@click.command()
@config_option
@click.option("--org", type=ORG, help="The name of the org; required if several orgs have `api`.")
@click.option(
    "--since",
    type=TimeParam(),
    required=True,
    help="Start of the range: 2026-01-31, 2026-01-31T08:00Z, or an age such as 7d.",
)
@click.option(
    "--until",
    type=TimeParam(),
    help="End of the range, written like --since. Default: the time up to which polling has read the System Log.",
)
@click.option(
    "--rate-share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of Okta's rate limit that the backfill may use. Default: half of `reconcile.rate_share`; polling "
    "uses the other half. A running forwarder uses at most `reconcile.rate_share` for both together.",
)
@click.option(
    "--dry-run", is_flag=True, help="Store nothing; only estimate the number of events, and the time to fetch them."
)
def backfill(
    config: Path, org: str | None, since: Micros, until: Micros | None, rate_share: float | None, *, dry_run: bool
) -> None:
    """Fetch a past time range from the System Log. Okta keeps events for 90 days.

    Events that the store already has are skipped, so no event is delivered twice. If a forwarder runs on the store, the
    forwarder fetches the events, and pauses while more than 50,000 events wait for a sink. If no forwarder runs, this
    command fetches the events and writes to the store. Until the command ends, a forwarder refuses to start; the error
    names this process. After Ctrl-C, run the same command again to resume. Okta may later add events near the end of
    the range; the forwarder's polling fetches these events.

    Exit codes: 0 fetched; 1 Okta or the store refused, or you stopped the command; 2 wrong usage or configuration.
    """
    from forwarder.control_socket.client import ask
    from forwarder.okta.system_log.backfill import BackfillRequest

    settings = load_settings(config)
    org = choose_org(settings, org, lambda org: org.api)
    if settings.orgs[org].api is None or settings.orgs[org].url is None:
        raise SettingsError([f"orgs.{org}: `url` and `api` are needed to read the System Log"])
    ours = settings.reconcile.rate_share
    share = rate_share or ours / 2
    since, until = _within_retention(since, until)
    request = BackfillRequest(org, since, until, min(1.0, share / ours), dry_run)
    output = BackfillOutput()
    stopped = False
    try:
        if ask(settings.store.path, request, output.show, timeout=None, hint=_RESUME) is None:
            asyncio.run(_run_here(settings, request, share, output.show))
    except KeyboardInterrupt:
        stopped = True
    finally:
        output.close()
    if stopped:
        echo(f"Stopped; {_RESUME}.", fg="yellow", err=True)
        raise SystemExit(1)
    if output.last is not None:
        echo(f"Fetched: {_describe(output.last)}.", fg="green")


def _within_retention(since: Micros, until: Micros | None) -> tuple[Micros, Micros]:
    from forwarder.okta.system_log.pages import RETENTION

    now = SystemClock().now()
    until = min(until or now, now)
    if since >= until:
        raise click.UsageError("--since must be in the past and before --until; correct one of the two")
    if until <= now - RETENTION:
        raise click.UsageError(
            "the whole range is older than 90 days, and Okta keeps its log only for 90 days; choose a later --until"
        )
    if since < now - RETENTION:
        echo("Okta keeps its log for 90 days; the backfill starts 90 days ago.", fg="yellow", err=True)
    return max(since, now - RETENTION), until


async def _run_here(settings: Settings, request: "BackfillRequest", share: float, report: "Report") -> None:
    """Run the backfill in this process. The process locks the store until the backfill ends.

    Raises:
        StoreError: there is no store, a forwarder has the store open, or too many events wait for delivery.
    """
    import msgspec

    from forwarder.core.ports import DeadLetterSelection
    from forwarder.metrics import Metrics
    from forwarder.okta.api.client import OktaClient, RetryPolicy
    from forwarder.okta.system_log.backfill import Backfill, backlog
    from forwarder.okta.system_log.pages import PATH, SystemLog
    from forwarder.store.interface import open_commands, open_store

    org = settings.orgs[request.org]
    assert org.url is not None
    assert org.api is not None
    clock, metrics = SystemClock(), Metrics()
    # Raises StoreError if there is no store: `open_store` below would create one.
    open_commands(settings.store, clock).dead_letters(DeadLetterSelection(), limit=1)
    retry = RetryPolicy(give_up_after=15.0)  # with the timeout of a query of the log: a person waits for this command
    api = OktaClient(org.url, org.api, share, clock, retry=retry)
    store = await open_store(settings.store, clock, metrics)

    async def stop_if_behind() -> None:
        ledger = await store.ledger()
        if reason := backlog({name: sink.waiting for name, sink in ledger.sinks.items()}):
            raise StoreError(f"{reason}; start the forwarder, then {_RESUME}")

    try:
        log = SystemLog(request.org, org.url, api, clock)
        here = Backfill(log, store, clock, metrics, stop_if_behind, lambda: api.allowance(PATH))
        # No polling runs at the same time, so the backfill gets the whole share of the client.
        await here.run(msgspec.structs.replace(request, limit_fraction=1.0), report)
    finally:
        await api.close()
        await store.close()


class BackfillOutput:
    """Shows the plan, then a progress bar. `last` is the newest reported progress; None before the first report.

    A thread shows that the backfill still waits when no report comes, because the forwarder retries a call of Okta for
    minutes.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        """Show after `patience` seconds without a report, and again after each such time, that the backfill waits."""
        from rich import progress as rich

        columns = rich.BarColumn(), rich.TaskProgressColumn(), rich.TimeRemainingColumn()
        text = rich.TextColumn("{task.description}")
        self._bar = rich.Progress(*columns, text, console=console(stderr=True))
        self.last: BackfillProgress | None = None
        self._patience = patience
        self._reported = threading.Event()
        self._is_closed = False
        threading.Thread(target=self._watch, name="backfill: waits", daemon=True).start()

    def show(self, report: "BackfillPlan | BackfillProgress") -> None:
        from forwarder.okta.system_log.backfill import BackfillPlan

        self._reported.set()
        if isinstance(report, BackfillPlan):
            _print_plan(report)
            self._since = report.since
            self._row = self._bar.add_task("", total=(report.until - report.since) / SECOND)
            return
        if self.last is None:
            self._bar.start()
        self.last = report
        done = (report.reached - self._since) / SECOND
        self._bar.update(self._row, completed=done, description=_describe(report))

    def close(self) -> None:
        self._is_closed = True
        self._reported.set()
        if self.last is not None:
            self._bar.stop()

    def _watch(self) -> None:
        waited = 0.0
        while not self._is_closed:
            if self._reported.wait(self._patience):
                self._reported.clear()
                waited = 0.0
                continue
            waited += self._patience
            text = (
                f"Waiting: no page of the System Log came for {waited:g}s. A call that Okta does not answer is retried"
            )
            # While the bar is shown, it appears above the bar.
            self._bar.console.print(
                f"{text} for up to four minutes; Ctrl-C stops the backfill.", style="yellow", highlight=False
            )


def _print_plan(plan: "BackfillPlan") -> None:
    from forwarder.okta.system_log.pages import LIMIT

    since, until = iso(plan.since, "seconds"), iso(plan.until, "seconds")
    if plan.polled_until is not None:
        polled = iso(plan.polled_until, "seconds")
        echo(f"The backfill ends at {polled}, because polling fetches all later events.")
    if plan.since >= plan.until:
        echo("There is nothing to fetch.", fg="green")
        return
    if plan.began < plan.since:
        echo(f"The last backfill stopped at {since}; this backfill resumes at that time.")
    calls = -(-plan.events // LIMIT) + 1
    text = f"{since} to {until}: roughly {count(plan.events, 'event')} in {count(calls, 'call')}"
    if plan.calls_per_minute is not None:
        duration = _duration(calls / plan.calls_per_minute)
        text += f", which take {duration}: the backfill may make {plan.calls_per_minute:,} calls a minute"
    echo(f"{text}.")


def _describe(progress: "BackfillProgress") -> str:
    text = f"{iso(progress.reached, 'seconds')}  {count(progress.read, 'event')}, {progress.new:,} of them new"
    if progress.malformed:
        text += f", {count(progress.malformed, 'malformed event')} (`forwarder dead-letters list`)"
    return f"{text}; waits: {progress.waits}" if progress.waits else text


def _duration(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"
