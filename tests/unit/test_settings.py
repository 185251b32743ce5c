"""What is accepted, and that every problem is reported at once, with its path and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from forwarder.core.errors import SettingsError
from forwarder.okta.hooks.needed_event_types import desired_types
from forwarder.settings import Settings, load, read

ROOT = Path(__file__).parents[2]

# What users rely on: a change breaks their files.
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


def problems_of(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(tree)
    return caught.value.problems


@pytest.mark.long
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
    assert (sinks["traces"].delivery.concurrency, sinks["traces"].delivery.batch_events) == (2, 100)
    assert sinks["traces"].delivery.batch_bytes == 1024 * 1024


@pytest.mark.long
def test_the_example_and_the_one_of_compose_are_accepted(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OKTA_HOOK_SECRET", "EMULATOR_TOKEN"):
        monkeypatch.setenv(variable, "s")
    for name in ("forwarder.example.yaml", "forwarder.compose.yaml"):
        load(ROOT / "config" / name)


def test_every_problem_is_reported_at_once_with_its_path() -> None:
    tree = smallest(
        orgs={"acme": {"secrets": [{"env": "NOT_SET_ANYWHERE"}], "paht": "/x"}},
        receiver={"listen": "8080", "max_body": "10 apples"},
        sinks={"siem": {"kind": "elasticsearch", "hots": ["http://a"]}, "other": {"kind": "syslog"}},
        stroe={},
    )
    problems = "\n".join(problems_of(tree))
    for expected in (
        "orgs.acme.paht: unknown key; did you mean `path`?",
        "orgs.acme.secrets[0]: the environment variable NOT_SET_ANYWHERE is not set",
        "receiver.listen: '8080' is not an address; write host:port",
        "receiver.max_body: '10 apples' is not a size",
        "sinks.siem.hots: unknown key; did you mean `hosts`?",
        "sinks.siem.hosts: is required",
        "sinks.other.kind: must be one of elasticsearch, file, otlp",
        "stroe: unknown key; did you mean `store`?",
    ):
        assert expected in problems


def test_every_problem_is_reported_at_once_with_those_between_sections() -> None:
    tree = smallest(
        orgs={"acme": {"paht": "/x", "secrets": ["s"], "path": "no-slash", "header": "no header"}},
        sinks={name: {"kind": "file", "path": "/tmp/a"} for name in ("a", "b", "receiver")},
        receiver={"listen": "127.0.0.1:9464"},
        log={"level": "loud"},
    )
    problems = "\n".join(problems_of(tree))
    for expected in (
        "orgs.acme.paht: unknown key",
        "orgs.acme.path: must begin with `/`",
        "orgs.acme.header: is not the name of a header",
        "sinks.b.path: sinks.a writes the same file",
        "sinks.receiver: this name is reserved",
        "ops.listen: the receiver listens there",
        "log.level: write debug, info, warning or error",
    ):
        assert expected in problems


def test_a_list_whose_items_are_wrong_is_not_called_empty() -> None:
    tree = smallest(orgs={"acme": {"secrets": [{"env": "NOT_SET_ANYWHERE"}]}})
    assert [problem.partition(": ")[0] for problem in problems_of(tree)] == ["orgs.acme.secrets[0]"]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, "orgs: is required"),
        (smallest(orgs={}), "orgs: at least one is required"),
        (smallest(sinks={}), "sinks: at least one is required"),
        (smallest(orgs={"a b": {"secrets": ["s"]}}), "orgs.a b: a name has letters"),
        (smallest(orgs={"acme": {"secrets": []}}), "orgs.acme.secrets: at least one is required"),
        (smallest(orgs={"acme": {"secrets": ["s"], "path": "x"}}), "orgs.acme.path: must begin with `/`"),
        (smallest(sinks={"receiver": {"kind": "file", "path": "/tmp/a"}}), "sinks.receiver: this name is reserved"),
        (smallest(ops={"listen": "127.0.0.1:8080"}), "ops.listen: the receiver listens there"),
        (
            smallest(sinks={name: {"kind": "file", "path": "/tmp/a"} for name in ("a", "b")}),
            "sinks.b.path: sinks.a writes the same file",
        ),
        (
            smallest(orgs={"a": {"secrets": ["s"]}, "b": {"secrets": ["t", "s"]}}),
            "orgs.b.secrets[1]: orgs.a has the same path, header and secret",
        ),
        (smallest(orgs={"acme": {"secrets": ["s"], "api": {"token": "t"}}}), "orgs.acme.url: is required"),
    ],
)
def test_a_problem_says_where_what_and_what_to_do(tree: dict[str, Any], expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems_of(tree)), problems_of(tree)


def test_no_problem_shows_a_secret() -> None:
    tree = smallest(
        orgs={"a": {"secrets": ["planted"], "planted_key": 1}, "b": {"secrets": ["planted", {"planted": "x"}]}},
        sinks={"siem": {"kind": "elasticsearch", "hosts": ["http://a"], "api_key": {"vault": "planted"}}},
    )
    assert not any("planted" in problem.replace("planted_key", "") for problem in problems_of(tree))


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_misspelled_variable_is_a_problem_like_a_misspelled_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__RECIEVER__LISTEN", "127.0.0.1:1234")
    named = "(set by FORWARDER__RECIEVER__LISTEN)"
    assert problems_of(smallest()) == [f"reciever: unknown key; did you mean `receiver`? {named}"]


def test_a_variable_may_name_the_source_of_a_secret_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("planted:key\n")
    monkeypatch.setenv("FORWARDER__OPS__TOKEN", '{"env": "HOME"}')
    monkeypatch.setenv("FORWARDER__SINKS__SIEM__API_KEY", f'{{"file":"{tmp_path / "key"}"}}')
    sinks = {"siem": {"kind": "elasticsearch", "hosts": ["https://es"]}}
    settings = read({"orgs": {"acme": {"secrets": ["x"]}}, "sinks": sinks})
    assert settings.ops.token
    assert settings.ops.token.source == "env HOME"
    assert settings.sinks["siem"].api_key.reveal() == "planted:key"  # type: ignore[union-attr]


@pytest.mark.long
def test_a_command_that_needs_no_secret_does_not_read_one_that_a_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORWARDER__OPS__TOKEN", '{"file": "/nowhere/token"}')
    monkeypatch.setenv("FORWARDER__ORGS__ACME__SECRETS", '[{"env": "NOT_SET"}]')
    (tmp_path / "forwarder.yaml").write_text(json.dumps(smallest()))
    token = load(tmp_path / "forwarder.yaml", secrets=False).ops.token
    assert token
    assert (token.source, token.is_read) == ("file /nowhere/token", False)
    assert load(tmp_path / "forwarder.yaml", secrets="sinks").ops.token == token
    with pytest.raises(SettingsError, match="NOT_SET"):
        load(tmp_path / "forwarder.yaml")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("FORWARDER__SINKS__SIEM__HOSTS", "https://a,https://b", "sinks.siem.hosts: write a list, as in [one, two]; here as JSON (set by "),
        ("FORWARDER__RECEIVER__LISTEN", "8080", "receiver.listen: '8080' is not an address; write host:port, as in 127.0.0.1:8080 (set by "),
        ("FORWARDER__SINKS__SIEM__HOSTS", '["es:9200"]', "sinks.siem.hosts[0]: is not a URL of a server; write one like https://host.example:8443 (set by "),
        ("FORWARDER__SINKS__SIEM__HOSTS__0", "https://a", "sinks.siem.hosts: write a list, as in [one, two]; here as JSON (set by "),
        ("FORWARDER__OPS__LISTEN", "127.0.0.1:8080", "ops.listen: the receiver listens there too; give each listener its own port (set by "),
    ],
)  # fmt: skip
def test_a_problem_of_a_variable_names_the_variable(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    sinks = {"siem": {"kind": "elasticsearch", "hosts": ["https://es:9200"]}}
    assert problems_of(smallest(sinks=sinks)) == [f"{expected}{variable})"]


@pytest.mark.parametrize("variable", ["FORWARDER__RECEIVER", "FORWARDER__ORGS__ACME__SECRETS"])
def test_a_variable_that_is_not_json_is_reported_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "{planted")
    problems = problems_of(smallest(stroe={}))
    assert len(problems) == 2
    assert problems[0].startswith(variable.removeprefix("FORWARDER__").lower().replace("__", ".") + ": write ")
    assert problems[1] == "stroe: unknown key; did you mean `store`?"


@pytest.mark.long
def test_a_command_that_needs_no_secret_reads_the_rest_without_them(tmp_path: Path) -> None:
    file = tmp_path / "forwarder.yaml"
    file.write_text(CONTRACT.replace("TOKEN_FILE", str(tmp_path / "not there")))
    with pytest.raises(SettingsError, match="ACME_HOOK_SECRET"):
        load(file)
    assert str(load(file, secrets=False).store.path) == "/var/lib/forwarder/forwarder.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orgs: {acme: {", "line 1, column"),
        ("orgs: {}\norgs: {}\n", "the key is written twice; write it once"),
        ("- a\n- b\n", "must be a mapping of sections"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_broken_file_is_reported_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert expected in caught.value.problems[0]
    assert str(file) in caught.value.problems[0]


def test_a_missing_file_is_reported_with_the_way_to_name_another(tmp_path: Path) -> None:
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
def test_events_of_an_org_come_from_its_hook_its_system_log_or_both(
    org: dict[str, Any], sources: tuple[str, ...]
) -> None:
    assert read(smallest(orgs={"acme": org})).orgs["acme"].sources == sources


def test_a_sink_whose_configuration_gains_a_second_org_is_another_one() -> None:
    sinks = {"siem": {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:9200"]}}
    orgs = {"acme": {"secrets": ["x" * 32]}, "globex": {"secrets": ["y" * 32], "path": "/globex/events"}}
    one = read(smallest(orgs={"acme": orgs["acme"]}, sinks=sinks)).sinks["siem"]
    two = read(smallest(orgs=orgs, sinks=sinks)).sinks["siem"]
    assert (one.several_orgs, two.several_orgs) == (False, True)
    assert one != two
    assert two == read(smallest(orgs=orgs, sinks=sinks)).sinks["siem"]


def test_an_org_with_a_hook_needs_a_secret_for_it() -> None:
    org = {"url": "https://a.okta.com", "api": {"token": "t"}, "hook": {"uri": "https://hooks.acme.com/x"}}
    assert problems_of(smallest(orgs={"acme": org})) == [
        "orgs.acme.secrets: at least one is required, because the org has a `hook`"
    ]


@pytest.mark.long
def test_the_configuration_has_a_json_schema() -> None:
    schema = Settings.model_json_schema()
    definitions = schema["$defs"]
    assert schema["required"] == ["orgs", "sinks"]
    assert definitions["ReceiverSettings"]["properties"]["listen"]["type"] == "string"
    assert definitions["DeliverySettings"]["properties"]["timeout"]["type"] == "string"
    assert [each["type"] for each in definitions["ApiSettings"]["properties"]["token"]["anyOf"]] == [
        "string",
        "object",
        "object",
        "null",
    ]


# --- filters


def filtered(**keys: Any) -> dict[str, Any]:
    return smallest(sinks={"archive": {"kind": "file", "path": "/tmp/x.ndjson", **keys}})


@pytest.mark.long
def test_a_sink_takes_event_types_with_stars_and_fields_of_okta() -> None:
    (sink,) = read(filtered(only=["user.session.*"], redact=["actor.alternateId", "displayMessage"])).sinks.values()
    assert sink.accepts is not None
    assert [sink.accepts(name) for name in ("user.session.end", "zone.create")] == [True, False]
    (sink,) = read(filtered(**{"except": ["user.session.*", "user.mfa.factor.activate"]})).sinks.values()
    assert sink.accepts is not None
    assert [sink.accepts(name) for name in ("user.session.end", "zone.create")] == [False, True]
    (sink,) = read(filtered()).sinks.values()
    assert sink.accepts is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"only": ["user.session.strat"]}, "sinks.archive.only[0]: unknown event type user.session.strat (searched in Okta's catalogue"),
        ({"only": ["user.session.strat"]}, "did you mean user.session.start?"),
        ({"except": ["user.sesion.*"]}, "sinks.archive.except[0]: no event type matches user.sesion.* (searched in Okta's"),
        ({"only": "user.session.start"}, "sinks.archive.only: write a list"),
        ({"only": [7]}, "sinks.archive.only[0]: write a string"),
        ({"only": []}, "sinks.archive.only: at least one event type is needed"),
        ({"only": ["user.*"], "except": ["zone.*"]}, "sinks.archive: `only` and `except` exclude each other"),
        ({"exept": ["zone.*"]}, "sinks.archive.exept: unknown key; did you mean `except`?"),
        ({"except_": ["zone.*"]}, "sinks.archive.except_: unknown key; did you mean `except`?"),
        ({"redact": ["actr.id"]}, "sinks.archive.redact[0]: an Okta event has no field actr; did you mean actor.id?"),
        ({"redact": ["user.name"]}, "sinks.archive.redact[0]: an Okta event has no field user; known: actor,"),
        ({"redact": ["actor.alternate_id"]}, "sinks.archive.redact[0]: actor has no field alternate_id; did you mean actor.alternateId?"),
        ({"redact": ["uuid"]}, "sinks.archive.redact[0]: uuid identifies the event and cannot be redacted"),
        ({"redact": ["actor..id"]}, "sinks.archive.redact[0]: 'actor..id' is not the name of a field"),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_refused_with_a_hint(keys: dict[str, Any], expected: str) -> None:
    assert expected in "\n".join(problems_of(filtered(**keys)))


def test_a_filter_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__SINKS__ARCHIVE__EXCEPT", '["zone.create"]')
    (sink,) = read(filtered()).sinks.values()
    assert sink.accepts is not None
    assert not sink.accepts("zone.create")


@pytest.mark.long
def test_a_relative_path_counts_from_where_the_command_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "started").mkdir()
    monkeypatch.chdir(tmp_path / "started")
    Path("secret").write_text("of-the-hook")
    Path("rules.txt").write_text('eventType eq "user.session.start"')
    tree = smallest(rules={"files": ["rules.txt"]}, orgs={"acme": {"secrets": [{"file": "secret"}]}})
    (tmp_path / "etc" / "forwarder.yaml").write_text(json.dumps(tree))
    settings = load(tmp_path / "etc" / "forwarder.yaml")
    assert [each.reveal() for each in settings.orgs["acme"].secrets] == ["of-the-hook"]
    assert len(settings.rules.load().rules) == 1


def test_a_hook_reads_the_rules_that_run_unless_it_names_others(secrets: Path, tmp_path: Path) -> None:
    hook = {"uri": "https://hooks.acme.com/x", "events": "rules"}
    for name in ("run.txt", "own.txt"):
        (tmp_path / name).write_text('eventType eq "user.session.start"')
    orgs = {
        name: {
            "secrets": ["s"],
            "path": f"/{name}",
            "url": "https://acme.okta.com",
            "api": {"token": "t"},
            "hook": hook | more,
        }
        for name, more in {"acme": {}, "other": {"rules": [str(tmp_path / "own.txt")]}}.items()
    }
    settings = read(smallest(orgs=orgs, rules={"files": [str(tmp_path / "run.txt")]}))
    rules = {name: org.hook and [path.name for path in org.hook.rules] for name, org in settings.orgs.items()}
    assert rules == {"acme": ["run.txt"], "other": ["own.txt"]}


def test_a_command_without_secrets_needs_none_of_a_service_app_either(tmp_path: Path) -> None:
    file = tmp_path / "forwarder.yaml"
    org = {
        "url": "https://acme.okta.com",
        "secrets": [{"env": "NOT_SET_HERE"}],
        "api": {"client_id": "0oa1", "private_key": {"file": "/nowhere/key.pem"}},
    }
    file.write_text(json.dumps(smallest(orgs={"acme": org})))
    assert load(file, secrets=False).orgs["acme"].api
    with pytest.raises(SettingsError):
        load(file)


@pytest.mark.long
def test_a_hook_reads_the_filters_in_folders_of_rules_too(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "filters.txt").write_text('eventType eq "user.account.lock"')
    (folder / "rule.yml").write_text(
        "title: t\nlogsource: {product: okta}\ndetection: {s: {eventType: user.session.start}, condition: s}\n"
    )
    hook = {"uri": "https://hooks.acme.com/x", "events": "rules"}
    org = {"secrets": ["s"], "url": "https://acme.okta.com", "api": {"token": "t"}, "hook": hook}
    settings = read(smallest(orgs={"acme": org}, rules={"files": [str(folder)]}))
    assert settings.orgs["acme"].hook
    assert desired_types(settings.orgs["acme"].hook)[1] == {"user.account.lock", "user.session.start"}
