"""What several commands share: the option that names the configuration, and how it is loaded."""

from collections.abc import Callable
from pathlib import Path

import click

from forwarder.settings import OrgSettings, Settings, load

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


def load_settings(config: Path, *, secrets: bool = True) -> Settings:
    """The settings at `config`; where nothing was named and only a demo has run here, the demo's.

    Args:
        config: the file.
        secrets: as `settings.load`.
    """
    if config == DEFAULT_CONFIG and not config.exists() and DEMO_CONFIG.exists():
        click.echo(f"There is no {config}; this is the demo's ({DEMO_CONFIG}).", err=True)
        config = DEMO_CONFIG
    return load(config, secrets=secrets)


def choose_org(settings: Settings, name: str | None, fit: Callable[[OrgSettings], object]) -> str:
    """The org that a command is about.

    Args:
        settings: what there is.
        name: of the org, where the operator named one.
        fit: true for an org that the command can be about; where one fits, or there is but one, it need not be named.

    Raises:
        click.UsageError: it must be named, or there is none of that name.
    """
    if name is None:
        candidates = [each for each, org in settings.orgs.items() if fit(org)] or list(settings.orgs)
        if len(candidates) > 1:
            raise click.UsageError(f"name an org with --org: {', '.join(candidates)}")
        (name,) = candidates
    if name not in settings.orgs:
        raise click.UsageError(f"--org: there is no {name}; there is {', '.join(settings.orgs)}")
    return name
