import contextlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from forwarder.cli import terminal

ODD = "\x1b]0;owned\x07\x1b[31m[bold]x\u202e"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def shown(*work: Callable[[], object]) -> str:
    """What a terminal gets."""
    screen = Terminal()
    with contextlib.redirect_stdout(screen):
        for each in work:
            each()
    return screen.getvalue()


def test_a_text_cannot_steer_the_terminal() -> None:
    text = shown(lambda: terminal.echo(ODD, fg="red"))
    assert text == "\x1b[31m\\x1b]0;owned\\x07\\x1b[31m[bold]x\\u202e\x1b[0m\n"


def test_a_cell_of_a_table_cannot_steer_the_terminal_and_is_no_markup() -> None:
    table = Table(box=None, show_header=False)
    table.add_row(ODD, Text(ODD))
    text = shown(lambda: terminal.console().print(table), lambda: terminal.console().print(ODD))
    assert text.count("\\x1b]0;owned") == 3
    assert text.count("[bold]x") == 2
    assert not set("\x1b\x07\u202e").intersection(text)


@pytest.mark.parametrize(("value", "colored"), [("1", False), ("", True)])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, value: str, *, colored: bool) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    red = Text("text", style="red")
    text = shown(lambda: terminal.echo("text", fg="red"), lambda: terminal.console().print(red))
    assert text.count("\x1b[31m") == (2 if colored else 0)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_styles_gets_no_escapes(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    table = Table(title="title")
    table.add_column("column")
    table.add_row(Text("cell", style="bold red"))
    text = shown(
        lambda: terminal.echo("plain"), lambda: terminal.echo("text", fg="red"), lambda: terminal.console().print(table)
    )
    assert "cell" in text
    assert "\x1b" not in text


def test_a_table_that_is_piped_does_not_wrap(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(box=None)
    table.add_column("rule")
    table.add_column("types")
    table.add_row("word " * 60, "x" * 300)
    terminal.console().print(table)
    header, row = capsys.readouterr().out.splitlines()
    assert (header.split(), row.split()) == (["rule", "types"], [*["word"] * 60, "x" * 300])
