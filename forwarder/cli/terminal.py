"""Prints the output of commands.

Control characters in texts are escaped, and secrets are redacted. With NO_COLOR (no-color.org) or TERM=dumb,
colours are left out.
"""

import json
import os
from typing import TYPE_CHECKING, Any, Literal

import click

from forwarder.core.printable import has_styles, printable, printable_json
from forwarder.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def echo(text: str = "", *, err: bool = False, fg: str | None = None) -> None:
    """Print `text` and a newline in the colour `fg`, to stderr if `err` is true. Secrets in `text` are redacted."""
    safe = printable(redact(text))
    click.echo(click.style(safe, fg=fg) if fg and has_styles(os.environ) else safe, err=err)


def echo_json(value: Any) -> None:
    """Print `value` as JSON with line breaks. Secrets are redacted."""
    echo_json_text(json.dumps(value, indent=2))


def echo_json_text(text: str) -> None:
    """Print JSON. Characters that `echo` would escape become JSON escapes, so that the values stay the same."""
    click.echo(printable_json(redact(text)))


def console(*, stderr: bool = False) -> "Console":
    """Return a console of `rich` for tables and progress bars. It prints markup in texts unchanged.

    Lines that do not go to a terminal are not wrapped, so that they can be piped to `grep` or `cut`.
    """
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        # The text must be replaced here already, because `rich` measures the width of a table's cell after this call.
        def render_str(self, text: str, **options: Any) -> "Text":
            return super().render_str(printable(redact(text)), **options)

        def render(self, *renderable: Any, **options: Any) -> "Iterable[Segment]":
            for segment in super().render(*renderable, **options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    colors: Literal["auto"] | None = "auto" if has_styles(os.environ) else None  # None: no bold text either
    safe = SafeConsole(stderr=stderr, markup=False, highlight=False, emoji=False, color_system=colors)
    if not safe.is_terminal:
        safe.width = 10_000
    return safe


def folded_table(*columns: str, no_wrap: "Container[str]" = (), right: "Container[str]" = ()) -> "Table":
    """Return a table that shows long texts on several lines, except in the columns in `no_wrap`.

    The columns in `right` are aligned to the right.
    """
    from rich.table import Table

    table = Table(box=None)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column in no_wrap)
    return table
