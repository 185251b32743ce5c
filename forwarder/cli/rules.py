"""`forwarder rules`: checks, tests, lists and replays detection rules."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.rule_check import check, test
from forwarder.cli.rule_replay import list_rules, replay
from forwarder.cli.terminal import console, echo, echo_json, folded_table
from forwarder.core.wording import agrees, count, listed

if TYPE_CHECKING:
    from rich.text import Text

    from forwarder.rules.conditions.rule import UnreadableRule
    from forwarder.rules.coverage import Coverage

_MAX_SHOWN = 1
_LABELS = {
    "hooks": ("fed by event hooks", "green"),
    "partly": ("partly fed by event hooks", "yellow"),
    "system_log": ("fed only by the System Log", "red"),
    "unknown": ("name no event type", "bright_black"),
    "no_such_type": ("name only event types that do not exist", "magenta"),
}
_LEFT_OUT = {
    "other_product": "not about Okta",
    "other_language": "in a query language that this command does not read, such as Splunk's, SQL or Python",
    "reference": "correlations and filters of other rules",
    "unreadable": "broken files and rules that are not about Okta",
    "no_rule": "files without a rule",
    "other_format": "files of another format",
    "no_file": "broken links, files that are not regular files, and files that are too large",
}


@click.group()
def rules() -> None:
    """Check, test, list and replay detection rules."""


rules.add_command(check)
rules.add_command(test)
rules.add_command(list_rules)
rules.add_command(replay)


@rules.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def coverage(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Show which detection rules of your SIEM get their events by hooks, and which only from the System Log.

    Event hooks carry only some of Okta's event types, so a rule about another type never matches an event from a hook.
    The command reads the event types that each rule asks for. A wildcard stands for all matching types of Okta's
    catalogue; types that a rule excludes do not count.

    \b
    The column "fed by" says where the events of a rule come from:
      hooks           hooks carry all its types
      partly          hooks carry some of its types
      system log      only the System Log has its types
      no such type    none of its types exists
      unknown         the rule names no type

    \b
    FILE is a file or a folder; the suffix decides the format:
      .toml           Elastic's detection rules and hunts
      .json .ndjson   the same as JSON: one rule, a list of rules, or an export of Kibana
      .yml .yaml      Sigma rules, and rules of Okta's catalogue of detections
      any other       a System Log filter on each line (eventType eq "user.session.start")

    Rules about other products than Okta, and rules in query languages that the command does not read, are left out and
    counted.

    Exit codes: 0 fine; 1 a rule names an event type that does not exist; 2 a file or a rule cannot be read (the
    others are shown anyway), or there is no rule.
    """  # noqa: D301  # click looks for a real backspace, which a raw docstring would not have
    found, problems, left_out = _read(files)
    show = _print_json if as_json else _print_table
    show(found, problems, left_out)
    for problem in problems:
        echo(f"{problem.place}: {problem.text}", fg="red", err=True)
    unknown = any(needs.unknown for _, needs in found)
    raise SystemExit(2 if problems else 1 if unknown else 0)


def _read(files: tuple[Path, ...]) -> "tuple[list[tuple[Path, Coverage]], list[UnreadableRule], Counter[str]]":
    """Return three things: the coverage of each rule, the problems of rules that cannot be read, and the number of
    rules that were left out, by reason."""
    from forwarder.rules import coverage as judge
    from forwarder.rules.any_format import read_files
    from forwarder.rules.conditions.rule import LeftOut, SkipReason, UnreadableRule

    found: list[tuple[Path, Coverage]] = []
    problems: list[UnreadableRule] = []
    left_out: Counter[str] = Counter()
    suggestions = judge.Suggestions()
    for path, rule in read_files(files):
        if isinstance(rule, UnreadableRule):
            problems.append(rule)
        elif isinstance(rule, LeftOut):
            left_out[rule.reason] += 1
        elif needs := judge.coverage(rule, suggestions=suggestions):
            found.append((path, needs))
        else:
            left_out[SkipReason.OTHER_PRODUCT] += 1
    return found, problems, left_out


def _print_json(found: "list[tuple[Path, Coverage]]", problems: "list[UnreadableRule]", left_out: Counter[str]) -> None:
    from forwarder.core.catalogue import RELEASE
    from forwarder.rules.conditions.rule import RULES_LEFT_OUT
    from forwarder.rules.coverage import counts

    summary: dict[str, Any] = {
        "rules": len(found),
        **{str(kind): number for kind, number in counts(needs for _, needs in found).items()},
        "unknown_event_types": len({name for _, needs in found for name in needs.unknown}),
        "left_out": sum(left_out[reason] for reason in RULES_LEFT_OUT),
    }
    result = {
        "catalogue": RELEASE,
        "summary": summary,
        "rules": [_as_json(path, needs) for path, needs in found],
        "left_out": {reason: left_out[reason] for reason in _LEFT_OUT if left_out[reason]},
        "problems": [{"place": problem.place, "text": problem.text} for problem in problems],
    }
    echo_json(result)


def _as_json(path: Path, needs: "Coverage") -> dict[str, Any]:
    return {
        "file": str(path),
        "name": needs.rule.name,
        "id": needs.rule.id,
        "language": needs.rule.language,
        "fed_by": str(needs.fed_by),
        "by_hooks": list(needs.by_hooks),
        "only_system_log": list(needs.only_system_log),
        "unknown_event_types": [{"name": name, "near": near} for name, near in needs.unknown.items()],
    }


def _print_table(
    found: "list[tuple[Path, Coverage]]", problems: "list[UnreadableRule]", left_out: Counter[str]
) -> None:
    from rich.text import Text

    from forwarder.core.catalogue import RELEASE
    from forwarder.rules.coverage import counts

    columns = ("rule", "fed by", "by hooks", "only in the System Log")
    table = folded_table(*columns, no_wrap=("fed by", "by hooks"))
    for _, needs in found:
        label = Text(str(needs.fed_by).replace("_", " "), style=_LABELS[needs.fed_by][1])
        types = len(needs.by_hooks) + len(needs.only_system_log)
        share = f"{len(needs.by_hooks)} of {types}" if types else ""
        table.add_row(Text(needs.rule.name), label, share, _some(needs.only_system_log))
    if found:
        terminal = console()
        terminal.print(table)
        terminal.print()
    _print_unknown(found)
    echo(f"{count(len(found), 'rule')}, by Okta's catalogue {RELEASE}:")
    for kind, number in counts(needs for _, needs in found).items():
        if number:
            echo(f"  {number:>4}  {_LABELS[kind][0]}")
    for reason, meaning in _LEFT_OUT.items():
        if left_out[reason]:
            echo(f"  {left_out[reason]:>4}  left out: {meaning}")
    if problems:
        what = agrees(len(problems), "file or rule", "files or rules")
        echo(f"  {len(problems):>4}  {what} cannot be read:")


def _print_unknown(found: "list[tuple[Path, Coverage]]") -> None:
    for path, needs in found:
        for name, near in needs.unknown.items():
            echo(f"{path}: {needs.rule.name}: unknown event type {name}{_hint(name, near)}", fg="yellow")


def _hint(name: str, near: str | None) -> str:
    from forwarder.rules.legacy_event_types import is_legacy

    if is_legacy(name):
        return f"; this name of the old Events API is now {near}" if near else ""
    return f"; did you mean {near}?" if near else ""


def _some(names: tuple[str, ...]) -> "Text":
    from rich.text import Text

    return Text(listed(names, _MAX_SHOWN))
