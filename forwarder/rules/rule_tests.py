"""Runs the tests of rules. A test has events, and says whether a rule must match the events. The format is that of
Panther's tests.

The file `name.tests.yml` tests the rules in `name.yml` or `name.txt`. It contains a list of tests, or a mapping with
the keys `Tests` and `Lists`. While the tests of the file run, each list in `Lists` replaces the list with the same name
in the configuration.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.core.wording import without_middle
from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.conditions.explanation import explanation
from forwarder.rules.correlation_tests import RuleTest, correlation_failure, times_of
from forwarder.rules.documents import Mapping as YamlMapping
from forwarder.rules.documents import yaml_documents
from forwarder.rules.evaluation.ruleset import DetectionRule, RuleProblem, Ruleset
from forwarder.rules.files import exists, has_suffix, is_folder, read_text, real_path, walk
from forwarder.rules.load import RULE_SUFFIXES, TEST_SUFFIXES, read_rules
from forwarder.rules.sigma.correlation import Correlation
from forwarder.rules.sigma.metadata import Described
from forwarder.rules.sigma.modifiers import Lists
from forwarder.rules.sigma.rule_exception import RuleException

_KEYS = ("Name", "ExpectedResult", "Log", "Logs", "Rule", "Mocks")
"""Keys of a test. `Mocks` has no effect: in Panther it replaces functions that rules call, and rules here call none."""


class TestFile(msgspec.Struct, frozen=True):
    """A file of tests, and the file of rules that it tests."""

    __test__ = False  # pytest would collect it

    file: Path
    rules: Path
    tests: tuple[RuleTest, ...]
    lists: Lists


class TestResult(msgspec.Struct, frozen=True):
    """The result of a test. If the test passed, `failure` is empty; else `failure` says why the test failed, and which
    field decided."""

    __test__ = False

    test: RuleTest
    failure: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "failure", without_middle(self.failure))


def files_of_tests(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of tests for `paths`.

    For each path, the files of tests are:

    - of a folder: all files of tests in the folder, at any depth
    - of a file of tests: the file itself
    - of a file of rules: the file of tests with the same name before the suffix, in the same folder
    """
    for path in dict.fromkeys(paths):
        if is_folder(path):
            yield from (file for file in walk(path)[0] if has_suffix(file, TEST_SUFFIXES))
        elif has_suffix(path, TEST_SUFFIXES):
            yield path
        else:
            yield from (
                path.with_name(path.stem + suffix)
                for suffix in TEST_SUFFIXES
                if exists(path.with_name(path.stem + suffix))
            )


def rules_of(file: Path) -> Path:
    """Return the file of rules that the tests in `file` are about.

    Raises:
        RuleFileError: the folder of `file` does not contain the file of rules.
    """
    stem = Path(file.stem).stem
    for suffix in RULE_SUFFIXES:
        if exists(rules := file.with_name(stem + suffix)):
            return rules
    raise RuleFileError(
        f"the file of the tested rules is missing: the folder of this test file has no {stem}.yml or {stem}.txt; add "
        "one of the two, or rename the test file"
    )


def read_tests(file: Path) -> TestFile:
    """Read the file of tests `file`.

    Raises:
        RuleFileError: the file cannot be read, or a test in it is malformed.
    """
    text, problem = read_text(file)
    documents = list(yaml_documents(text))
    if problem:
        raise RuleFileError(problem)
    tests: list[RuleTest] = []
    lists: dict[str, Sequence[str]] = {}
    for document in documents:
        if document.problem:
            raise RuleFileError(f"line {document.line}: {document.problem}")
        value = document.value
        if isinstance(value, dict) and "Tests" in value:
            lists |= _lists(value.get("Lists"))
            value = value["Tests"]
        items = value if isinstance(value, list) else [value]
        tests += [_test(file, document.line, item) for item in items]
    if not tests:
        raise RuleFileError("holds no test")
    return TestFile(file, rules_of(file), tuple(tests), lists)


def _lists(written: Any) -> dict[str, Sequence[str]]:
    lists = {} if written is None else written
    if not isinstance(lists, dict) or not all(
        isinstance(each, list) and all(isinstance(value, str) for value in each) for each in lists.values()
    ):
        raise RuleFileError("`Lists` must name lists, as in {embargo: [IR, KP]}")
    return {str(name): [str(value) for value in values] for name, values in lists.items()}


def _test(file: Path, line: int, item: Any) -> RuleTest:
    line += item.line if isinstance(item, YamlMapping) else 0
    if not isinstance(item, dict) or not {"Name", "ExpectedResult"} <= set(item) or ("Log" in item) == ("Logs" in item):
        raise RuleFileError(f"line {line}: a test needs Name, ExpectedResult, and either Log or Logs")
    if unknown := [key for key in item if key not in _KEYS]:
        raise RuleFileError(f"line {line}: the test has the unknown key {unknown[0]!r}; known keys: {', '.join(_KEYS)}")
    expected = str(item["ExpectedResult"]).lower()
    logs = item["Logs"] if "Logs" in item else [item["Log"]]
    if (
        expected not in ("true", "false")
        or not isinstance(logs, list)
        or not logs
        or not all(isinstance(log, dict) for log in logs)
    ):
        raise RuleFileError(
            f"line {line}: ExpectedResult must be true or false, Log must be one event, and Logs must be a list "
            "of events"
        )
    if not isinstance(item["Name"], str) or not isinstance(item.get("Rule"), str | None):
        raise RuleFileError(f"line {line}: Name and Rule must be strings")
    logs = [_plain(log, line) for log in logs]
    try:
        times_of(logs)
    except ValueError as error:
        raise RuleFileError(f"line {line}: `published` must be a time, as in 2026-01-31T12:00:00Z: {error}") from None
    return RuleTest(
        file, line, str(item["Name"]), expected == "true", tuple(logs), "Logs" in item, str(item.get("Rule") or "")
    )


