"""The configuration: what is accepted, and that every fault is told at once, with its path and without a secret."""

from pathlib import Path
from typing import Any

import pytest

from forwarder.core.errors import SettingsError
from forwarder.settings import load, read

ROOT = Path(__file__).parents[2]

# design.md, section 7: what users rely on.
CONTRACT = """
orgs:
  acme:
    url: https://acme.okta.com
    path: /okta/events
    header: Authorization
    secrets: [{env: ACME_HOOK_SECRET}]
    api: {token: {file: TOKEN_FILE}}
    hook: {name: forwarder, uri: https://hooks.acme.com/okta/events, events: all-eligible}
receiver: {listen: 127.0.0.1:8080, max_body: 10MiB, commit_timeout: 2s}
store: {path: /var/lib/forwarder/forwarder.db, max_size: 10GiB, retention: 7d, dedup_window: 30d}
sinks:
  siem:    {kind: elasticsearch, hosts: [https://es.internal:9200], api_key: {env: ES_API_KEY}, namespace: default}
  traces:  {kind: otlp, endpoint: http://127.0.0.1:4318, protocol: http/protobuf}
  archive: {kind: file, path: /var/lib/forwarder/archive/okta.ndjson, format: ecs}
reconcile: {poll: 60s, lookback: 1h, grace: 5m, rate_share: 0.3}
ops: {listen: 127.0.0.1:9464}
"""


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ACME_HOOK_SECRET", "planted-hook-secret")
    monkeypatch.setenv("ES_API_KEY", "planted-api-key")
    token = tmp_path / "token"
    token.write_text("planted-token\n")
    return token


def smallest(**changes: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "orgs": {"acme": {"secrets": ["s"]}},
        "sinks": {"archive": {"kind": "file", "path": "/tmp/x.ndjson"}},
    }
    return tree | changes


