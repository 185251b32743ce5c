"""`forwarder setup`: creates what the forwarder needs in Elasticsearch, Kibana, Grafana and Okta."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forwarder.cli.okta_role import okta_role
from forwarder.cli.options import SINK, config_option, load_settings
from forwarder.cli.setup_output import SECRET_SOURCE, secret_source, show
from forwarder.core.errors import SettingsError

if TYPE_CHECKING:
    from forwarder.config.types import Section
    from forwarder.settings import Settings
    from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

_Options = TypeVar("_Options", bound="Section")
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def setup() -> None:
    """Create templates, pipelines and dashboards in Elasticsearch, Kibana and Grafana, and the admin role in Okta.

    You can run each command again at any time. A command changes only what differs, and only objects that it created.
    """


@setup.command("elasticsearch")
@config_option
@click.option("--sink", "name", type=SINK, help="Name of the elasticsearch sink; required if there are several.")
@click.option("--dry-run", is_flag=True, help="Show the changes without making them.")
@click.option("--retention", metavar="TIME", help="Overrides the sink's `retention` for this run, for example 90d.")
@click.option("--ilm-policy", metavar="NAME", help="Overrides the sink's `ilm_policy` for this run.")
@click.option("--rollover", is_flag=True, help="Roll the data stream over if its index has an older mapping.")
def elasticsearch_command(config: Path, name: str | None, *, dry_run: bool, rollover: bool, **override: str) -> None:
    """Create the mapping, template and ingest pipeline of logs-okta.system-*, and templates for our other data streams.

    The command uses the hosts and the credentials of the sink. It checks which features the server has, and reports what
    it does differently if a feature is missing. The exit code is 1 if events of this sink could not be written or
    searched. docs/elasticsearch.md lists the privileges that the credentials need.
    """
    from forwarder.setup.elasticsearch.run import setup as prepare
    from forwarder.setup.elasticsearch.template_bodies import Options, retention_of, target_of

    sink = _sink(load_settings(config, secrets="sinks"), name, override)
    target = target_of(sink)
    options = Options(retention_of(sink), dry_run=dry_run, rollover=rollover)

    async def run() -> bool:
        from forwarder.clock import SystemClock
        from forwarder.setup.elasticsearch.admin import ElasticsearchAdmin
        from forwarder.setup.elasticsearch.cluster import UntilReady

        async with ElasticsearchAdmin(sink) as cluster:
            return await prepare(UntilReady(cluster, SystemClock()), target, options, show)

    if not asyncio.run(run()):
        raise SystemExit(1)


def _sink(settings: "Settings", name: str | None, override: dict[str, str]) -> "ElasticsearchSinkSettings":
    """Return the settings of the Elasticsearch sink `name`, changed by the options in `override`.

    If `name` is None, the only Elasticsearch sink is used.

    Raises:
        click.UsageError: there is no such sink, an option is invalid, or `name` is None and there are several sinks.
        SettingsError: a file that the sink names cannot be used.
    """
    from pydantic import ValidationError

    from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

    known = {name: sink for name, sink in settings.sinks.items() if isinstance(sink, ElasticsearchSinkSettings)}
    if name is None and len(known) == 1:
        (name,) = known
    if not known:
        raise click.UsageError("the configuration has no sink of the kind elasticsearch; add one under `sinks`")
    if name is None or name not in known:
        raise click.UsageError(f"choose an elasticsearch sink with --sink: {', '.join(known)}")
    sink = known[name]
    if problems := [f"sinks.{name}.{key}: {problem}" for key, problem in sink.file_problems()]:
        raise SettingsError(problems)
    chosen = {key: value for key, value in override.items() if value}
    if not chosen:
        return sink
    kept = {key: getattr(sink, key) for key in sink.model_fields_set - {"retention", "ilm_policy"}}
    try:
        return ElasticsearchSinkSettings.model_validate({**kept, **chosen})
    except ValidationError as error:
        raise click.UsageError(_message(error.errors(include_input=False, include_url=False)[0])) from None


def _password_options(secret: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options that Kibana and Grafana share: user, password, CA file, dry run.

    `secret` is a phrase for the help text: the credential that a user and a password can replace.
    """
    options = (
        click.option("--user", help=f"The name of a user, if there is no {secret}."),
        click.option(
            "--password", metavar=SECRET_SOURCE, callback=secret_source, help="Where to read the password of --user."
        ),
        click.option(
            "--ca-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A PEM file with the CA certificates to trust. Default: the CA certificates of the system.",
        ),
        click.option("--dry-run", is_flag=True, help="Show what would be written without writing it."),
    )

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@setup.command("kibana")
@click.option("--url", required=True, help="URL of Kibana: https://kibana:5601.")
@click.option("--space", help="ID of the space for the dashboards. Default: the default space.")
@click.option(
    "--api-key",
    metavar=SECRET_SOURCE,
    callback=secret_source,
    help="Where to read the API key (encoded, or as id:key).",
)
@_password_options("API key")
def kibana_command(*, dry_run: bool, **options: Any) -> None:
    """Import the dashboards: overview, sign-ins, threats, admin changes.

    The command finds objects of an earlier run by their ids and replaces them; it changes nothing else. In Kibana, the
    credentials need Dashboard: All, Discover: All and Data View Management: All. The exit code is 1 if Kibana rejected an
    object.
    """
    from forwarder.setup.kibana.run import setup as import_objects
    from forwarder.setup.kibana.settings import KibanaSettings
    from forwarder.setup.kibana.shipped_objects import shipped

    settings = _from_options(KibanaSettings, options)
    if not import_objects(settings, shipped(), show, dry_run=dry_run):
        raise SystemExit(1)


@setup.command("grafana")
@click.option("--url", required=True, help="URL of Grafana: https://grafana:3000.")
@click.option(
    "--token",
    metavar=SECRET_SOURCE,
    callback=secret_source,
    help="Where to read the token of a service account (with the role Editor, or Admin to add data sources).",
)
@click.option("--folder", metavar="TITLE", help="Title of the folder for the dashboards.  [default: Okta]")
@click.option("--runbook-url", metavar="URL", help="URL of your copy of docs/runbook.md; the panels link to it.")
@click.option("--prometheus", metavar="URL", help="Add a Prometheus with this URL as a data source.")
@click.option("--elasticsearch", metavar="URL", help="Add an Elasticsearch with this URL as a data source.")
@_password_options("token")
def grafana_command(*, dry_run: bool, **options: Any) -> None:
    """Write the dashboards: forwarder health, Okta activity, Okta security.

    The command finds dashboards of an earlier run by their uids and replaces them; it changes nothing else. It adds a data
    source only if you name one. Users of a dashboard can choose among the existing data sources. The exit code is 1 if
    a dashboard could not be written.
    """
    from forwarder.setup.grafana.run import setup as write
    from forwarder.setup.grafana.run import shipped
    from forwarder.setup.grafana.settings import GrafanaSettings

    if not write(_from_options(GrafanaSettings, options), shipped(), show, dry_run=dry_run):
        raise SystemExit(1)


def _from_options(kind: type[_Options], options: dict[str, Any]) -> _Options:
    from pydantic import ValidationError

    try:
        return kind.model_validate({key: value for key, value in options.items() if value is not None})
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise click.UsageError("\n".join(_option(one) + _message(one) for one in problems)) from None


def _option(problem: Any) -> str:
    return "".join(f"--{str(part).replace('_', '-')}: " for part in problem["loc"][:1])


def _message(problem: Any) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


setup.add_command(okta_role)
