"""Some phrases of a private language stay out of code, texts and documents: plain English only."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from forwarder.cli.main import main
from tests.stack.process import ROOT

BANNED = re.compile(
    r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more than\b)[a-z]+"  # "is not a …"
    r"|\btold\b|\btells? of\b"  # say what says it: a log line, an error, a field
    r"|\bmend(?:s|ed)?\b(?!\")"  # fix, repair, correct; "mend" is a key of `doctor --json`, "mending" a kind of action
    r"|\bfor ever\b|\bnobody\b|\bsomebody\b|\bwhoever\b|\blest\b|\bheeds?\b"
    r"|\blast words\b|\bown words\b"  # last error, the sink's error
    r"|\bbrings? (?:it|them|what)\b|\bbrought (?:it|them|first)\b"  # deliver, fetch
    r"|\b(?:is|are) to [a-z]+\b"  # must, should, will
    r"|\bat work\b|\banew\b",
    re.IGNORECASE,
)
EXCEPT = {ROOT / "forwarder" / "core" / "catalogue.py"}  # Okta's texts, not ours
SUFFIXES = {".py", ".sql", ".html", ".md", ".yaml", ".toml"}


def texts() -> Iterator[Path]:
    """Every text that a user or a developer of the product reads; tests and decisions of the past are left out."""
    for folder in ("forwarder", "tools", "config", "docs", ".github"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path not in EXCEPT:
                yield path
    yield from sorted(ROOT.glob("*.md"))
    yield from (ROOT / name for name in ("Makefile", "pyproject.toml", "compose.yaml", "Dockerfile"))


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_is_free_of_banned_phrases(path: Path) -> None:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert [f"{number}: {line.strip()}" for number, line in lines if BANNED.search(line)] == []


@pytest.mark.parametrize("phrase", ["it is no event", "an operator is told", "mend the index", "kept for ever"])
def test_a_banned_phrase_is_found(phrase: str) -> None:
    assert BANNED.search(phrase)


def commands(command: click.Command, path: str = "forwarder") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in commands(main)])
def test_help_is_free_of_banned_phrases(path: str, command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name=path))
    assert [line for line in text.splitlines() if BANNED.search(line)] == []
