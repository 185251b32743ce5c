"""`forwarder rules test`: runs the tests of rules. The tests are in files beside the rules."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.options import config_option
from forwarder.cli.rule_check import rules_section
from forwarder.cli.terminal import echo
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.rules.evaluation.ruleset import RuleProblem
    from forwarder.rules.rule_tests import TestResult
    from forwarder.rules.sigma.metadata import Described


@click.command()
@click.argument("files", metavar="[FILE]…", nargs=-1, type=click.Path(path_type=Path))
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(files: tuple[Path, ...], config: Path, *, as_json: bool) -> None:
    """Run the tests of rules. The tests of the rules in name.yml are in name.tests.yml in the same folder.

    As in Panther, a test has the keys Name, ExpectedResult (true if the rule must match) and Log (one event). A test
    of a correlation has Logs instead of Log: a list of events, in the order of their arrival. Events without
    `published` are one second apart. If the file has several rules, the key Rule names the rule to test.

    FILE is a file of rules or of tests, or a folder. Without FILE, the tests of `rules.files` are run. For a test that
    fails, the output names the first field that differs.

    Exit codes: 0 all tests pass, 1 a test fails, 2 a file cannot be read, or there is no test.
    """
    from forwarder.rules.rule_tests import run_tests

    section = rules_section(config, files)
    results, problems, untested = run_tests(section.files, section.lists)
    failed = [result for result in results if result.failure]
    if as_json:
        echo(_results_as_json(results, untested, problems))
    for result in failed:
        text = f"{result.test.file}:{result.test.line}: {result.test.name}: {result.failure}"
        echo(text, fg="red", err=True)
    for problem in problems:
        echo(str(problem), fg="red", err=True)
    if not as_json:
        echo(f"{count(len(results) - len(failed), 'test')} passed, {len(failed)} failed")
        if untested:
            echo(
                f"{count(len(untested), 'rule')} without tests: {', '.join(rule.title for rule in untested)}"
            )
    if not results and not problems:
        text = "there is no test; write the tests of name.yml into name.tests.yml in the same folder"
        echo(text, fg="red", err=True)
    raise SystemExit(2 if problems or not results else 1 if failed else 0)


def _results_as_json(
    results: "Sequence[TestResult]", untested: "Sequence[Described]", problems: "Sequence[RuleProblem]"
) -> str:
    result = {
        "tests": [
            {
                "file": str(result.test.file),
                "line": result.test.line,
                "name": result.test.name,
                "passed": not result.failure,
                "failure": result.failure,
            }
            for result in results
        ],
        "rules_without_tests": [rule.title for rule in untested],
        "problems": [str(problem) for problem in problems],
    }
    return json.dumps(result, indent=2).replace("\x7f", "\\u007f")
