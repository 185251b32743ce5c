"""`forwarder reactions`: what alerts lead to."""

import click

from forwarder.cli.reaction_jwks import jwks


@click.group()
def reactions() -> None:
    """Show and decide what alerts lead to."""


reactions.add_command(jwks)
