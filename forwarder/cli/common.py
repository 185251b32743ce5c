"""What several commands share: the option that names the configuration, and how it is loaded."""

from pathlib import Path

import click

from forwarder.settings import Settings, load

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