def _plain(value: Any, line: int) -> Any:
    """Return `value`, a part of an event in YAML, with the types that JSON has. Numbers and booleans stay strings.

    Raises:
        RuleFileError: a key is null.
    """
    if isinstance(value, dict):
        if None in value:
            raise RuleFileError(f"line {line}: an event has the key null; write each key as a string, in quotes")
        return {str(key): _plain(inner, line) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, line) for inner in value]
    return str(value) if isinstance(value, str) else value


def run_tests(paths: Sequence[Path], lists: Lists) -> tuple[list[TestResult], list[RuleProblem], list[Described]]:
    """Run the tests of rules. Return three lists: the results of the tests, the problems of files that cannot be read,
    and the rules and correlations without a test.

    A test uses only the exceptions in the tested file of rules, because other exceptions are about the operator's real
    events. If a file has only exceptions, `ExpectedResult` says whether one of the exceptions must hold an event back.
    """
    problems: list[RuleProblem] = []
    found: list[TestFile] = []
    for file in files_of_tests(paths):
        try:
            found.append(read_tests(file))
        except RuleFileError as error:
            problems.append(RuleProblem(file, 0, str(error)))
    all_paths = [*(path for path in paths if not has_suffix(path, TEST_SUFFIXES)), *(each.rules for each in found)]
    defaults = {name: values for each in found for name, values in each.lists.items()} | dict(lists)
    shared, rule_problems = read_rules(all_paths, defaults)
    results: list[TestResult] = []
    for each in found:
        ruleset = read_rules(all_paths, defaults | dict(each.lists))[0] if each.lists else shared
        results += _results(each, ruleset)
    tested = {rule.id for each in found for test in each.tests for rule in _chosen(test, each, shared)}
    untested: list[Described] = [rule for rule in shared.rules_and_correlations if rule.id not in tested]
    return results, sorted({*problems, *rule_problems}), untested


def _results(found: TestFile, ruleset: Ruleset) -> Iterator[TestResult]:
    exceptions = [each for each in (*ruleset.exceptions, *ruleset.expired) if _is_in(found, each)]
    for test in found.tests:
        chosen = _chosen(test, found, ruleset)
        rules = [each for each in chosen if isinstance(each, DetectionRule)]
        correlations = [each for each in chosen if isinstance(each, Correlation)]
        if correlations:
            failure = correlation_failure(test, correlations, ruleset, exceptions)
        elif rules:
            failure = _failure(test, Ruleset(rules, exceptions=exceptions))
        elif chosen:
            failure = _exception_failure(test, [each for each in chosen if isinstance(each, RuleException)])
        else:
            about = f"rule {test.rule!r}; correct `Rule`" if test.rule else "rule that can be run; correct the rule"
            failure = f"{found.rules} has no {about}"
        yield TestResult(test, failure)


def _is_in(found: TestFile, each: Described) -> bool:
    return real_path(each.file) == real_path(found.rules)


def _chosen(test: RuleTest, found: TestFile, ruleset: Ruleset) -> Sequence[Described]:
    """Return the rule, correlation or exception that `test` names.

    If the test names none of these, return everything of one kind: the first kind that the file contains. The order of
    the kinds is: correlations that alert (only for a test with `Logs`), rules, exceptions.
    """
    correlations = [each for each in ruleset.correlations if test.several and (each.alerts or test.rule)]
    exceptions = (*ruleset.exceptions, *ruleset.expired)
    for kind in (correlations, ruleset.rules, exceptions):
        chosen = [each for each in kind if test.rule in ("", each.id, each.name, each.title) and _is_in(found, each)]
        if chosen:
            return chosen
    return ()


def _exception_failure(test: RuleTest, exceptions: Sequence[RuleException]) -> str:
    """Return why a test of exceptions fails; an empty string if the test passes. Exceptions that have ended are also
    tested."""
    readings = [Reading(log) for log in test.logs]
    held = [(each, reading) for each in exceptions for reading in readings if not each.lets_through(reading)]
    if bool(held) is test.expected:
        return ""
    for exception, reading in held:
        return f"{exception.title!r} holds the event back: " + explanation(exception.condition, reading, wanted=True)
    first = exceptions[0]
    return f"{first.title!r} lets the event through: " + explanation(first.condition, readings[0], wanted=False)


def _failure(test: RuleTest, ruleset: Ruleset) -> str:
    """Return why a test of rules fails; an empty string if the test passes."""
    found = [(log, match) for log in test.logs for match in ruleset.matches(log)]
    said = [(match.rule, log) for log, match in found if not match.exception]
    if bool(said) is test.expected:
        return ""
    for rule, log in said:
        return f"{rule.title!r} matches: " + explanation(rule.condition, Reading(log), wanted=False)
    for _, match in found:
        if match.exception:
            return f"the exception {match.exception.title!r} holds the event back"
    rule = ruleset.rules[0]
    return f"{rule.title!r} does not match: " + explanation(rule.condition, Reading(test.logs[0]), wanted=True)
