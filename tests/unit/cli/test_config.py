"""`forwarder config`: the configuration in force with its origins, and the schema that editors check a file by."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.settings import read
from tools.make_config_schema import TARGET

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(TARGET.read_text(encoding="utf-8"))

FULL = """
orgs:
  acme:
    url: https://acme.okta.com
    secrets: [{env: NOT_SET_HERE}, planted-secret-in-the-file, {file: /nowhere/hook-secret}]
    api: {client_id: 0oa1, private_key: {file: /nowhere/key.pem}}
    hook: {uri: https://hooks.acme.com/okta/events, events: [security, group.lifecycle.create]}
  calm: {path: /calm, secrets: [another-planted-secret]}
receiver: {listen: "127.0.0.1:8443", max_body: 5 MiB}
store: {path: /tmp/forwarder.db, max_size: 2GB, retention: 36h}
sinks:
  siem: {kind: elasticsearch, hosts: ["https://es:9200"], api_key: {env: NOT_SET_HERE}, delivery: {timeout: 500ms}}
  traces: {kind: otlp, endpoint: "https://otel:4318", headers: {X-Token: {env: NOT_SET_HERE}}, except: [user.mfa.*]}
  archive: {kind: file, path: /tmp/okta.ndjson, only: [user.session.start], redact: [actor.alternateId]}
ops: {listen: "[::1]:9464", token: {file: /nowhere/token}, allowed_hosts: [siem.example.com]}
log: {level: warning}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "forwarder.yaml"
    file.write_text(FULL)
    return file


def run(*words: Any) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, words)], catch_exceptions=False)


@pytest.mark.long
def test_show_gives_values_in_force_with_their_origin(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__RECEIVER__LISTEN", "0.0.0.0:9000")
    done = run("show", "--config", config)
    assert done.exit_code == 0
    lines = {" ".join(line.split()) for line in done.output.splitlines()}
    assert "listen: 0.0.0.0:9000 # FORWARDER__RECEIVER__LISTEN" in lines
    assert "max_body: 5MiB # file" in lines
    assert "retention: 36h # file" in lines
    assert "dedup_window: 30d # default" in lines
    shown = yaml.safe_load(done.output)
    assert shown["sinks"]["siem"]["delivery"]["timeout"] == "500ms"
    assert shown["sinks"]["siem"]["delivery"]["concurrency"] == 2  # the default of this kind


@pytest.mark.long
def test_show_hides_secrets_and_names_their_sources_without_reading_them(config: Path) -> None:
    for words in (["show"], ["show", "--json"], ["show", "--changed"]):
        done = run(*words, "--config", config)
        assert done.exit_code == 0
        assert "planted" not in done.output
    shown = yaml.safe_load(run("show", "--config", config).output)
    secrets = shown["orgs"]["acme"]["secrets"]
    assert secrets == [{"env": "NOT_SET_HERE"}, "***", {"file": "/nowhere/hook-secret"}]
    assert shown["sinks"]["traces"]["headers"] == {"x-token": {"env": "NOT_SET_HERE"}}
    assert shown["ops"]["token"] == {"file": "/nowhere/token"}


@pytest.mark.long
def test_what_show_prints_is_the_same_configuration_again(config: Path) -> None:
    shown = yaml.safe_load(run("show", "--config", config).output)
    again = config.with_name("again.yaml")
    again.write_text(json.dumps(shown))
    assert yaml.safe_load(run("show", "--config", again).output) == shown


@pytest.mark.long
def test_show_changed_leaves_the_defaults_out(config: Path) -> None:
    shown = yaml.safe_load(run("show", "--changed", "--config", config).output)
    assert shown["log"] == {"level": "warning"}
    assert "reconcile" not in shown
    assert shown["sinks"]["siem"]["delivery"] == {"timeout": "500ms"}


@pytest.mark.long
def test_show_as_json_names_the_origin_of_every_key(config: Path) -> None:
    shown = json.loads(run("show", "--json", "--config", config).output)
    assert shown["config"]["ops"]["listen"] == "[::1]:9464"
    assert shown["from"]["ops.listen"] == "file"
    assert shown["from"]["log.format"] == "default"


@pytest.mark.long
def test_show_of_a_wrong_configuration_ends_with_2(config: Path) -> None:
    config.write_text(FULL.replace("max_size", "maxsize"))
    done = run("show", "--config", config)
    assert done.exit_code == 2
    assert "store.maxsize: unknown key; did you mean `max_size`?" in done.output


@pytest.mark.long
def test_the_schema_in_the_repository_is_what_the_code_says() -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415  # takes 0.2 s

    Draft202012Validator.check_schema(SCHEMA)
    assert run("schema").output == TARGET.read_text(encoding="utf-8"), "python -m tools.make_config_schema"


def problems(text: str) -> list[str]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415  # takes 0.2 s

    found = Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))
    return [f"{error.json_path} {error.message}" for error in found]


@pytest.mark.long
def test_every_example_configuration_is_valid_and_names_the_schema() -> None:
    examples = sorted((ROOT / "config").glob("forwarder.*.yaml"))
    assert len(examples) >= 2
    for file in examples:
        text = file.read_text(encoding="utf-8")
        assert text.splitlines()[0] == f"# yaml-language-server: $schema={TARGET.name}"
        assert not problems(text), file
    assert not problems(FULL)


@pytest.mark.long
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("max_size", "maxsize"),
        ("receiver:", "recever:"),
        ("kind: file", "kind: fle"),
        ("kind: elasticsearch, ", ""),
        ("hosts:", "host:"),
        ("2GB", "2 apples"),
        ("2GB", "2000000000"),
        ("36h", "36"),
        ("500ms", "500msec"),
        ("level: warning", "level: warn"),
        ("{env: NOT_SET_HERE}, planted", "{envv: NOT_SET_HERE}, planted"),
        ("{file: /nowhere/token}", "{file: /nowhere/token, env: X}"),
        ('"[::1]:9464"', "9464"),
        ("events: [security, group.lifecycle.create]", "events: securty"),
        ("group.lifecycle.create", "group.lifecycle.craete"),
        ("  calm:", "  'calm down':"),
        ("uri: https://hooks.acme.com/okta/events, ", ""),
        ("timeout: 500ms", "timeoutt: 500ms"),
    ],
)
def test_the_schema_finds_what_the_forwarder_would_refuse(right: str, wrong: str) -> None:
    assert FULL.count(right) >= 1
    assert problems(FULL.replace(right, wrong, 1))


@pytest.mark.long
def test_a_key_that_the_schema_has_is_one_that_the_forwarder_takes() -> None:
    """The defaults of the schema, written into a file, are accepted."""
    tree: dict[str, Any] = {"orgs": {"a": {"secrets": ["s"]}}, "sinks": {"f": {"kind": "file", "path": "/tmp/x"}}}
    for section in ("receiver", "store", "reconcile", "rules", "ops", "log"):
        reference = SCHEMA["properties"][section]["$ref"].rpartition("/")[2]
        keys = SCHEMA["$defs"][reference]["properties"]
        tree[section] = {key: value["default"] for key, value in keys.items() if "default" in value}
    assert not problems(json.dumps(tree))
    read(tree)


def test_every_key_of_the_schema_says_what_it_means() -> None:
    bare = [
        f"{name}.{key}"
        for name, section in SCHEMA["$defs"].items()
        for key, value in section.get("properties", {}).items()
        if "description" not in value and "const" not in value
    ]
    assert not bare
