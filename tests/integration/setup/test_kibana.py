"""`forwarder setup kibana` against a Kibana on a real socket."""

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.core.errors import SetupError
from forwarder.setup.kibana.kibana_api import Kibana
from forwarder.setup.kibana.run import setup
from forwarder.setup.kibana.settings import KibanaSettings
from forwarder.setup.kibana.shipped_objects import SavedObject, saved_objects, shipped
from tests.certificates import Certificate
from tests.fakes.kibana import Answer, FakeKibana, Stored, api_key, basic
from tests.fakes.reporter import Message, into
from tools.make_kibana import TARGET

OURS = {
    *(("dashboard", f"okta-forwarder-{name}") for name in ("overview", "sign-ins", "threats", "admin-changes")),
    ("index-pattern", "okta-forwarder-events"),
    ("index-pattern", "okta-forwarder-health"),
    ("search", "okta-forwarder-overview-latest-events"),
    ("search", "okta-forwarder-sign-ins-latest-failures"),
    ("search", "okta-forwarder-threats-latest-signals"),
    ("search", "okta-forwarder-admin-changes-latest-changes"),
}
KEY = "planted-api-key"


@pytest.fixture
def kibana() -> Iterator[FakeKibana]:
    with FakeKibana() as fake:
        yield fake


def run(kibana: FakeKibana | str, *words: Any) -> Result:
    url = kibana if isinstance(kibana, str) else kibana.url
    arguments = ["setup", "kibana", "--url", url, *map(str, words)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


# --- what is written


def test_a_first_run_makes_every_object(kibana: FakeKibana) -> None:
    done = run(kibana)
    assert done.exit_code == 0
    assert set(kibana.held()) == OURS
    assert "Kibana 9.1.0" in done.output
    assert f"“Okta: threats” created: {kibana.url}/app/dashboards#/view/okta-forwarder-threats" in done.output
    for line in (TARGET / "threats.ndjson").read_text().splitlines():
        saved = json.loads(line)
        assert kibana.held()[saved["type"], saved["id"]] == saved


@pytest.mark.long
def test_a_second_run_replaces_the_same_objects(kibana: FakeKibana) -> None:
    run(kibana)
    before = kibana.held()
    done = run(kibana)
    assert done.exit_code == 0
    assert kibana.held() == before
    assert done.output.count(" replaced") == len(OURS)
    assert " created" not in done.output


def test_what_is_not_ours_is_left_alone(kibana: FakeKibana) -> None:
    other = {"type": "dashboard", "id": "mine", "attributes": {"title": "Okta: overview"}, "references": []}
    kibana.objects.append(Stored("default", "dashboard", "mine", other))
    run(kibana)
    assert kibana.held().pop(("dashboard", "mine")) == other
    assert set(kibana.held()) == OURS | {("dashboard", "mine")}


@pytest.mark.long
def test_a_change_made_in_kibana_is_replaced(kibana: FakeKibana) -> None:
    run(kibana)
    name = ("dashboard", "okta-forwarder-overview")
    before = kibana.held()[name]
    kibana.objects[-1].saved = {**before, "attributes": {"title": "changed"}}
    assert run(kibana).exit_code == 0
    assert kibana.held()[name] == before


def test_a_dry_run_writes_nothing_and_names_every_object(kibana: FakeKibana) -> None:
    done = run(kibana, "--dry-run")
    assert done.exit_code == 0
    assert all(name in done.output for _, name in OURS)
    assert kibana.imports == []


@pytest.mark.long
def test_each_space_gets_objects_of_its_own_and_keeps_them(kibana: FakeKibana) -> None:
    kibana.spaces.add("soc")
    for _ in range(2):
        assert run(kibana).exit_code == 0
        done = run(kibana, "--space", "soc")
        assert done.exit_code == 0
    assert set(kibana.held()) == OURS
    assert len(kibana.held("soc")) == len(OURS)
    stored_as = next(one.id for one in kibana.objects if (one.space, one.origin) == ("soc", "okta-forwarder-threats"))
    assert f"“Okta: threats” replaced: {kibana.url}/s/soc/app/dashboards#/view/{stored_as}" in done.output


# --- who may


@pytest.mark.long
@pytest.mark.parametrize("written", ["encoded", "id:key"])
def test_an_api_key_is_read_from_the_environment(
    kibana: FakeKibana, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    encoded = base64.b64encode(b"id:planted").decode()
    monkeypatch.setenv("THE_KEY", encoded if written == "encoded" else "id:planted")
    kibana.logins = {api_key(encoded): {"default"}}
    done = run(kibana, "--api-key", "env:THE_KEY")
    assert done.exit_code == 0
    assert set(kibana.held()) == OURS


@pytest.mark.long
def test_a_password_is_read_from_a_file(kibana: FakeKibana, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("planted-word\n")
    kibana.logins = {basic("ada", "planted-word"): {"default"}}
    assert run(kibana, "--user", "ada", "--password", f"file:{tmp_path / 'password'}").exit_code == 0


def test_wrong_credentials_are_told_without_being_shown(kibana: FakeKibana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    kibana.logins = {api_key("another"): {"default"}}
    done = run(kibana, "--api-key", "env:THE_KEY")
    assert done.exit_code == 1
    assert "refuses the request, because the credentials are wrong or missing (401)" in done.output
    assert KEY not in done.output


def test_a_kibana_that_wants_credentials_says_so(kibana: FakeKibana) -> None:
    kibana.logins = {}
    done = run(kibana)
    assert done.exit_code == 1
    assert "missing authentication credentials" in done.output


def test_a_missing_privilege_is_named(kibana: FakeKibana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    kibana.logins = {api_key(KEY): set()}
    done = run(kibana, "--api-key", "env:THE_KEY")
    assert done.exit_code == 1
    assert "may not import dashboards (403)" in done.output
    assert "Dashboard: All, Discover: All, Data View Management: All" in done.output
    assert "Unable to bulk_create dashboard,index-pattern,search" in done.output
    assert kibana.held() == {}


def test_a_space_that_the_credentials_may_not_see_is_told(kibana: FakeKibana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    kibana.spaces.add("soc")
    kibana.logins = {api_key(KEY): {"default"}}
    done = run(kibana, "--api-key", "env:THE_KEY", "--space", "soc")
    assert done.exit_code == 1
    assert "may not show the space soc (403)" in done.output
    assert kibana.imports == []


def test_a_space_that_nobody_made_is_not_written_into(kibana: FakeKibana) -> None:
    done = run(kibana, "--space", "soc")
    assert done.exit_code == 1
    assert "there is no space soc" in done.output
    assert kibana.imports == []


# --- what is not a Kibana, or none that can


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(404, {"error": "no handler found for uri [/api/status]"}), "is not a Kibana: /api/status answers 404"),
        (Answer(200, "<html>"), "is not a Kibana: /api/status answers 200: <html>"),
        (Answer(200, ["status"]), "is not a Kibana"),
        (Answer(302, "", (("Location", "/kibana/api/status"),)), "redirects to /kibana/api/status"),
        (Answer(503, "Kibana server is not ready yet"), "is not ready: Kibana server is not ready yet"),
    ],
)  # fmt: skip
def test_what_is_no_kibana_is_told(kibana: FakeKibana, answer: Answer, told: str) -> None:
    kibana.instead = answer
    done = run(kibana)
    assert done.exit_code == 1
    assert told in done.output
    assert kibana.imports == []


DEEP = Answer(200, "[" * 3_000 + "]" * 3_000)


@pytest.mark.parametrize(
    "answer",
    [
        DEEP,
        Answer(200, {"status": 5}),
        Answer(200, {"status": {"overall": 5}}),
        Answer(200, {"status": {"overall": {"level": []}}}),
        Answer(200, {"status": {}, "version": "9.1.0"}),
    ],
)
def test_json_that_is_not_kibanas_is_told_without_a_traceback(kibana: FakeKibana, answer: Answer) -> None:
    kibana.instead = answer
    done = run(kibana)
    assert (done.exit_code, "is not a Kibana" in done.output) == (1, True)
    assert kibana.imports == []


@pytest.mark.parametrize(
    "said",
    [
        DEEP.body,
        [],
        {},
        {"success": True, "successResults": 5},
        {"success": True, "successResults": [5]},
        {"success": False, "errors": [{"type": "dashboard", "id": "x", "error": "no"}]},
        {"success": False, "errors": [{"error": {"type": "missing_references", "references": [5]}}]},
    ],
)
def test_the_result_of_an_import_that_is_not_kibanas_is_told(kibana: FakeKibana, said: Any) -> None:
    kibana.imported = Answer(200, said)
    done = run(kibana)
    assert done.exit_code == 1
    assert "does not import dashboards as Kibana does" in done.output
    assert "Check --url" in done.output


@pytest.mark.parametrize("level", ["unavailable", "critical"])
def test_a_kibana_that_is_not_available_is_left_alone(kibana: FakeKibana, level: str) -> None:
    kibana.level = level
    done = run(kibana)
    assert done.exit_code == 1
    assert f"is not available: All services and plugins are {level}" in done.output
    assert kibana.imports == []


def test_a_degraded_kibana_will_do(kibana: FakeKibana) -> None:
    kibana.level = "degraded"
    assert run(kibana).exit_code == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("version", "code"),
    [("7.17.29", 1), ("8.8.2", 1), ("8.9.0", 0), ("8.19.4", 0), ("9.1.0-SNAPSHOT", 0), ("10.0.0", 0)],
)
def test_a_kibana_from_before_8_9_is_left_alone(kibana: FakeKibana, version: str, code: int) -> None:
    kibana.version = version
    done = run(kibana)
    assert done.exit_code == code
    assert bool(kibana.imports) != bool(code)
    assert (f"this is Kibana {version}; the dashboards need 8.9 or later" in done.output) == bool(code)


def test_nobody_there_is_told() -> None:
    with FakeKibana() as gone:
        url = gone.url
    done = run(url)
    assert done.exit_code == 1
    said = "nothing listens there (connection refused); check --url, and that the server runs"
    assert f"no response from {url}: {said}" in done.output


# --- what Kibana says of single objects


def test_an_object_that_kibana_refuses_is_told_with_its_words(kibana: FakeKibana) -> None:
    kibana.lines = {
        "okta-forwarder-threats": {"type": "unknown", "message": "belongs to a more recent version of Kibana"},
        "okta-forwarder-overview": {"type": "ambiguous_conflict", "destinations": [{"id": "copy-1"}, {"id": "copy-2"}]},
        "okta-forwarder-events": {"type": "unsupported_type"},
    }
    done = run(kibana)
    assert done.exit_code == 1
    assert "dashboard okta-forwarder-threats: belongs to a more recent version of Kibana" in done.output
    assert "several copies of it; delete all but one: copy-1, copy-2" in done.output
    assert "index-pattern okta-forwarder-events: this Kibana does not have this type" in done.output
    assert done.output.count(" created") == len(OURS) - 3


def test_an_object_without_what_it_refers_to_is_told(kibana: FakeKibana) -> None:
    alone = [saved for saved in shipped() if saved.id == "okta-forwarder-threats-latest-signals"]
    told: list[Message] = []
    assert not setup(KibanaSettings(url=kibana.url), alone, into(told), dry_run=False)
    assert "it needs index-pattern okta-forwarder-events, which does not exist" in told[-1].text


@pytest.mark.long
def test_objects_that_kibana_says_nothing_of_are_a_fault(kibana: FakeKibana) -> None:
    told: list[Message] = []
    line = shipped()[0].line
    twins = [SavedObject("index-pattern", name, "x", line) for name in ("okta-forwarder-events", "okta-forwarder-x")]
    with pytest.raises(SetupError, match="Non-unique import objects"):
        setup(KibanaSettings(url=kibana.url), twins, into(told), dry_run=False)
    twins[1] = SavedObject("index-pattern", "okta-forwarder-x", "x", "")
    assert not setup(KibanaSettings(url=kibana.url), twins, into(told), dry_run=False)
    assert told[-1] == Message("problem", "Kibana wrote only 1 of 2 objects, and gives no reason; see Kibana's log")


def test_a_file_that_kibana_does_not_take_is_told(kibana: FakeKibana) -> None:
    kibana.instead = Answer(413, {"statusCode": 413, "message": "Payload content length greater than maximum"})
    with Kibana(KibanaSettings(url=kibana.url)) as client, pytest.raises(SetupError, match="413: Payload content"):
        client.write([])


# --- usage


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Missing option '--url'"),
        (("--url", "kibana:5601"), "--url: is not a URL of a server"),
        (("--url", "http://a:planted@k"), "--url: must not contain credentials"),
        (("--url", "http://k", "--api-key", KEY), "write the secret as env:NAME|file:PATH"),
        (("--url", "http://k", "--api-key", "env:NOT_SET"), "--api-key: the environment variable NOT_SET is not set"),
        (("--url", "http://k", "--password", "file:/none"), "--password: the file /none cannot be read"),
        (("--url", "http://k", "--user", "ada"), "give both --user and --password, or neither"),
        (("--url", "http://k", "--user", "a", "--password", "env:A", "--api-key", "env:A"), "not both"),
        (("--url", "http://k", "--api-key", "env:BLANK"), "a character that an API key cannot have"),
        (("--url", "http://k", "--ca-file", "x"), "--ca-file has no effect without https"),
        (("--url", "http://k", "--space", "../x"), "--space: "),
    ],
)
def test_wrong_usage_ends_with_2_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.setenv("A", KEY)
    monkeypatch.setenv("BLANK", f"{KEY} ")
    done = CliRunner().invoke(main, ["setup", "kibana", *words], catch_exceptions=False)
    assert done.exit_code == 2
    assert told in done.output
    assert "planted" not in done.output


