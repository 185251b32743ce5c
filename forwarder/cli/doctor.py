"""`forwarder doctor`: checks the configuration, this machine, Okta and every sink, and says how to fix problems."""

import asyncio
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from forwarder.cli.options import config_option, load_settings
from forwarder.cli.terminal import echo, echo_json
from forwarder.cli.time_option import DurationParam
from forwarder.core.errors import SettingsError
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.doctor.check import Check, CheckKind, CheckRow
    from forwarder.settings import Settings

_SIGNS = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "-"}
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}


def _not_zero(_: click.Context, param: click.Parameter, seconds: float) -> float:
    if not seconds:
        raise click.BadParameter("must be longer than 0s", param=param)
    return seconds


@click.command()
@config_option
@click.argument("checks", nargs=-1, metavar="[CHECK]...")
@click.option("--list", "listed", is_flag=True, help="List the checks and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--skip",
    "skipped",
    multiple=True,
    metavar="CHECK",
    help="Do not run this check or group of checks. Can be repeated.",
)
@click.option("--offline", is_flag=True, help="Open no connection: only do what `forwarder check` does.")
@click.option(
    "--send",
    is_flag=True,
    help="Also post a marked event through the hook's public address, and find it in every sink.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 also if a check only warns.")
@click.option(
    "--timeout",
    type=DurationParam(),
    default="5s",
    show_default=True,
    callback=_not_zero,
    help="How long each check may take.",
)
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a bundle for a bug report, as a .tar.gz file. The bundle has no events and no secrets.",
)
@click.option("--quiet", is_flag=True, help="Print only warnings, failures and the summary.")
def doctor(  # noqa: PLR0913  # one for each option
    config: Path,
    checks: tuple[str, ...],
    skipped: tuple[str, ...],
    timeout: float,
    bundle: Path | None,
    *,
    listed: bool,
    as_json: bool,
    offline: bool,
    send: bool,
    strict: bool,
    quiet: bool,
) -> None:
    """Check the configuration, this machine, Okta and every sink, and say how to fix each problem.

    A CHECK is the id of a check, such as hook.state, or of a group, such as hook. Without a CHECK, everything is
    checked. Without --send, nothing is changed. docs/doctor.md lists the checks.

    Exit codes: 0 no check fails; 1 a check fails; 2 wrong usage, or a configuration that cannot be loaded.
    """
    from forwarder.doctor import offline as offline_part
    from forwarder.doctor.all_checks import CHECKS
    from forwarder.doctor.runner import select, with_needs

    _refuse_unknown((*checks, *skipped), CHECKS)
    if bundle is not None and os.path.lexists(bundle):
        raise click.UsageError(f"--bundle: {bundle} exists already; choose another name")
    if offline and send:
        raise click.UsageError("--send needs connections; leave out --offline")
    kinds = _kinds(online=not offline, send=send or (listed and not offline))
    selected = select(CHECKS, checks, skipped, kinds)
    if listed:
        _list(selected, as_json=as_json)
        return
    try:
        settings = load_settings(config)
    except SettingsError as error:
        print_rows(offline_part.refused(error.problems), as_json=as_json, quiet=quiet)
        raise SystemExit(2) from None
    chosen = with_needs(CHECKS, selected, select(CHECKS, (), skipped, kinds))
    rows = asyncio.run(_run(chosen, settings, timeout, bundle))
    shown = {check.id for check in selected}
    rows = [row for row in rows if row.id in shown or row.verdict == "fail"]
    print_rows(rows, as_json=as_json, quiet=quiet)
    bad = {"fail", "warn"} if strict else {"fail"}
    if any(row.verdict in bad for row in rows):
        raise SystemExit(1)


def _kinds(*, online: bool, send: bool) -> "set[CheckKind]":
    from forwarder.doctor.check import CheckKind

    return {CheckKind.OFFLINE} | ({CheckKind.ONLINE} if online else set()) | ({CheckKind.SEND} if send else set())


async def _run(
    checks: "Sequence[Check]", settings: "Settings", timeout: float, bundle: Path | None
) -> "list[CheckRow]":
    from forwarder.clock import SystemClock
    from forwarder.doctor import bundle as bundles
    from forwarder.doctor.context import Context
    from forwarder.doctor.runner import run

    context = Context(settings, SystemClock(), timeout)
    if any(check.kind != "offline" for check in checks):
        await context.prepare()
    try:
        rows = await run(checks, context)
        if bundle is not None:
            bundles.write(bundle, await bundles.collect(context, rows))
            echo(f"wrote {bundle}", err=True)
        return rows
    finally:
        await context.close()


def _refuse_unknown(names: Sequence[str], checks: "Sequence[Check]") -> None:
    known = {check.id for check in checks} | {check.group for check in checks}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`forwarder doctor --list` lists all checks"
            raise click.UsageError(f"unknown check or group `{name}`; {hint}")


def _list(checks: "Sequence[Check]", *, as_json: bool) -> None:
    if as_json:
        listed = [
            {"id": check.id, "group": check.group, "what": check.what, "kind": check.kind, "url": check.url}
            for check in checks
        ]
        echo_json(listed)
        return
    width = max((len(check.id) for check in checks), default=0)
    for check in checks:
        echo(f"{check.id:<{width}}  {check.what}")


def print_rows(rows: "Sequence[CheckRow]", *, as_json: bool, quiet: bool = False) -> None:
    """Print the rows and a summary, as text or JSON. If `quiet` is True, the text leaves out rows that need no action."""
    is_ok = not any(row.verdict == "fail" for row in rows)
    if as_json:
        echo_json({"ok": is_ok, "checks": msgspec.to_builtins(rows)})
        return
    signs = _SIGNS if "utf" in (getattr(sys.stdout, "encoding", "") or "").lower() and sys.stdout.isatty() else {}
    width = max((len(row.id) for row in rows), default=0)
    group, order = "", list(dict.fromkeys(row.group for row in rows))
    for row in sorted(rows, key=lambda row: order.index(row.group)):
        if quiet and row.verdict in {"ok", "skip"}:
            continue
        if row.group != group:
            group = row.group
            echo(group)
        sign = f"{signs[row.verdict]} " if signs else ""
        echo(f"  {sign}{row.verdict:<4}  {row.id:<{width}}  {row.seen}", fg=_COLOURS[row.verdict])
        if row.verdict in {"warn", "fail"}:
            for line in (f"to fix it: {row.fix}", f"more: {row.url}"):
                echo(f"{'':{width + 10}}{line}")
    totals = [(verdict, sum(row.verdict == verdict for row in rows)) for verdict in _SIGNS]
    text = ", ".join(f"{number} {verdict}" for verdict, number in totals if number)
    echo(f"{count(len(rows), 'check')}: {text}", fg="green" if is_ok else "red")
