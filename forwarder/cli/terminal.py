"""Prints the output of commands. Text from outside cannot control the terminal, secrets are redacted, and NO_COLOR
(no-color.org) is respected."""

import os
from typing import TYPE_CHECKING, Any

import click

from forwarder.core.printable import printable
from forwarder.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.text import Text


def echo(text: str = "", *, err: bool = False, fg: str | None = None) -> None:
    """Print `text` and a newline, with secrets redacted: to stderr if `err` is True, and in the colour `fg`."""
    click.secho(printable(redact(text)), err=err, fg=None if os.environ.get("NO_COLOR") else fg)


def console(*, stderr: bool = False) -> "Console":
    """Return a console of `rich` for tables and progress bars. It prints markup in texts unchanged.

    Lines that do not go to a terminal are not wrapped, so that they can be piped to `grep` or `cut`.
    """
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        # Here, because the width of a table's cell is measured after this.
        def render_str(self, text: str, **options: Any) -> "Text":
            return super().render_str(printable(redact(text)), **options)

        def render(self, *renderable: Any) -> "Iterable[Segment]":
            for segment in super().render(*renderable):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    safe = SafeConsole(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not safe.is_terminal:
        safe.width = 10_000
    return safe
