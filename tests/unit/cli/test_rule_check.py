"""`forwarder rules check` and `forwarder rules test`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main

RULE = """title: Sessions
id: 3b1f2a5e-2a5e-4d7c-9f0e-0f6f1a2b3c4d
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: [user.session.start, zone.delete]}
  admins: {actor.type: [User, Admin], securityContext.isProxy: true}
  main: {actor.alternateId|endswith|expand: '@%ours%'}
  condition: selection and admins and not main
level: high
"""
CORRELATION = """---
title: Many sessions
correlation: {type: event_count, rules: 3b1f2a5e-2a5e-4d7c-9f0e-0f6f1a2b3c4d, timespan: 5m, condition: {gte: 3}}
"""
TESTS = """Lists: {ours: [corp.example]}
Tests:
  - {Name: a stranger, ExpectedResult: true, Log: {eventtype: user.session.start, actor: {type: User, alternateId: a@x}, securityContext: {isProxy: true}}}
  - {Name: one of us, ExpectedResult: false, Log: {eventType: user.session.start, actor: {type: User, alternateId: a@corp.example}, securityContext: {isProxy: true}}}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no configuration


def configured(folder: Path, rules: str) -> Path:
    path = folder / "forwarder.yaml"
    path.write_text(f"orgs: {{acme: {{secrets: [s]}}}}\nsinks: {{a: {{kind: file, path: {folder}/a}}}}\nrules: {rules}")
    return path


def written(folder: Path, text: str, name: str = "rules.yml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.long
def test_each_rule_is_shown_with_what_feeds_it(tmp_path: Path) -> None:
    written(tmp_path, RULE + CORRELATION)
    written(tmp_path, '# a comment\neventType eq "user.session.end"\nactor.id pr\n', "filters.txt")
    config = configured(tmp_path, "{files: [rules.yml, filters.txt], lists: {ours: [corp.example]}}")
    result = run("check", "--config", config)
    assert result.exit_code == 0, result.output
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["Sessions", "high", "hook, and in part only the System Log", "by correlations"] in cells
    assert ["Many sessions", "medium", "Sessions", "yes"] in cells
    assert ['eventType eq "user.session.end"', "medium", "hook", "yes"] in cells
    assert ["actor.id pr", "medium", "any type", "yes"] in cells
    assert "3 rules, 1 correlation, 0 exceptions" in result.stdout


@pytest.mark.long
def test_all_problems_are_shown_at_once_with_file_line_and_hint(tmp_path: Path) -> None:
    one = written(tmp_path, RULE.replace("endswith", "endwith").replace("level: high", "levle: high"), "a.yml")
    two = written(tmp_path, RULE, "b.yml")
    three = written(tmp_path, 'eventType eq "x"\neventType equals "y"\n', "c.txt")
    four = written(tmp_path, CORRELATION.replace("3b1f2a5e-2a5e", "3b1f2a5e-2a5f").replace("5m", "5"), "d.yml")
    result = run("check", one, two, three, four, "none.yml")
    assert result.exit_code == 2
    for line in (
        f"{one}:7: actor.alternateId|endwith|expand: unknown modifier 'endwith'; did you mean 'endswith'?",
        f"{one}:9: unknown key 'levle' in a rule; did you mean 'level'?",
        (
            f"{two}:7: actor.alternateId|endswith|expand: unknown list 'ours': `rules.lists` does not define this "
            "list; define the list"
        ),
        f"{three}:2: Unrecognized attribute operator 'equals'",
        f"{four}:3: `timespan` is required: a number and s, m, h or d, as in 5m",
        f"{four}:1: unknown rule '3b1f2a5e-2a5f-4d7c-9f0e-0f6f1a2b3c4d': no loaded rule has this id or name",
        "none.yml: No such file or directory",
    ):
        assert line in result.stderr


@pytest.mark.long
def test_what_can_be_loaded_and_is_probably_a_mistake_exits_1(tmp_path: Path) -> None:
    text = (
        RULE.replace("zone.delete", "zone.dellete")
        .replace("actor.type", "actr.type")
        .replace("|expand: '@%ours%'", ": x")
    )
    exception = "---\ntitle: Holiday\nlogsource: {product: okta}\nfilter: {rules: any, s: {actor.id: x}, condition: not s}\nuntil: 2026-01-31\n"
    path = written(tmp_path, text + exception)
    result = run("check", path)
    assert result.exit_code == 1
    assert f"{path}:1: Sessions: unknown event type zone.dellete; did you mean zone.delete?" in result.stderr
    assert "Okta's events have no field 'actr', so actr.type never has a value; did you mean actor?" in result.stderr
    assert (
        f"{path}:10: Holiday: the exception ended on 2026-01-31; remove the exception, or give it a later day in "
        "`until`"
    ) in result.stderr
    found = json.loads(run("check", "--json", path).stdout)
    assert [each["fed_by"] for each in found["rules"]] == ["hooks"]
    assert (len(found["warnings"]), found["problems"], found["exceptions"][0]["until"]) == (3, [], "2026-01-31")


def test_a_field_that_groups_or_excepts_and_does_not_exist_is_a_warning(tmp_path: Path) -> None:
    more = ", group-by: [user, actr.id], aliases: {user: {other: actor.id}}}"
    correlation = CORRELATION.replace("event_count, rules: ", "event_count, rules: [other, ").replace(
        ", timespan", "], timespan"
    )
    other = RULE.replace("id: 3b1f2a5e-2a5e-4d7c-9f0e-0f6f1a2b3c4d", "name: other") + "---\n"
    exception = (
        "---\ntitle: Holiday\nlogsource: {product: okta}\nfilter: {rules: any, s: {usr.id: x}, condition: not s}\n"
    )
    text = (other + RULE).replace("|expand: '@%ours%'", ": x") + correlation.replace("}}", "}" + more) + exception
    result = run("check", written(tmp_path, text))
    assert result.exit_code == 1, result.output
    assert (
        "Many sessions: Okta's events have no field 'actr', so actr.id never has a value; did you mean actor?"
        in result.stderr
    )
    assert (
        "the alias 'user' has no field for 3b1f2a5e-2a5e-4d7c-9f0e-0f6f1a2b3c4d, so the events of this rule are not counted"
        in result.stderr
    )
    assert "Holiday: Okta's events have no field 'usr', so usr.id never has a value" in result.stderr


@pytest.mark.long
def test_a_rule_whose_events_no_source_delivers_is_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path, 'eventType eq "zone.delete"\n', "filters.txt")
    hooks_only = configured(tmp_path, "{files: [filters.txt]}")
    result = run("check", "--config", hooks_only)
    assert result.exit_code == 1, result.output
    assert (
        f'{path.name}:1: eventType eq "zone.delete": only the System Log has the events of this rule, and no org has `api`'
        in result.stderr
    )
    polled = hooks_only.read_text().replace("[s]", "[s], url: https://acme.okta.com, api: {token: t}")
    hooks_only.write_text(polled)
    assert run("check", "--config", hooks_only).exit_code == 0