# --- TLS


@pytest.fixture
def tls_kibana(certificate: Certificate) -> Iterator[FakeKibana]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with FakeKibana(tls=context) as fake:
        yield fake


def test_a_certificate_of_the_ca_file_is_trusted(tls_kibana: FakeKibana, certificate: Certificate) -> None:
    assert run(tls_kibana, "--ca-file", certificate.cert).exit_code == 0
    assert set(tls_kibana.held()) == OURS


def test_a_certificate_that_nobody_vouches_for_gets_no_credentials(
    tls_kibana: FakeKibana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    done = run(tls_kibana, "--api-key", "env:THE_KEY")
    assert done.exit_code == 1
    assert "--ca-file" in done.output
    assert tls_kibana.calls == []


def test_a_ca_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    done = run("https://127.0.0.1:1", "--ca-file", tmp_path / "ca.pem")
    assert done.exit_code == 1
    assert "ca.pem is not PEM; write the certificate in PEM" in done.output


# --- what is shipped


def test_every_object_is_shipped_once() -> None:
    assert sorted((saved.kind, saved.id) for saved in shipped()) == sorted(OURS)


def test_an_object_that_is_not_ours_is_never_written() -> None:
    line = json.dumps({"type": "dashboard", "id": "mine", "attributes": {"title": "x"}})
    with pytest.raises(SetupError, match="is not ours"):
        saved_objects({"a.ndjson": line})


def test_two_files_that_disagree_are_no_import() -> None:
    files = {
        name: json.dumps({"type": "dashboard", "id": "okta-forwarder-x", "attributes": {"title": name}})
        for name in ("a.ndjson", "b.ndjson")
    }
    with pytest.raises(SetupError, match=r"b\.ndjson: another file"):
        saved_objects(files)
