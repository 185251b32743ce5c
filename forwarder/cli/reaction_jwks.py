"""`forwarder reactions jwks`: prints the public keys with which receivers check risk events."""

from pathlib import Path

import click

from forwarder.cli.options import config_option, load_settings
from forwarder.core.errors import SettingsError


@click.command()
@config_option
def jwks(config: Path) -> None:
    """Print the public keys (JWKS) with which receivers check the forwarder's risk events.

    Publish the output at the URL `reactions.set.jwks`, as application/json. With `jwks: serve`, the forwarder itself
    serves the keys. The output contains no secret. The command reads the keys of `reactions.set`, opens no connection,
    and changes nothing.
    """
    import msgspec

    settings = load_settings(config, secrets="reactions").reactions.set
    if settings is None:
        hint = "add the section, as in {issuer: https://fw.example, key: {file: set.pem}}"
        raise SettingsError([f"reactions.set: there are no keys without this section; {hint}"])
    click.echo(msgspec.json.format(settings.key_set(), indent=2))