def test_rules_about_other_products_are_counted(tmp_path: Path) -> None:
    other = RULE.replace("product: okta, service: okta", "product: windows")
    path = written(tmp_path, other + CORRELATION)
    result = run("check", path)
    assert (result.exit_code, "2 left out" in result.stdout) == (0, True), result.output


def test_without_files_and_without_a_configuration_the_command_says_what_it_needs(tmp_path: Path) -> None:
    result = run("check", "--config", configured(tmp_path, "{}"))
    assert (result.exit_code, "set `rules.files`" in result.output) == (2, True), result.output


@pytest.mark.long
def test_tests_beside_a_rule_pass(tmp_path: Path) -> None:
    written(tmp_path, RULE)
    tests = written(tmp_path, TESTS, "rules.tests.yml")
    for arguments in ([tmp_path], [tmp_path / "rules.yml"], [tests]):
        result = run("test", *arguments)
        assert (result.exit_code, "2 tests passed, 0 failed" in result.output) == (0, True), result.output


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (("eventtype: user.session.start", "eventtype: x"), '''does not match: eventType is "x"; the rule wants "user.session.start" or "zone.delete"'''),
        (("isProxy: true}}}", "isProxy: false}}}"), """does not match: securityContext.isProxy is "false"; the rule wants true"""),
        (("{isProxy: true}}}", "{}}}"), "does not match: securityContext.isProxy is missing; the rule wants true"),
        (("a@x", "a@corp.example"), '''does not match: actor.alternateId is "a@corp.example"; the rule excludes "*@corp.example"'''),
        (("ExpectedResult: true", "ExpectedResult: false"), """matches: eventType is "user.session.start"; the rule matches "user.session.start" or"""),
    ],
)  # fmt: skip
def test_a_test_that_fails_shows_the_first_field_that_differs(
    change: tuple[str, str], shown: str, tmp_path: Path
) -> None:
    written(tmp_path, RULE)
    tests = written(tmp_path, TESTS.replace(*change, 1), "rules.tests.yml")
    result = run("test", tmp_path)
    assert result.exit_code == 1
    assert f"{tests}:3: a stranger: 'Sessions' " in result.stderr
    assert shown in result.stderr


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("- {Name: a, ExpectedResult: true}", "line 1: a test needs Name, ExpectedResult, and either Log or Logs"),
        ("- {Name: a, ExpectedResult: maybe, Log: {}}", "ExpectedResult must be true or false"),
        ("- {Name: a, ExpectedResult: true, Log: {}, Logz: []}", "the test has the unknown key 'Logz'"),
        ("[", "is not YAML"),
        ("", "holds no test"),
    ],
)
def test_tests_that_cannot_be_read_exit_2(tests: str, said: str, tmp_path: Path) -> None:
    written(tmp_path, RULE.replace("|expand: '@%ours%'", ": x"))
    written(tmp_path, tests, "rules.tests.yml")
    result = run("test", tmp_path)
    assert (result.exit_code, said in result.stderr) == (2, True), result.output


