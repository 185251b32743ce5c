"""`forwarder replay`: delivers events of a time range to one sink again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli import terminal
from forwarder.cli.options import ORG, SINK, check_org, config_option, load_settings, store_commands
from forwarder.cli.terminal import echo
from forwarder.cli.time_option import TimeParam
from forwarder.clock import SystemClock
from forwarder.core.time import Micros, iso
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.settings import Settings
    from forwarder.store.redelivery import Range, RedeliveryPlan, RedeliveryProgress

_DOUBLES = {
    "elasticsearch": "Elasticsearch keeps one copy of each event, because both copies have the same `_id`. But if the old "
    "copy is in an older backing index of the data stream, both copies are kept.",
    "otlp": "The OTLP server gets a second copy of events that it already has, and drops no copy. Both copies "
    "have the same `log.record.uid`.",
    "file": "The file gets a second copy of events that it already has.",
}


class _Rate(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A rate in events per second, such as `200/s` or `200`, converted to a float."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the rate in `value`, in events per second."""
        try:
            rate = float(str(value).removesuffix("/s"))
        except ValueError:
            rate = 0.0
        if not 0.01 <= rate <= 100_000:
            self.fail(f"{value!r} is not a rate; write a rate such as 200/s", param, ctx)
        return rate


@click.command()
@config_option
@click.option("--sink", type=SINK, required=True, help="The sink that gets the events.")
@click.option(
    "--since",
    type=TimeParam(),
    help="Only events received since this time: 2026-01-31, 2026-01-31T08:00Z, or an age such as 24h.",
)
@click.option(
    "--until", type=TimeParam(), help="Only events received before this time, written like --since; by default now."
)
@click.option(
    "--type",
    "types",
    multiple=True,
    help="Only events of this type, or of types that match a pattern such as user.session.*; can be repeated.",
)
@click.option("--org", type=ORG, help="Only events of this org.")
@click.option(
    "--rate", type=_Rate(), default="200/s", show_default=True, help="The maximum number of events per second."
)
@click.option("--resume", is_flag=True, help="Continue the interrupted replay to this sink.")
@click.option("--dry-run", is_flag=True, help="Only count the events.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts and the result as JSON lines; needs --yes.")
def replay(  # noqa: PLR0913 - one for each option
    config: Path,
    *,
    sink: str,
    since: Micros | None,
    until: Micros | None,
    types: tuple[str, ...],
    org: str | None,
    rate: float,
    resume: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Deliver events to one sink again, for example after an index was deleted. The store must still have the bodies
    of these events.

    The running forwarder delivers these events in addition to new events; new events go first. The command leaves out
    events that wait, are dead letters, were discarded, or are excluded by the sink's settings. In the ledger, the
    replayed events count as waiting until the sink has accepted them. After Ctrl-C or a crash, --resume continues where
    the replay stopped.

    Exit codes: 0 done; 1 the replay was stopped or refused, or the sink rejected events; 2 wrong usage or configuration.
    """
    from forwarder.store.redelivery import Range

    settings = load_settings(config, secrets=False)
    _check(settings, sink, types, org)
    if resume == (since is not None):
        raise click.UsageError("give --since, or --resume to continue an interrupted replay")
    if as_json and not (yes or dry_run or resume):
        raise click.UsageError("--json needs --yes or --dry-run")
    chosen = None
    if since is not None:
        chosen = Range(since, min(until or SystemClock().now(), SystemClock().now()), types, org or "")
        if chosen.since >= chosen.until:
            raise click.UsageError("--since must be in the past and before --until; correct one of the two")
        commands = store_commands(settings)
        plan = commands.redelivery_plan(sink, chosen, settings.sinks[sink].accepts)
        _print_plan(settings, sink, chosen, plan, as_json=as_json)
        if dry_run or not plan.events:
            return
        if not yes:
            click.confirm(f"Deliver {count(plan.events, 'event')} to {sink} again?", abort=True)
    _deliver(settings, sink, chosen, rate, as_json=as_json)


def _check(settings: "Settings", sink: str, types: tuple[str, ...], org: str | None) -> None:
    from forwarder.core.event_types import unknown_event_type

    if sink not in settings.sinks:
        raise click.UsageError(f"--sink: unknown sink {sink!r}; known sinks: {', '.join(settings.sinks)}")
    check_org(settings, org, store_commands(settings))
    for name in types:
        if problem := unknown_event_type(name):
            echo(f"--type: {problem}", fg="yellow", err=True)


def _print_plan(settings: "Settings", sink: str, chosen: "Range", plan: "RedeliveryPlan", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        fields = ("events", "waiting", "dead", "discarded", "filtered", "gone")
        click.echo(msgspec.json.encode({name: getattr(plan, name) for name in fields} | {"sink": sink}))
        return
    since, until = iso(chosen.since, "seconds"), iso(chosen.until, "seconds")
    echo(f"Received from {since} to {until}: {count(plan.events, 'event')} to deliver to {sink} again.")
    left = {
        "wait for this sink and are delivered anyway": plan.waiting,
        f"are dead letters; see: forwarder dead-letters replay --sink {sink} --all": plan.dead,
        "were discarded as dead letters": plan.discarded,
        "are excluded by the sink's settings (`only`, `except`)": plan.filtered,
    }
    for what, number in left.items():
        if number:
            echo(f"  Left out: {number:,} that {what}.")
    if plan.gone:
        oldest = f"; the oldest event in the store was received at {iso(plan.oldest, 'seconds')}" if plan.oldest else ""
        text = f"{count(plan.gone, 'event')} of this time range, of any type"
        echo(f"  No longer stored (store.retention): {text}{oldest}.", fg="yellow")
    if plan.events:
        echo(_DOUBLES[settings.sinks[sink].kind])


def _deliver(settings: "Settings", sink: str, chosen: "Range | None", rate: float, *, as_json: bool) -> None:
    import msgspec

    from forwarder.control_socket.client import ask
    from forwarder.core.ports import DeadLetterSelection
    from forwarder.store.redelivery import RedeliverRequest

    commands = store_commands(settings)

    def dead() -> int:
        return sum(commands.count_dead_letters(DeadLetterSelection(sink=sink)).values())

    before = dead()
    status = terminal.console(stderr=True).status("Asking the forwarder")

    go_on = f"forwarder replay --sink {sink} --resume"

    try:
        with status:
            done: RedeliveryProgress | None = ask(
                settings.store.path,
                RedeliverRequest(sink, chosen, rate),
                lambda progress: status.update(_describe(progress)),
                timeout=None,
                hint=f"when the forwarder runs again, continue with: {go_on}",
            )
    except KeyboardInterrupt:
        echo(f"Stopped. To continue: {go_on}", fg="yellow", err=True)
        raise SystemExit(1) from None
    if done is None:
        echo("No forwarder runs on this store; start one, then run the same command again.", fg="red", err=True)
        raise SystemExit(1)
    taken, rejected = done.taken, max(0, dead() - before)
    if as_json:
        click.echo(msgspec.json.encode({"delivered": taken - rejected, "rejected": rejected}))
    else:
        echo(f"{count(taken - rejected, 'event')} delivered to {sink} again.", fg="green")
    if rejected:
        text = f"{count(rejected, 'event')} rejected; see: forwarder dead-letters list --sink {sink}"
        echo(text, fg="red", err=True)
        raise SystemExit(1)


def _describe(progress: "RedeliveryProgress") -> str:
    text = f"{count(progress.taken, 'event')} handed over"
    return f"{text}; {progress.waits}" if progress.waits else text
