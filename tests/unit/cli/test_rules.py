"""`forwarder rules coverage`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", "coverage", *map(str, arguments)])


def written(path: Path, *queries: str) -> Path:
    rules = [
        {"name": f"Okta [rule] {number}", "query": query, "language": "kuery"} for number, query in enumerate(queries)
    ]
    path.write_text(json.dumps(rules))
    return path


@pytest.mark.long
def test_rules_whose_types_all_exist_are_a_success(tmp_path: Path) -> None:
    result = run(
        written(tmp_path / "rules.json", "event.action: user.session.start", "event.action: zone.delete", "x: y")
    )
    assert result.exit_code == 0
    assert "Okta [rule] 0" in result.output
    assert "1 of 1" in result.output
    assert "0 of 1" in result.output
    assert "3 rules, by Okta's catalogue" in result.output
    assert "1  fed by event hooks\n     1  fed only by the System Log\n     1  name no event type" in result.output


@pytest.mark.long
def test_a_type_that_does_not_exist_exits_1_and_is_told_with_a_hint(tmp_path: Path) -> None:
    path = written(tmp_path / "rules.json", "event.action: user.session.begin")
    result = run(path)
    assert result.exit_code == 1
    assert (
        f"{path}: Okta [rule] 0: unknown event type user.session.begin; did you mean user.session.end?" in result.output
    )


def test_what_cannot_be_read_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    good = written(tmp_path / "good.json", "event.action: user.session.start")
    bad = tmp_path / "bad.toml"
    bad.write_text("[rule")
    result = run(bad, tmp_path / "none.yml", good)
    assert result.exit_code == 2
    assert "Okta [rule] 0" in result.stdout
    assert f"{bad}: is not TOML" in result.stderr
    assert f"{tmp_path / 'none.yml'}: No such file" in result.stderr


@pytest.mark.long
def test_json_tells_all_of_it(tmp_path: Path) -> None:
    path = written(
        tmp_path / "rules.json",
        "event.action: (user.session.start or zone.delete or user.session.begin)",
        "event.action: user.session.start",
    )
    other = tmp_path / "other.json"
    other.write_text('{"name": "about Windows", "query": "process.name: cmd.exe"}')
    result = run("--json", path, other)
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["summary"] == {
        "rules": 2,
        "hooks": 1,
        "partly": 1,
        "system_log": 0,
        "unknown": 0,
        "no_such_type": 0,
        "unknown_event_types": 1,
        "left_out": 1,
    }
    assert told["rules"][0] == {
        "file": str(path),
        "name": "Okta [rule] 0",
        "id": "",
        "language": "kuery",
        "fed_by": "partly",
        "by_hooks": ["user.session.start"],
        "only_system_log": ["zone.delete"],
        "unknown_event_types": [{"name": "user.session.begin", "near": "user.session.end"}],
    }


def test_problems_are_in_the_json_too(tmp_path: Path) -> None:
    result = run(tmp_path / "none.json", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["problems"] == [
        {"place": str(tmp_path / "none.json"), "text": "No such file or directory; create it, or correct the path"}
    ]


@pytest.mark.long
def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    written(tmp_path / "rules.json", "event.action: user.session.start")
    (tmp_path / "splunk.yml").write_text("title: t\ndetection: {splunk: index=okta}\n")
    (tmp_path / "windows.yml").write_text("title: t\nlogsource: {product: windows}\ndetection: {condition: near}\n")
    (tmp_path / "broken.yml").write_text("[")
    (tmp_path / "README.md").write_text("# Rules")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "1 rule, by Okta's catalogue" in result.output
    assert "1  left out: not about Okta" in result.output
    assert "1  left out: in a query language that this command does not read" in result.output
    assert "1  left out: broken files and rules that are not about Okta" in result.output
    told = json.loads(run(tmp_path, "--json").stdout)
    assert told["left_out"] == {"other_product": 1, "other_language": 1, "unreadable": 1, "other_format": 1}
    assert told["summary"]["left_out"] == 2


CHECKOUTS = {
    "elastic/rules/windows/a.toml": '[rule]\nname = "a"\nindex = ["winlogbeat-*"]\nlanguage = "eql"\nquery = "x where (("\n',
    "elastic/rules/okta/b.toml": '[rule]\nname = "b"\nindex = ["logs-okta*"]\nquery = "event.action: zone.create"\n',
    "elastic/hunting/c.toml": '[hunt]\nname = "c"\nintegration = ["okta"]\nlanguage = ["SQL"]\nquery = ["SELECT 1"]\n',
    "elastic/etc/schema.json": '{"properties": {"query": {"type": "string"}}}',
    "elastic/hunting/c.md": "# c",
    "sigma/windows/d.yml": "title: d\nlogsource: {product: windows}\ndetection: {condition: a near b}\n",
    "sigma/okta/e.yml": "title: e\nlogsource: {service: okta}\ndetection: {s: {eventtype: zone.delete}, condition: s}\n",
    "sigma/correlations/f.yml": "title: f\ncorrelation: {type: event_count, rules: [e], group-by: [user]}\n",
    "okta/hunts/g.yml": "title: g\ndetection: {okta_systemlog: {OIE: 'eventType in [\"zone.update\"]'}}\n",
    "okta/hunts/h.yml": "title: h\ndetection: {splunk: index=main eventType=zone.create}\n",
    "okta/osquery/i.yml": "title: i\nauthor: i@okta.com\nquery: SELECT 1\n",
    "panther/rules/j.yml": "AnalysisType: rule\nFilename: j.py\nLogTypes: [Okta.SystemLog]\n",
    "panther/rules/j.py": "def rule(event):\n    return True\n",
    "panther/queries/k.yml": "AnalysisType: scheduled_query\nQuery: SELECT * FROM okta\n",
}  # fmt: skip


@pytest.mark.long
def test_whole_checkouts_of_public_rules_exit_0_and_name_what_they_left_out(tmp_path: Path) -> None:
    for name, text in CHECKOUTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for folder in ("elastic", "sigma", "okta", "panther"):
        assert run(tmp_path / folder).exit_code == 0, folder
    result = run(tmp_path, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["problems"]) == (0, [])
    assert sorted(rule["name"] for rule in told["rules"]) == ["b", "e", "g"]
    assert told["left_out"] == {
        "other_product": 2,
        "other_language": 5,
        "reference": 1,
        "no_rule": 1,
        "other_format": 2,
    }


def test_a_name_of_the_old_events_api_is_told_with_its_type(tmp_path: Path) -> None:
    path = written(tmp_path / "rules.json", "event.action: (core.user_auth.login_failed or core.nothing)")
    output = run(path).output
    assert (
        "unknown event type core.user_auth.login_failed; this name of the old Events API is now user.session.start"
        in output
    )
    assert "unknown event type core.nothing\n" in output


def test_a_folder_without_a_readable_rule_is_said_and_exits_2(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path}: contains no rule that can be read" in result.stderr


@pytest.mark.long
def test_a_rule_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    rule = {"name": "Okta \x1b[2J\x9b\ud800\x7f", "query": "event.action: a\x1b[31m.b"}
    path.write_text(json.dumps(rule))
    for arguments in ([path], [path, "--json"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert not {"\x1b", "\x9b", "\x7f"} & set(result.output)
    assert json.loads(run(path, "--json").stdout)["rules"][0]["name"] == rule["name"]
