"""`forwarder rules`: analyses detection rules."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.text import Text

    from forwarder.rules.coverage import Coverage
    from forwarder.rules.rule import Fault

_MAX_SHOWN = 1
_LABELS = {
    "hooks": ("fed by event hooks", "green"),
    "partly": ("partly fed by event hooks", "yellow"),
    "system_log": ("only by the System Log", "red"),
    "unknown": ("name no event type", "bright_black"),
    "no_such_type": ("name only event types that do not exist", "magenta"),
}


@click.group()
def rules() -> None:
    """Analyse detection rules."""


@rules.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def coverage(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Show which detection rules of your SIEM get their events by hooks, and which only from the System Log.

    Event hooks carry only some of Okta's event types, so a rule about another type never fires on them. The command reads
    the event types that each rule asks for; wildcards stand for all matching types of the catalogue, and exclusions do not
    count. A rule is fed by "hooks" (all its types), "partly", only by the "system log", by "no such type" (none of its
    types exists), or is "unknown" (it names no type).

    \b
    FILE is a file or a folder; the suffix decides the format:
      .toml           Elastic's detection rules and hunts
      .json .ndjson   the same as JSON: one, a list, or what Kibana exports
      .yml .yaml      Sigma rules
      any other       a System Log filter on each line (eventType eq "user.session.start")

    Rules about other products than Okta are left out and counted.

    Exit codes: 0 fine, 1 a rule names an event type that does not exist, 2 a file or a rule cannot be read (the
    others are shown anyway).
    """  # noqa: D301  # click looks for a real backspace, which a raw docstring would not have
    from forwarder.rules import coverage as judge
    from forwarder.rules.files import read_files
    from forwarder.rules.rule import Fault

    found: list[tuple[Path, Coverage]] = []
    faults: list[Fault] = []
    left_out = 0
    for path, rule in read_files(files):
        if isinstance(rule, Fault):
            faults.append(rule)
        elif needs := judge.coverage(rule):
            found.append((path, needs))
        else:
            left_out += 1
    show = _print_json if as_json else _print_table
    show(found, faults, left_out)
    for fault in faults:
        click.secho(f"{fault.place}: {fault.text}", fg="red", err=True)
    unknown = any(needs.unknown for _, needs in found)
    raise SystemExit(2 if faults else 1 if unknown else 0)


def _print_json(found: "list[tuple[Path, Coverage]]", faults: "list[Fault]", left_out: int) -> None:
    from forwarder.core.catalogue import RELEASE
    from forwarder.rules.coverage import counts

    summary: dict[str, Any] = {
        "rules": len(found),
        **{str(kind): count for kind, count in counts(needs for _, needs in found).items()},
        "unknown_event_types": len({name for _, needs in found for name in needs.unknown}),
        "left_out": left_out,
    }
    result = {
        "catalogue": RELEASE,
        "summary": summary,
        "rules": [_as_json(path, needs) for path, needs in found],
        "faults": [{"place": fault.place, "text": fault.text} for fault in faults],
    }
    click.echo(json.dumps(result, indent=2, ensure_ascii=False))


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


def _print_table(found: "list[tuple[Path, Coverage]]", faults: "list[Fault]", left_out: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from forwarder.core.catalogue import RELEASE
    from forwarder.rules.coverage import counts

    console = Console()
    table = Table(box=None)
    for column in ("rule", "fed by", "by hooks", "only in the System Log"):
        table.add_column(column, overflow="fold", no_wrap=column in ("fed by", "by hooks"))
    for _, needs in found:
        label = Text(str(needs.fed_by).replace("_", " "), style=_LABELS[needs.fed_by][1])
        types = len(needs.by_hooks) + len(needs.only_system_log)
        share = f"{len(needs.by_hooks)} of {types}" if types else ""
        table.add_row(Text(needs.rule.name), label, share, _some(needs.only_system_log))
    if found:
        console.print(table)
        console.print()
    _print_unknown(found)
    click.echo(f"{len(found)} rules, by Okta's catalogue {RELEASE}:")
    for kind, count in counts(needs for _, needs in found).items():
        if count:
            click.echo(f"  {count:>4}  {_LABELS[kind][0]}")
    if left_out:
        click.echo(f"  {left_out:>4}  left out: not about Okta")
    if faults:
        click.echo(f"  {len(faults):>4}  files or rules cannot be read:")


def _print_unknown(found: "list[tuple[Path, Coverage]]") -> None:
    for path, needs in found:
        for name, near in needs.unknown.items():
            hint = f"; did you mean {near}?" if near else ""
            click.secho(f"{path}: {needs.rule.name}: there is no event type {name}{hint}", fg="yellow")


def _some(names: tuple[str, ...]) -> "Text":
    from rich.text import Text

    shown = ", ".join(names[:_MAX_SHOWN])
    return Text(shown + (f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""))
