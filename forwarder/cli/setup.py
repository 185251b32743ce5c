"""`forwarder setup`: make what the other side needs before events can be read there."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.common import config_option, load_settings
from forwarder.cli.setup_kibana import kibana_command

if TYPE_CHECKING:
    from forwarder.settings import Settings
    from forwarder.setup.elasticsearch.bodies import Retention
    from forwarder.setup.line import Line
    from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

_STYLES = {"done": "green", "note": "yellow", "fault": "red"}
_SIGNS = {"done": "✓ ", "same": "= ", "note": "! ", "fault": "✗ "}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}


@click.group()
def setup() -> None:
    """Make what the other side needs: templates, pipelines, dashboards.

    Every command can run again: it changes only what differs, shows it first, and leaves alone what it did not make.
    """


@setup.command("elasticsearch")
@config_option
@click.option("--sink", "name", help="Which sink of kind elasticsearch; needed where there are several.")
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
@click.option("--retention", metavar="TIME", help="As `retention` of the sink, for this run: 90d.")
@click.option("--ilm-policy", metavar="NAME", help="As `ilm_policy` of the sink, for this run.")
@click.option(
    "--rollover", is_flag=True, help="Where the data stream's index has an older mapping, begin a new one."
)
def elasticsearch_command(
    config: Path, name: str | None, *, dry_run: bool, rollover: bool, **override: str
) -> None:
    """Make the mapping, the template and the ingest pipeline of logs-okta.system-*.

    It uses the hosts and the credentials of the sink, asks the server what it has, and says what it does in another
    way because of that. The exit code is 1 where events of this sink would not be readable. docs/elasticsearch.md
    lists the rights that it needs.
    """
    from forwarder.setup.elasticsearch.run import setup as prepare
    from forwarder.setup.elasticsearch.wishes import Target, Wishes
    from forwarder.sinks.elasticsearch.admin import ElasticsearchAdmin

    sink = _sink(load_settings(config), name, override)
    target = Target(sink.data_stream, sink.document_format, sink.pipeline)
    wishes = Wishes(_retention(sink), dry_run=dry_run, rollover=rollover)

    async def run() -> bool:
        async with ElasticsearchAdmin(sink) as cluster:
            return await prepare(cluster, target, wishes, show)

    if not asyncio.run(run()):
        raise SystemExit(1)


def _sink(settings: "Settings", name: str | None, override: dict[str, str]) -> "ElasticsearchSinkSettings":
    """The sink that is meant, with what the command line says instead."""
    from pydantic import ValidationError

    from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

    known = {
        name: sink for name, sink in settings.sinks.items() if isinstance(sink, ElasticsearchSinkSettings)
    }
    if name is None and len(known) == 1:
        (name,) = known
    if name is None or name not in known:
        listed = ", ".join(known) or "the configuration has none"
        raise click.UsageError(f"name a sink of kind elasticsearch with --sink: {listed}")
    sink = known[name]
    chosen = {key: value for key, value in override.items() if value}
    if not chosen:
        return sink
    kept = {key: getattr(sink, key) for key in sink.model_fields_set - {"retention", "ilm_policy"}}
    try:
        return ElasticsearchSinkSettings.model_validate({**kept, **chosen})
    except ValidationError as error:
        words = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise click.UsageError(words) from None


def _retention(sink: "ElasticsearchSinkSettings") -> "Retention":
    from forwarder.setup.elasticsearch.bodies import Retention

    return Retention(
        keep=elastic_time(sink.retention) if sink.retention else None, ilm_policy=sink.ilm_policy
    )


def elastic_time(seconds: float) -> str:
    """A time as Elasticsearch writes it, in its largest unit that leaves no rest."""
    whole = round(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def show(line: "Line") -> None:
    """Print what setup tells."""
    if line.kind == "diff":
        for text in line.text.splitlines():
            click.secho(f"    {text}", fg=_DIFF.get(text[:1]))
        return
    click.secho(_SIGNS.get(line.kind, "  ") + line.text, fg=_STYLES.get(line.kind), err=line.kind == "fault")


setup.add_command(kibana_command)
