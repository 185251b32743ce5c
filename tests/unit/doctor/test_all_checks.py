"""The table of checks against the runbook, the commands and docs/doctor.md."""

import re
from pathlib import Path

import click
import pytest

from forwarder import config_check
from forwarder.cli.main import main
from forwarder.doctor.all_checks import CHECKS
from forwarder.doctor.check import Check, CheckKind, slug
from tools.make_doctor_page import PAGE, page

ROOT = Path(__file__).parent.parent.parent.parent
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "forwarder/doctor").glob("*.py")}
TEXTS = {name: re.sub(r"[\"']\s*\n\s*f?[\"']", "", text) for name, text in SOURCES.items()}
COMMANDS = sorted({found for text in TEXTS.values() for found in re.findall(r"`forwarder ([^`]+)`", text)})


def test_the_page_of_the_doctor_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.make_doctor_page"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_has_a_section_of_the_runbook_and_stands_after_what_it_needs(check: Check) -> None:
    assert check.heading in HEADINGS
    assert check.url == f"docs/runbook.md#{slug(check.heading)}"
    assert re.fullmatch(r"[a-z]+\.[a-z-]+", check.id)
    before = [each.id for each in CHECKS[: CHECKS.index(check)]]
    assert set(check.needs) <= set(before)
    assert check.id not in before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_a_check_names_exists(command: str) -> None:
    words = re.sub(r"\{[^}]*\}", "X", command).split()
    found: click.Command = main
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options
    if found.name == "doctor":
        known = {check.id for check in CHECKS} | {check.group for check in CHECKS} | {"X"}
        assert {word for word in words if re.fullmatch(r"[a-z]+(\.[a-z-]+)?", word)} <= known


def test_whatever_check_looks_at_is_an_offline_check() -> None:
    offline = {check.id for check in CHECKS if check.kind is CheckKind.OFFLINE}
    assert offline == {"config.valid", *config_check.PROBLEMS, *config_check.WARNINGS}


def test_there_are_commands_to_look_for() -> None:
    assert len(COMMANDS) > 10