def faults_of(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(tree)
    return caught.value.problems


def test_the_promised_configuration_is_accepted(secrets: Path, tmp_path: Path) -> None:
    file = tmp_path / "forwarder.yaml"
    file.write_text(CONTRACT.replace("TOKEN_FILE", str(secrets)))
    settings = load(file)
    assert settings.receiver.max_body == 10 * 2**20
    assert settings.store.retention == 7 * 86400
    assert [sink.kind for sink in settings.sinks.values()] == ["elasticsearch", "otlp", "file"]
    assert settings.orgs["acme"].secrets[0].reveal() == "planted-hook-secret"
    assert "planted" not in repr(settings)
    assert {secret.reveal() for secret in settings.secrets()} == {
        "planted-hook-secret",
        "planted-api-key",
        "planted-token",
    }


def test_the_shortest_configuration_has_one_org_with_a_secret_and_one_sink() -> None:
    settings = read(smallest())
    assert settings.orgs["acme"].path == "/okta/events"
    assert settings.receiver.listen == "127.0.0.1:8080"
    assert settings.ops.listen == "127.0.0.1:9464"
    assert str(settings.store.path) == "/var/lib/forwarder/forwarder.db"


def test_one_key_of_delivery_leaves_the_other_defaults_of_its_kind_of_sink() -> None:
    delivery = {"timeout": "5s"}
    siem = {"kind": "elasticsearch", "hosts": ["http://es:9200"], "delivery": delivery}
    traces = {"kind": "otlp", "endpoint": "http://otel:4318", "delivery": delivery}
    sinks = read(smallest(sinks={"siem": siem, "traces": traces})).sinks
    assert (sinks["siem"].delivery.concurrency, sinks["siem"].delivery.batch_events) == (2, 500)
    assert (sinks["traces"].delivery.concurrency, sinks["traces"].delivery.batch_events) == (1, 200)
    assert sinks["traces"].delivery.batch_bytes == 1024 * 1024


def test_the_example_and_the_one_of_compose_are_accepted(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OKTA_HOOK_SECRET", "EMULATOR_TOKEN"):
        monkeypatch.setenv(name, "s")
    files = sorted((ROOT / "config").glob("**/forwarder*.yaml"))
    assert files
    for file in files:
        load(file)


def test_every_fault_is_told_at_once_with_its_path() -> None:
    tree = smallest(
        orgs={"acme": {"secrets": [{"env": "NOT_SET_ANYWHERE"}], "paht": "/x"}},
        receiver={"listen": "8080", "max_body": "10 apples"},
        sinks={"siem": {"kind": "elasticsearch", "hots": ["http://a"]}, "other": {"kind": "syslog"}},
        stroe={},
    )
    faults = "\n".join(faults_of(tree))
    for expected in (
        "orgs.acme.paht: unknown key; did you mean `path`?",
        "orgs.acme.secrets[0]: the environment has no variable NOT_SET_ANYWHERE",
        "receiver.listen: '8080' is no address; write host:port",
        "receiver.max_body: '10 apples' is no size",
        "sinks.siem.hots: unknown key; did you mean `hosts`?",
        "sinks.siem.hosts: is required and not there",
        "sinks.other.kind: must be one of elasticsearch, file, otlp",
        "stroe: unknown key; did you mean `store`?",
    ):
        assert expected in faults


def test_every_fault_is_told_at_once_also_those_that_only_several_sections_show() -> None:
    tree = smallest(
        orgs={"acme": {"paht": "/x", "secrets": ["s"], "path": "no-slash", "header": "no header"}},
        sinks={name: {"kind": "file", "path": "/tmp/a"} for name in ("a", "b", "receiver")},
        receiver={"listen": "127.0.0.1:9464"},
        log={"level": "loud"},
    )
    faults = "\n".join(faults_of(tree))
    for expected in (
        "orgs.acme.paht: unknown key",
        "orgs.acme.path: must begin with `/`",
        "orgs.acme.header: is not the name of a header",
        "sinks.b.path: sinks.a writes the same file",
        "sinks.receiver: this name belongs",
        "ops.listen: the receiver listens there",
        "log.level: input should be",
    ):
        assert expected in faults


def test_a_list_whose_items_are_wrong_is_not_told_to_be_empty() -> None:
    tree = smallest(orgs={"acme": {"secrets": [{"env": "NOT_SET_ANYWHERE"}]}})
    assert [fault.partition(": ")[0] for fault in faults_of(tree)] == ["orgs.acme.secrets[0]"]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, "orgs: is required and not there"),
        (smallest(orgs={}), "orgs: at least one is needed"),
        (smallest(sinks={}), "sinks: at least one is needed"),
        (smallest(orgs={"a b": {"secrets": ["s"]}}), "orgs.a b: a name has letters"),
        (smallest(orgs={"acme": {"secrets": []}}), "orgs.acme.secrets: at least one is needed"),
        (smallest(orgs={"acme": {"secrets": ["s"], "path": "x"}}), "orgs.acme.path: must begin with `/`"),
        (
            smallest(sinks={"receiver": {"kind": "file", "path": "/tmp/a"}}),
            "sinks.receiver: this name belongs",
        ),
        (smallest(ops={"listen": "127.0.0.1:8080"}), "ops.listen: the receiver listens there"),
        (
            smallest(sinks={name: {"kind": "file", "path": "/tmp/a"} for name in ("a", "b")}),
            "sinks.b.path: sinks.a writes the same file",
        ),
        (
            smallest(orgs={"a": {"secrets": ["s"]}, "b": {"secrets": ["t", "s"]}}),
            "orgs.b.secrets[1]: orgs.a has the same path, header and secret",
        ),
        (smallest(orgs={"acme": {"secrets": ["s"], "api": {"token": "t"}}}), "orgs.acme.url: is needed"),
    ],
)
def test_a_fault_says_where_what_and_what_to_do(tree: dict[str, Any], expected: str) -> None:
    assert any(fault.startswith(expected) for fault in faults_of(tree)), faults_of(tree)