def test_a_rule_without_tests_is_named(tmp_path: Path) -> None:
    written(tmp_path, RULE)
    written(tmp_path, TESTS, "rules.tests.yml")
    written(tmp_path, "actor.id pr\n", "other.txt")
    assert "1 rule without tests: actor.id pr" in run("test", tmp_path).stdout
    assert run("test", tmp_path / "other.txt").exit_code == 2


LOGS = """
- Name: three in five minutes
  ExpectedResult: true
  Logs:
    - {published: 2026-11-28T08:00:00Z, eventType: user.session.start, actor: {type: User}, securityContext: {isProxy: true}}
    - {published: 2026-11-28T08:02:00Z, eventType: user.session.start, actor: {type: User}, securityContext: {isProxy: true}}
    - {published: 2026-11-28T08:04:00Z, eventType: user.session.start, actor: {type: User}, securityContext: {isProxy: true}}
"""


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (("", ""), ""),
        (("08:04", "08:06"), "'Many sessions' does not alert: it wants event_count gte 3 within 300 s; 'Sessions' matched 3 of 3 events"),
        (("user.session.start", "x"), "'Sessions' matched 0 of 3 events; 'Sessions' does not match the first event: eventType is"),
        (("ExpectedResult: true", "ExpectedResult: false"), "'Many sessions' alerts at event 3, with a count of 3"),
    ],
)  # fmt: skip
def test_a_correlation_is_tested_on_several_events(change: tuple[str, str], shown: str, tmp_path: Path) -> None:
    written(tmp_path, RULE.replace("|expand: '@%ours%'", ": x") + CORRELATION)
    tests = LOGS.replace(*change) if change[0] else LOGS
    written(tmp_path, tests, "rules.tests.yml")
    result = run("test", tmp_path)
    assert result.exit_code == bool(shown), result.output
    assert shown in result.stderr
    assert "1 rule without tests: Sessions" in result.stdout


def test_a_time_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    written(tmp_path, RULE.replace("|expand: '@%ours%'", ": x") + CORRELATION)
    written(tmp_path, LOGS.replace("2026-11-28T08:02:00Z", "yesterday"), "rules.tests.yml")
    result = run("test", tmp_path)
    assert (result.exit_code, "line 2: `published` must be a time" in result.stderr) == (2, True), result.output


EXCEPTION = """title: The scanner
logsource: {product: okta, service: okta}
filter:
  rules: any
  scanner: {client.ipAddress|cidr: 192.0.2.0/28}
  condition: not scanner
until: 2026-01-31
"""


def test_an_exception_is_tested_by_what_it_holds_back(tmp_path: Path) -> None:
    written(tmp_path, RULE.replace("|expand: '@%ours%'", ": x"))
    written(tmp_path, EXCEPTION, "scanner.yml")
    tests = """
- {Name: the scanner, ExpectedResult: true, Log: {client: {ipAddress: 192.0.2.1}}, Mocks: []}
- {Name: a user, ExpectedResult: false, Log: {client: {ipAddress: 192.0.2.100}}}
"""
    written(tmp_path, tests, "scanner.tests.yml")
    result = run("test", tmp_path)
    assert (result.exit_code, "2 tests passed" in result.stdout) == (0, True), result.output
    written(tmp_path, tests.replace("192.0.2.100", "192.0.2.2").replace("192.0.2.1}", "10.1.1.1}"), "scanner.tests.yml")
    result = run("test", tmp_path)
    assert result.exit_code == 1
    shown = "the scanner: 'The scanner' lets the event through: client.ipAddress is \"10.1.1.1\"; the rule excludes only an address in 192.0.2.0/28"
    assert shown in result.stderr
    assert (
        "a user: 'The scanner' holds the event back: client.ipAddress is \"192.0.2.2\"; the rule excludes an address"
        in result.stderr
    )


@pytest.mark.parametrize("target", ["gone.yml", "rules.tests.yml"])  # missing, or a loop
def test_a_file_of_tests_that_is_a_link_to_nothing_is_a_problem(tmp_path: Path, target: str) -> None:
    rules = written(tmp_path, RULE)
    tests = tmp_path / "rules.tests.yml"
    tests.symlink_to(target)
    result = run("test", rules)
    assert result.exit_code == 2
    assert f"{tests}: " in result.output
    assert "there is no test" not in result.output
