"""For the commands of `forwarder setup`: parses options that say where a secret is, and prints messages."""

from typing import TYPE_CHECKING

import click

from forwarder.cli.terminal import echo

if TYPE_CHECKING:
    from forwarder.setup.message import Kind

SECRET_SOURCE = "env:NAME|file:PATH"  # noqa: S105 - no secret: how to name one
_STYLES = {"done": "green", "note": "yellow", "fault": "red"}
_SIGNS = {"done": "✓ ", "same": "= ", "note": "! ", "fault": "✗ "}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}


def secret_source(_: click.Context, param: click.Parameter, value: str | None) -> dict[str, str] | None:
    """Parse `env:NAME` or `file:PATH`, which says where a secret is. Returns None for None.

    The secret itself is refused, because every user of the machine can see the command line.
    """
    if value is None:
        return None
    kind, _separator, place = value.partition(":")
    if kind not in {"env", "file"} or not place:
        # Do not show the value: it may be the secret.
        raise click.BadParameter(
            f"write {SECRET_SOURCE}; every user of the machine can see a secret on the command line",
            param=param,
        )
    return {kind: place}


def show(kind: "Kind", text: str) -> None:
    """Print a message of a setup command, with the sign and the colour of its kind."""
    if kind == "diff":
        for line in text.splitlines():
            echo(f"    {line}", fg=_DIFF.get(line[:1]))
        return
    echo(_SIGNS.get(kind, "  ") + text, fg=_STYLES.get(kind), err=kind == "fault")
