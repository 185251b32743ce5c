"""`forwarder rules replay`: evaluates the rules on stored events. `forwarder rules list`: lists rules and alerts."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from forwarder.cli.options import config_option, load_rules, load_settings, store_commands
from forwarder.cli.terminal import console, echo, echo_json_text, folded_table
from forwarder.cli.time_option import TimeParam
from forwarder.clock import SystemClock
from forwarder.core.printable import printable_line, shortened
from forwarder.core.time import SECOND, Micros, iso
from forwarder.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forwarder.detect.replay import ActionReport, ReplayReport, RuleReport
    from forwarder.rules.evaluation.ruleset import DetectionRule, Ruleset
    from forwarder.rules.sigma.correlation import Correlation
    from forwarder.settings import Settings
    from forwarder.store.rule_counts import RuleCounts

_DAY = 86_400 * SECOND


@click.command()
@config_option
@click.option("--since", type=TimeParam(), default="7d", show_default=True, help=f"{TimeParam.examples}.")
@click.option("--rule", "wanted", metavar="RULE", help="Only this rule, by its id, name or title.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(config: Path, since: Micros, wanted: str | None, *, as_json: bool) -> None:
    """Evaluate stored events as if they arrived now, and report what each rule would have done. Writes nothing.

    Use this command before a new rule goes live. For each rule, it shows the number of matches, alerts and users. It
    shows how many matches were held back: they made no alert, because of an exception or of `rules.again`. It also
    shows the hours and the users with the most matches. With unchanged rules, it finds the alerts that the live
    evaluation made. It also finds alerts about events older than `rules.max_age`; the live evaluation leaves these
    alerts out.

    With `reactions.on`, the command also reports what `mode: enforce` would have done for each rule and action. It
    assumes that every event was real, every call succeeded, and no user answered a prompt. The command does not ask
    Okta, so it cannot apply all guards (the safety checks before an action). It names the guards that it cannot apply.
    """
    from forwarder.detect.replay import Replay
    from forwarder.reaction_runner.guard_settings import rehearsal

    settings, rules = _loaded(config)
    known = rules.rules_and_correlations
    if wanted is not None and not any(_is_named(rule, wanted) for rule in known):
        names = [name for rule in known for name in (rule.id, rule.name, rule.title) if name]
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`forwarder rules list` shows all rules"
        raise click.BadParameter(f"unknown rule {wanted!r}; {hint}", param_hint="--rule")
    store = store_commands(settings)
    reactions = rehearsal(settings, rules) if settings.reactions.on else None
    report = Replay(store, settings.rules, rules, since, rehearsal=reactions).run(
        lambda rule: wanted is None or _is_named(rule, wanted)
    )
    if as_json:
        echo_json_text(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _print_replay(report)


@click.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_rules(config: Path, *, as_json: bool) -> None:
    """List the rules that the forwarder runs, where their events come from, and the number of their alerts in the last
    24 hours and 7 days.

    The column "held back" has the number of matches in the last 7 days that made no alert. Either an exception applied to
    the match, or the rule had made an alert less than `rules.again` before. The store has a count for each hour, so both
    periods begin at a full hour.
    """
    settings, rules = _loaded(config)
    commands = store_commands(settings)
    now = SystemClock().now()
    rows = _rows(rules, commands.rule_counts(now - _DAY), commands.rule_counts(now - 7 * _DAY))
    if as_json:
        echo_json_text(msgspec.json.format(msgspec.json.encode({"rules": rows}), indent=2).decode())
        return
    from rich.text import Text

    columns = ("rule", "level", "tags", "fed by", "24 h", "7 d", "held back", "last alert")
    table = folded_table(*columns, right=("24 h", "7 d", "held back"))
    for row in rows:
        tags = ", ".join(row["tags"])  # in full, so that an operator can copy them into `reactions.on`
        numbers = [f"{row[key]:,}" for key in ("alerts_24h", "alerts_7d", "held_back")]
        if by_exceptions := row["held_back_by_exceptions"]:
            numbers[-1] += f", {by_exceptions:,} by exceptions"
        cells = (row["name"] or row["title"], row["level"], tags, row["fed_by"], *numbers, row["last_alert"] or "")
        table.add_row(*(Text(str(cell)) for cell in cells))
    console().print(table)


def _loaded(config: Path) -> "tuple[Settings, Ruleset]":
    settings = load_settings(config, secrets=False)
    if not settings.rules.files:
        raise click.UsageError("the configuration names no files of rules; set `rules.files`")
    return settings, load_rules(settings)


def _is_named(rule: "DetectionRule | Correlation", wanted: str) -> bool:
    return wanted in {rule.id, rule.name, rule.title}


def _rows(
    rules: "Ruleset", last_day: "Mapping[str, RuleCounts]", last_week: "Mapping[str, RuleCounts]"
) -> list[dict[str, Any]]:
    from forwarder.cli.rule_check import FED_BY
    from forwarder.rules.probable_mistakes import reviewed
    from forwarder.store.rule_counts import RuleCounts

    nothing = RuleCounts()
    fed = {each.rule.id: FED_BY[str(each.needs.fed_by)] for each in reviewed(rules)}
    for rule in rules.correlations:
        fed[rule.id] = "; ".join(dict.fromkeys(fed[one] for one in rule.rules if one in fed))
    return [
        {
            "id": rule.id,
            "name": rule.name,
            "title": rule.title,
            "level": rule.level,
            "tags": list(rule.tags),
            "fed_by": fed.get(rule.id, ""),
            "alerts_by_itself": rule.alerts,
            "alerts_24h": last_day.get(rule.id, nothing).alerts,
            "alerts_7d": week.alerts,
            "held_back": week.held_back,
            "held_back_by_exceptions": week.by_exception,
            "last_alert": None if week.last_alert is None else iso(week.last_alert, "seconds"),
        }
        for rule in rules.rules_and_correlations
        for week in (last_week.get(rule.id, nothing),)
    ]


def _print_replay(report: "ReplayReport") -> None:
    echo(f"{count(report.events, 'event')} received from {report.since} to {report.until}")
    if report.too_old:
        echo(
            f"{count(report.too_old, 'event')} older than rules.max_age: a running forwarder does not evaluate these "
            "events"
        )
    for rule in report.rules:
        if rule.matches or rule.held_back or rule.alerts_too_old:
            _print_rule(rule)
    quiet = sum(not (rule.matches or rule.held_back) for rule in report.rules)
    if quiet:
        echo(f"\n{count(quiet, 'rule')} without a match")
    if report.not_judged:
        echo(
            "\nThe actions are those of `mode: enforce`. A running forwarder may take fewer actions, because the replay cannot apply these guards:"
        )
        for guard, what in report.not_judged.items():
            echo(f"  {guard}: {what}")


def _print_rule(rule: "RuleReport") -> None:
    echo(f"\n{rule.title} ({rule.level})", fg="cyan")
    live = f"; the store has {rule.stored_alerts:,}" if rule.stored_alerts != rule.alerts else ""
    echo(f"  {count(rule.alerts, 'alert')} from {rule.matches:,} {'match' if rule.matches == 1 else 'matches'}{live}")
    if rule.alerts_too_old:
        echo(f"  and {count(rule.alerts_too_old, 'alert')} about events older than rules.max_age")
    for reason, number in rule.held_back.items():
        echo(f"  held back by {'an exception' if reason == 'exception' else 'rules.again'}: {number:,}")
    if rule.busiest:
        echo(f"  busiest hours: {', '.join(f'{hour} ({number:,})' for hour, number in rule.busiest)}")
    if rule.loudest:
        named = ", ".join(f"{printable_line(shortened(name))} ({number:,})" for name, number in rule.loudest)
        echo(f"  {count(rule.users, 'user')}: {named}")
    for action in rule.actions:
        echo(f"  {action.action}: {_action(action)}")


def _action(action: "ActionReport") -> str:
    parts = []
    if action.calls:
        about = "" if action.action == "notify" else f" on {count(action.targets, 'target')}"
        parts.append(f"{count(action.calls, 'call')}{about}")
    for what, reasons in (
        ("waiting for a human", action.asks),
        ("without effect", action.no_op),
        ("refused", action.refused),
    ):
        if reasons:
            words = ", ".join(f"{reason} {number:,}" for reason, number in reasons.items())
            parts.append(f"{sum(reasons.values()):,} {what} ({words})")
    return "; ".join(parts)
