"""`forwarder reactions`: shows and controls the actions that alerts lead to."""

import click

from forwarder.cli.reaction_changes import approve, pause, refuse, resume, undo
from forwarder.cli.reaction_check import check
from forwarder.cli.reaction_jwks import jwks
from forwarder.cli.reaction_list import export, list_command, show


@click.group()
def reactions() -> None:
    """Show, approve, undo and pause the actions that alerts lead to."""


for _command in (list_command, show, export, check, approve, refuse, undo, pause, resume, jwks):
    reactions.add_command(_command)
