"""`forwarder rules check`: shows problems of the rules that the forwarder runs, and where their events come from.

`forwarder rules test`: runs the tests of these rules. The tests are in files beside the rules.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.options import DEFAULT_CONFIG, config_option, load_settings
from forwarder.cli.terminal import console, echo, echo_json, folded_table
from forwarder.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forwarder.rules.evaluation.ruleset import RuleProblem, Ruleset
    from forwarder.rules.probable_mistakes import Reviewed
    from forwarder.rules.rule_tests import TestResult
    from forwarder.rules.settings import RulesSettings
    from forwarder.rules.sigma.metadata import Described
    from forwarder.settings import Settings

FED_BY = {
    "hooks": "hook",
    "partly": "hook, and in part only the System Log",
    "system_log": "System Log",
    "unknown": "any type",
    "no_such_type": "neither",
}
"""Phrases that say where the events of a rule come from.

A rule that names no event type gets "any type". A rule gets "neither" if none of its event types exists.
"""

_UNFED = (
    "only the System Log has the events of this rule, and no org has `api` to read the log; set orgs.NAME.api, or remove the "
    "rule"
)


def rules_section(config: Path, files: "Sequence[Path]") -> "RulesSettings":
    """Return the section `rules` of the configuration.

    If `files` is not empty, it replaces `rules.files`, and the default configuration file need not exist.

    Raises:
        click.UsageError: `files` and `rules.files` are both empty.
    """
    from forwarder.rules.settings import RulesSettings

    if files and config == DEFAULT_CONFIG and not config.exists():
        return RulesSettings(files=tuple(files))
    section = load_settings(config, secrets=False).rules
    if not files and not section.files:
        raise click.UsageError("name files or folders of rules, or set `rules.files` in the configuration")
    return section.model_copy(update={"files": tuple(files)}) if files else section


@click.command()
@click.argument("files", metavar="[FILE]…", nargs=-1, type=click.Path(path_type=Path))
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(files: tuple[Path, ...], config: Path, *, as_json: bool) -> None:
    """Check the rules that the forwarder runs, and print every problem with its file and line.

    FILE is a file (.yml: Sigma rules, correlations and filters; .txt: a System Log filter on each line) or a folder of
    such files; without FILE, `rules.files` is checked. The lists of `rules.lists` come from the configuration.

    For each rule, the output says where its events come from: event hooks, only the System Log, or neither. The
    command warns of event types and fields that do not exist, of rules whose events the forwarder does not get, and of
    exceptions that have ended.

    Exit codes: 0 fine; 1 there are warnings; 2 a rule, a file or a list is missing or cannot be used, so the forwarder
    would refuse the configuration.
    """
    from forwarder.rules.evaluation.ruleset import RuleProblem
    from forwarder.rules.load import read_rules
    from forwarder.rules.probable_mistakes import reviewed, warnings

    section = rules_section(config, files)
    reads_log = not config.exists() or _reads_system_log(load_settings(config, secrets=False))
    ruleset, problems = read_rules(section.files, section.lists)
    found = reviewed(ruleset)
    doubts = warnings(ruleset, found)
    if not reads_log:
        doubts += [
            RuleProblem(each.rule.file, each.rule.line, f"{each.rule.title}: {_UNFED}")
            for each in found
            if each.needs.fed_by == "system_log"
        ]
    if as_json:
        _print_json(ruleset, found, doubts, problems)
    else:
        _print_table(ruleset, found)
    for doubt in doubts:
        echo(f"warning: {doubt}", fg="yellow", err=True)
    for problem in problems:
        echo(str(problem), fg="red", err=True)
    raise SystemExit(2 if problems else 1 if doubts else 0)


def _reads_system_log(settings: "Settings") -> bool:
    return any(org.api for name, org in settings.orgs.items() if name in (settings.rules.orgs or settings.orgs))


def _print_table(ruleset: "Ruleset", found: "Sequence[Reviewed]") -> None:
    table = folded_table("rule", "level", "fed by", "alerts", no_wrap=("level",))
    titles = {each.id: each.title for each in ruleset.rules_and_correlations}
    for each in found:
        table.add_row(each.rule.title, each.rule.level, FED_BY[each.needs.fed_by], _alerts(alerts=each.rule.alerts))
    for rule in ruleset.correlations:
        fed_by = ", ".join(titles[name] for name in rule.rules)
        table.add_row(rule.title, rule.level, fed_by, _alerts(alerts=rule.alerts))
    if found:
        terminal = console()
        terminal.print(table)
        terminal.print()
    kinds = (("rule", ruleset.rules), ("correlation", ruleset.correlations), ("exception", ruleset.exceptions))
    echo(", ".join(count(len(each), noun) for noun, each in kinds))
    if ruleset.left_out:
        echo(f"{ruleset.left_out} left out: not about Okta, or without a System Log filter")


def _alerts(*, alerts: bool) -> str:
    return "yes" if alerts else "by correlations"


def _print_json(
    ruleset: "Ruleset", found: "Sequence[Reviewed]", doubts: "Sequence[RuleProblem]", problems: "Sequence[RuleProblem]"
) -> None:
    result = {
        "rules": [
            {
                "id": each.rule.id,
                "title": each.rule.title,
                "level": each.rule.level,
                "file": str(each.rule.file),
                "line": each.rule.line,
                "alerts": each.rule.alerts,
                "fed_by": str(each.needs.fed_by),
                "by_hooks": list(each.needs.by_hooks),
                "only_system_log": list(each.needs.only_system_log),
                "unknown_event_types": dict(each.needs.unknown),
            }
            for each in found
        ],
        "correlations": [
            {
                "id": each.id,
                "title": each.title,
                "level": each.level,
                "file": str(each.file),
                "line": each.line,
                "alerts": each.alerts,
                "rules": list(each.rules),
            }
            for each in ruleset.correlations
        ],
        "exceptions": [
            {"id": each.id, "title": each.title, "file": str(each.file), "until": each.until and str(each.until)}
            for each in (*ruleset.exceptions, *ruleset.expired)
        ],
        "left_out": ruleset.left_out,
        "warnings": [_as_json(each) for each in doubts],
        "problems": [_as_json(each) for each in problems],
    }
    echo_json(result)


def _as_json(problem: "RuleProblem") -> dict[str, object]:
    return {"file": str(problem.file), "line": problem.line, "text": problem.text}


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

    Exit codes: 0 all tests pass; 1 a test fails; 2 a file cannot be read, or there is no test.
    """
    from forwarder.rules.rule_tests import run_tests

    section = rules_section(config, files)
    results, problems, untested = run_tests(section.files, section.lists)
    failed = [result for result in results if result.failure]
    if as_json:
        echo_json(_results_as_json(results, untested, problems))
    for result in failed:
        text = f"{result.test.file}:{result.test.line}: {result.test.name}: {result.failure}"
        echo(text, fg="red", err=True)
    for problem in problems:
        echo(str(problem), fg="red", err=True)
    if not as_json:
        echo(f"{count(len(results) - len(failed), 'test')} passed, {len(failed)} failed")
        if untested:
            echo(f"{count(len(untested), 'rule')} without tests: {', '.join(rule.title for rule in untested)}")
    if not results and not problems:
        text = "there is no test; write the tests of name.yml into name.tests.yml in the same folder"
        echo(text, fg="red", err=True)
    raise SystemExit(2 if problems or not results else 1 if failed else 0)


def _results_as_json(
    results: "Sequence[TestResult]", untested: "Sequence[Described]", problems: "Sequence[RuleProblem]"
) -> dict[str, object]:
    return {
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
