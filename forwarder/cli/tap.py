"""`forwarder tap`: shows each event when it is stored."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.options import ORG, check_org, config_option, load_settings, store_commands
from forwarder.cli.terminal import echo
from forwarder.cli.time_option import DurationParam, MomentParam
from forwarder.core.printable import printable_json, printable_line, shortened
from forwarder.core.time import Micros

if TYPE_CHECKING:
    from forwarder.cli.tap_store import TapOptions

_FORMATS = ("table", "json", "raw", "ecs", "otlp")
_NEWEST = 20
_COLUMNS = "{published:<23}  {source:<5}  {event_type:<36}  {outcome:<9}  {actor:<30}  {target:<24}  {client_ip}"


@click.command()
@config_option
@click.option(
    "--type",
    "types",
    multiple=True,
    help="Only events of this type, or of types that match a pattern such as user.session.*; can be repeated.",
)
@click.option("--actor", default="", help="Only events of actors with this text in the login, name or id.")
@click.option("--outcome", default="", help="Only this outcome, such as FAILURE.")
@click.option("--org", type=ORG, default="", help="Only events of this org.")
@click.option("--via", type=click.Choice(["hook", "log", "alert", "action"]), help="Only events of this source.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="How to show events. Default: a table on a terminal, and JSON lines elsewhere.",
)
@click.option(
    "--sink",
    metavar="NAME",
    help="Show what is sent to this sink: only the events meant for it, in its format, and with its `redact` applied.",
)
@click.option(
    "--redact",
    metavar="FIELD",
    multiple=True,
    help="Show [redacted] for this field, written as in a sink's `redact`; can be repeated.",
)
@click.option("--limit", type=click.IntRange(min=1), help="End after this many events.")
@click.option("--for", "seconds", type=DurationParam(), help="End after this time, such as 30s.")
@click.option(
    "--since",
    type=MomentParam(),
    help=f"Begin with the events received at this time: {MomentParam.examples}. By default, with the next event.",
)
@click.option(
    "--follow/--no-follow",
    default=True,
    help="After the events in the store, continue with new events (--follow), or end (--no-follow).",
)
@click.option(
    "--url", help="Read another machine's ops listener, such as https://forwarder:9464, instead of the store."
)
@click.option(
    "--token",
    envvar="FORWARDER_OPS_TOKEN",
    show_envvar=True,
    help="The `ops.token` for --url; it is safer to set the environment variable than this option.",
)
def tap(  # noqa: PLR0913 - one for each option
    config: Path,
    *,
    types: tuple[str, ...],
    actor: str,
    outcome: str,
    org: str,
    via: str | None,
    form: str | None,
    sink: str | None,
    redact: tuple[str, ...],
    limit: int | None,
    seconds: float | None,
    since: Micros | None,
    follow: bool,
    url: str | None,
    token: str | None,
) -> None:
    """Show each event when it is stored, one per line, on stdout. Notices go to stderr.

    The command reads the store directly. So it does not slow down the forwarder, and a slow terminal misses no event.
    Everyone who may read the store can see the personal data in the events. The format `raw` is the event as received;
    `ecs` and `otlp` are what sinks get by default; --sink shows what one configured sink gets. With --no-follow and
    without --since, the command shows the newest events: 20, or as many as --limit says.

    The command ends with exit code 0 at Ctrl-C, when the other side of a pipe closes, and when the forwarder stops.
    """
    from forwarder.cli.tap_store import TapOptions
    from forwarder.core.event_types import unknown_event_type
    from forwarder.ops.event_view import EventFilter, Form

    for name in types:
        if problem := unknown_event_type(name):
            echo(f"--type: {problem}", fg="yellow", err=True)
    if url is not None and (sink or redact):
        raise click.UsageError(
            "--sink and --redact need the store, and --url does not read it; remove --url, or the other option"
        )
    form = form or ("sink" if sink else "table" if sys.stdout.isatty() else "json")
    wanted = TapOptions(
        EventFilter(types, actor, outcome, org, via or ""),
        since,
        follow,
        limit or (_NEWEST if since is None and not follow else None),
        seconds,
        Form(form) if form in set(Form) else None,
        *(_as_sent(config, sink, redact) if sink or redact else ()),
    )
    with _ended_by_the_reader():
        _show(_source(config, url, token, wanted), form, wanted.limit)


@contextlib.contextmanager
def _ended_by_the_reader() -> Iterator[None]:
    """End the command without an error at Ctrl-C, and when the other side of a pipe closes."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # At the end of the process, Python flushes stdout, which would fail again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_sent(config: Path, sink: str | None, fields: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """Return the values for the fields `accepts`, `redact` and `sent` of `TapOptions`.

    `fields` are the fields to redact, in addition to those that the settings of `sink` redact.
    """
    from forwarder.sink_settings import redactable
    from forwarder.sinks.preview import preview
    from forwarder.sinks.redacted_fields import FieldRedactor

    try:
        paths = [redactable(field) for field in fields]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redact") from None
    if sink is None:
        return None, FieldRedactor(paths).redact, None
    sinks = load_settings(config, secrets=False).sinks
    if sink not in sinks:
        raise click.BadParameter(f"unknown sink {sink!r}; known sinks: {', '.join(sorted(sinks))}", param_hint="--sink")
    settings = sinks[sink]
    paths += settings.redact
    return settings.accepts, FieldRedactor(paths).redact if paths else None, preview(settings)


def _source(config: Path, url: str | None, token: str | None, wanted: "TapOptions") -> Iterator[Any]:
    from forwarder.cli.tap_store import from_store

    if url is None:
        settings = load_settings(config, secrets=False)
        commands = store_commands(settings)
        check_org(settings, wanted.filter.org or None, commands)
        return from_store(settings.store, commands, wanted)
    if wanted.since is not None or not wanted.follow:
        raise click.UsageError("--since and --no-follow need the store; with --url, tap shows only new events")
    from forwarder.cli.tap_url import from_url

    return from_url(url, token, wanted)


def _show(source: Iterator[Any], form: str, limit: int | None) -> None:
    from forwarder.cli.tap_store import FIELDS, Notice

    shown = 0
    with contextlib.closing(source):  # type: ignore[type-var]  # a generator
        for item in source:
            if isinstance(item, Notice):
                echo(item.text, err=True)
                continue
            if form == "table":
                if not shown:
                    echo(_row({name: name for name in FIELDS}))
                echo(_row(item), fg="red" if item["outcome"] in {"FAILURE", "DENY"} else None)
            else:
                text = _whole(item, form)
                click.echo(printable_json(text.decode(errors="replace")) if sys.stdout.isatty() else text)
            shown += 1
            if shown == limit:
                return
    if not shown:
        echo("0 events shown", err=True)


def _row(line: dict[str, Any]) -> str:
    return _COLUMNS.format(
        **{name: printable_line(shortened(str(value or "-"))) for name, value in line.items()}
    ).rstrip()


def _whole(line: dict[str, Any], form: str) -> bytes:
    """Return the event in `line` as JSON without line breaks, in the form of the option --format."""
    import msgspec

    if form == "json":
        return msgspec.json.encode(line)
    whole = line[form]
    text = bytes(whole) if isinstance(whole, msgspec.Raw) else msgspec.json.encode(whole)
    # A line break in JSON can only be between tokens.
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
