"""The option `--config` and the choice of an org, which several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.shell_completion import CompletionItem

from forwarder.cli.terminal import echo
from forwarder.clock import SystemClock
from forwarder.config.file import read_yaml
from forwarder.core.errors import SettingsError
from forwarder.settings import OrgSettings, Settings, load

if TYPE_CHECKING:
    from forwarder.rules.evaluation.ruleset import Ruleset
    from forwarder.store.interface import StoreCommands

DEFAULT_CONFIG = Path("config/forwarder.yaml")
DEMO_CONFIG = Path("demo/forwarder.yaml")

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="FORWARDER_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)


class ConfiguredName(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """The name of an org or a sink. The shell completes the name from the configuration file."""

    name = "name"

    def __init__(self, section: Literal["orgs", "sinks"]) -> None:
        self._section = section

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with `incomplete`; an empty list if the configuration file cannot be read."""
        del param
        try:
            named = read_yaml(find_config(ctx.params.get("config") or DEFAULT_CONFIG)).get(self._section)
        except SettingsError:
            return []
        return [CompletionItem(name) for name in named or () if str(name).startswith(incomplete)]


ORG = ConfiguredName("orgs")
SINK = ConfiguredName("sinks")


def load_settings(config: Path, *, secrets: bool | Literal["sinks", "reactions"] = True) -> Settings:
    """Load the settings from the file that `find_config` returns for `config`.

    `secrets` says which secrets are read: True for all, False for none, or the name of a section for its secrets. The
    files that the settings name, such as certificates, are checked only if `secrets` is True.
    """
    return load(find_config(config), secrets=secrets)


def store_commands(settings: Settings) -> "StoreCommands":
    """Return the object with which commands read and change the store, with or without a running forwarder."""
    from forwarder.store.interface import open_commands

    return open_commands(settings.store, SystemClock())


def load_rules(settings: Settings) -> "Ruleset":
    """Load the rules that the forwarder runs.

    Raises:
        SettingsError: the rules have problems. The error has the lines that `forwarder check` prints for these
            problems.
    """
    from forwarder.rules.load import RulesError

    try:
        return settings.rules.load()
    except RulesError as error:
        raise SettingsError([f"rules.files: {problem}" for problem in error.problems]) from None


def find_config(config: Path) -> Path:
    """Return the configuration file to use for `config`, the value of the option `--config`.

    This is `config` itself, except if `config` is the default path and no file exists there. Then it is the
    configuration file that the demo has written, if there is one.
    """
    if config == DEFAULT_CONFIG and not config.exists() and DEMO_CONFIG.exists():
        echo(f"{config} does not exist; using the configuration of the demo, {DEMO_CONFIG}.", err=True)
        return DEMO_CONFIG
    return config


def choose_org(settings: Settings, name: str | None, fit: Callable[[OrgSettings], object]) -> str:
    """Return the name of the org for a command: `name`, if it is not None.

    Without a name, return the only org that `fit` accepts. If `fit` accepts no org, return the only org of the
    configuration.

    Raises:
        click.UsageError: the configuration has no org `name`; or `name` is None, and several orgs are possible.
    """
    if name is None:
        candidates = [each for each, org in settings.orgs.items() if fit(org)] or list(settings.orgs)
        if len(candidates) > 1:
            raise click.UsageError(f"choose an org with --org: {', '.join(candidates)}")
        (name,) = candidates
    check_org(settings, name)
    return name


def missing_api_keys(name: str, org: OrgSettings) -> list[str]:
    """Return a line for each setting that calls of Okta's API need and that the org `name` does not have."""
    needed = (("url", "https://acme.okta.com", org.url), ("api", "{token: {file: /run/secrets/okta-token}}", org.api))
    return [
        f"orgs.{name}.{key}: this setting is required for this command, as in {example}"
        for key, example, value in needed
        if not value
    ]


def check_org(settings: Settings, name: str | None, store: "StoreCommands | None" = None) -> None:
    """Check that `name`, the value of the option `--org`, is an org of the configuration. None is accepted too.

    With a `store`, an org that was removed from the configuration is accepted too, if the store knows this org.

    Raises:
        click.UsageError: the org is unknown.
    """
    if name is not None and name not in settings.orgs:
        known = sorted({*settings.orgs, *(store.orgs() if store else ())})
        if name not in known:
            raise click.UsageError(f"--org: unknown org {name!r}; known orgs: {', '.join(known)}")