def test_no_fault_shows_a_secret() -> None:
    tree = smallest(
        orgs={
            "a": {"secrets": ["planted"], "planted_key": 1},
            "b": {"secrets": ["planted", {"planted": "x"}]},
        },
        sinks={"siem": {"kind": "elasticsearch", "hosts": ["http://a"], "api_key": {"vault": "planted"}}},
    )
    assert not any("planted" in fault.replace("planted_key", "") for fault in faults_of(tree))


def test_the_environment_lies_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__RECEIVER__LISTEN", "127.0.0.1:1234")
    monkeypatch.setenv("FORWARDER__ORGS__ACME__PATH", "/elsewhere")
    monkeypatch.setenv("FORWARDER__SINKS__SIEM__HOSTS", '["https://a", "https://b"]')
    monkeypatch.setenv("FORWARDER__ORGS__ACME__SECRETS", '["one", {"env": "HOME"}]')
    tree = smallest(
        orgs={"Acme": {"secrets": ["s"]}}, sinks={"siem": {"kind": "elasticsearch", "hosts": ["https://c"]}}
    )
    settings = read(tree)
    assert settings.receiver.listen == "127.0.0.1:1234"
    assert settings.orgs["Acme"].path == "/elsewhere"
    assert settings.sinks["siem"].hosts == ("https://a:443", "https://b:443")  # type: ignore[union-attr]
    assert settings.orgs["Acme"].secrets[0].reveal() == "one"


def test_a_misspelled_variable_is_a_fault_like_a_misspelled_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__RECIEVER__LISTEN", "127.0.0.1:1234")
    assert faults_of(smallest()) == ["reciever: unknown key; did you mean `receiver`?"]


@pytest.mark.parametrize("variable", ["FORWARDER__RECEIVER", "FORWARDER__ORGS__ACME__SECRETS"])
def test_a_variable_that_is_no_json_is_a_fault_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "{planted")
    faults = faults_of(smallest(stroe={}))
    assert len(faults) == 2
    assert faults[0].startswith(variable.removeprefix("FORWARDER__").lower().replace("__", ".") + ": write ")
    assert faults[1] == "stroe: unknown key; did you mean `store`?"


def test_who_needs_no_secret_reads_the_rest_without_them(tmp_path: Path) -> None:
    file = tmp_path / "forwarder.yaml"
    file.write_text(CONTRACT.replace("TOKEN_FILE", str(tmp_path / "not there")))
    with pytest.raises(SettingsError, match="ACME_HOOK_SECRET"):
        load(file)
    assert str(load(file, secrets=False).store.path) == "/var/lib/forwarder/forwarder.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orgs: {acme: {", "line 1, column"),
        ("orgs: {}\norgs: {}\n", "the key 'orgs' is written twice"),
        ("- a\n- b\n", "is a mapping of sections"),
        ("\x00", "no YAML"),
    ],
)
def test_what_is_no_yaml_mapping_is_a_fault_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert expected in caught.value.problems[0]
    assert str(file) in caught.value.problems[0]


def test_a_file_that_is_not_there_is_a_fault_that_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--config"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("org", "sources"),
    [
        ({"secrets": ["s"]}, ("hook",)),
        ({"secrets": ["s"], "url": "https://a.okta.com", "api": {"token": "t"}}, ("hook", "log")),
        ({"url": "https://a.okta.com", "api": {"token": "t"}}, ("log",)),
    ],
)
def test_an_org_comes_by_its_hook_by_its_system_log_or_by_both(
    org: dict[str, Any], sources: tuple[str, ...]
) -> None:
    assert read(smallest(orgs={"acme": org})).orgs["acme"].sources == sources


def test_an_org_with_a_hook_needs_a_secret_for_it() -> None:
    org = {"url": "https://a.okta.com", "api": {"token": "t"}, "hook": {"uri": "https://hooks.acme.com/x"}}
    assert faults_of(smallest(orgs={"acme": org})) == [
        "orgs.acme.secrets: at least one is needed, because the org has a `hook`"
    ]
