"""What `rules coverage` and the forwarder read in the same folder of rules."""

from pathlib import Path

import pytest

from forwarder.rules.any_format import read_files
from forwarder.rules.conditions.rule import Rule, UnreadableRule
from forwarder.rules.coverage import coverage
from forwarder.rules.load import read_rules
from forwarder.rules.rule_tests import run_tests

RULE = """title: A
logsource: {product: okta}
detection: {s: {eventType: user.session.start}, condition: s}
"""


def covered(folder: Path) -> tuple[int, bool]:
    """Return how many rules `rules coverage` reads, and whether there is a problem."""
    found = [each for _, each in read_files([folder])]
    rules = [each for each in found if isinstance(each, Rule) and coverage(each)]
    return len(rules), any(isinstance(each, UnreadableRule) for each in found)


def loaded(folder: Path) -> tuple[int, bool]:
    """Return how many rules the forwarder loads, and whether there is a problem."""
    ruleset, problems = read_rules([folder])
    return len(ruleset.rules), bool(problems)


@pytest.mark.parametrize("name", ["a.yml", "A.YML", "a.Yaml"])
def test_a_suffix_counts_in_any_case(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(RULE)
    assert loaded(tmp_path) == covered(tmp_path) == (1, False)
    assert loaded(tmp_path / name) == covered(tmp_path / name) == (1, False)


def test_filters_and_tests_are_known_by_their_suffix_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "a.TXT").write_text('eventType eq "user.session.start"')
    (tmp_path / "b.yml").write_text(RULE)
    (tmp_path / "b.Tests.YML").write_text("[{Name: none, ExpectedResult: false, Log: {eventType: x}}]")
    assert loaded(tmp_path) == (2, False)
    results, problems, _ = run_tests([tmp_path], {})
    assert ([each.failure for each in results], problems) == ([""], [])


@pytest.mark.parametrize("name", ["._a.yml", ".#a.yml", ".a.yml"])
def test_hidden_files_are_left_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(RULE)
    (tmp_path / name).write_bytes(b"\0\5\x16\7okta")
    assert loaded(tmp_path) == covered(tmp_path) == (1, False)


@pytest.mark.parametrize("text", ["", "# title: later\n"])
def test_a_folder_of_which_every_file_is_empty_is_a_problem(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(text)
    assert loaded(tmp_path) == covered(tmp_path) == (0, True)


def test_a_folder_whose_files_are_named_before_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(RULE)
    assert read_rules([tmp_path / "a.yml", tmp_path])[1] == []


def test_a_link_to_itself_is_one_problem_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.yml").symlink_to("a.yml")
    (tmp_path / "b.yml").write_text(RULE)
    for path in (tmp_path, tmp_path / "a.yml", tmp_path / "a\0.yml"):
        (problem,) = read_rules([path])[1]
        assert problem.file in (tmp_path / "a.yml", tmp_path / "a\0.yml")
        assert len(run_tests([path], {})[1]) == 1


def test_a_folder_that_must_not_be_entered_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    monkeypatch.setattr(Path, "lstat", denied)
    (problem,) = read_rules([tmp_path / "rules"])[1]
    assert problem.text == "Permission denied"
    assert run_tests([tmp_path / "rules"], {})[1] == [problem]
    assert covered(tmp_path / "rules") == (0, True)
