"""Parses options that say where a secret is, and prints messages, for the commands of `forwarder setup`."""

from typing import TYPE_CHECKING

import click

from forwarder.cli.terminal import echo

if TYPE_CHECKING:
    from forwarder.setup.reporter import Kind

SECRET_SOURCE = "env:NAME|file:PATH"  # noqa: S105 - only the form in which an option names a secret
_STYLES = {"done": "green", "note": "yellow", "problem": "red"}
_SIGNS = {"done": "✓ ", "same": "= ", "note": "! ", "problem": "✗ "}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}


def secret_source(_: click.Context, param: click.Parameter, value: str | None) -> dict[str, str] | None:
    """Parse the value of an option that says where a secret is: `env:NAME` or `file:PATH`. Return None if there is no
    value.

    A secret as the value is refused, because every user of the machine can see the command line.
    """
    if value is None:
        return None
    kind, _separator, place = value.partition(":")
    if kind not in {"env", "file"} or not place:
        # Do not show the value: it may be the secret.
        raise click.BadParameter(
            f"write the secret as {SECRET_SOURCE}, because every user of the machine can see the command line",
            param=param,
        )
    return {kind: place}


def show(kind: "Kind", text: str) -> None:
    """Print a message of a setup command, with the sign and the colour of its kind."""
    if kind == "diff":
        for line in text.splitlines():
            echo(f"    {line}", fg=_DIFF.get(line[:1]))
        return
    echo(_SIGNS.get(kind, "  ") + text, fg=_STYLES.get(kind), err=kind == "problem")
