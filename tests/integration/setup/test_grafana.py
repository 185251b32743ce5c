"""`forwarder setup grafana` against a Grafana on a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from tests.fakes.grafana import Answer, FakeGrafana, basic, bearer
from tools.make_grafana import TARGET

SHIPPED = {found["uid"]: found for found in (json.loads(path.read_text()) for path in TARGET.glob("*.json"))}
TOKEN = "planted-token-of-a-service-account"


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with FakeGrafana() as fake:
        yield fake


def run(grafana: FakeGrafana | str, *words: Any) -> Result:
    url = grafana if isinstance(grafana, str) else grafana.url
    return CliRunner().invoke(main, ["setup", "grafana", "--url", url, *map(str, words)], catch_exceptions=False)


def held(grafana: FakeGrafana) -> dict[str, Any]:
    """The dashboards, without what Grafana adds."""
    return {
        uid: {key: value for key, value in one.items() if key not in {"id", "version"}}
        for uid, one in grafana.dashboards.items()
    }


@pytest.mark.long
def test_a_first_run_makes_the_folder_and_every_dashboard(grafana: FakeGrafana) -> None:
    done = run(grafana)
    assert done.exit_code == 0
    assert held(grafana) == SHIPPED
    assert [(uid, one["title"]) for uid, one in grafana.folders.items()] == [("okta-forwarder", "Okta")]
    assert {about["folderUid"] for about in grafana.meta.values()} == {"okta-forwarder"}
    assert grafana.sources == {}
    assert "Grafana 12.1.0" in done.output
    address = f"{grafana.url}/d/okta-forwarder-health/forwarder-health"
    assert f"dashboard “Forwarder: health” created: {address}" in done.output


@pytest.mark.long
def test_a_second_run_writes_nothing(grafana: FakeGrafana) -> None:
    run(grafana)
    grafana.calls.clear()
    done = run(grafana)
    assert done.exit_code == 0
    assert grafana.writes == []
    assert done.output.count("up to date") == len(SHIPPED) + 1


@pytest.mark.long
def test_a_change_made_in_grafana_is_replaced(grafana: FakeGrafana) -> None:
    run(grafana)
    grafana.dashboards["okta-forwarder-health"]["title"] = "changed"
    done = run(grafana)
    assert held(grafana) == SHIPPED
    assert done.output.count(" replaced") == 1


@pytest.mark.long
def test_a_dashboard_that_was_moved_is_moved_back(grafana: FakeGrafana) -> None:
    run(grafana)
    grafana.meta["okta-forwarder-health"]["folderUid"] = "elsewhere"
    assert " replaced" in run(grafana).output
    assert grafana.meta["okta-forwarder-health"]["folderUid"] == "okta-forwarder"


@pytest.mark.long
def test_a_dry_run_writes_nothing_and_says_what_it_would_write(grafana: FakeGrafana) -> None:
    done = run(grafana, "--dry-run", "--prometheus", "http://prometheus:9090")
    assert done.exit_code == 0
    assert grafana.writes == []
    assert done.output.count("would create it") == len(SHIPPED) + 2
    run(grafana)
    grafana.calls.clear()
    grafana.dashboards["okta-forwarder-health"]["title"] = "changed"
    assert "would replace it" in run(grafana, "--dry-run").output
    assert grafana.writes == []


@pytest.mark.long
def test_a_dashboard_of_another_is_left_alone(grafana: FakeGrafana) -> None:
    other = {"uid": "okta-forwarder-health", "title": "Mine", "tags": [], "id": 7, "version": 1}
    grafana.dashboards["okta-forwarder-health"] = other
    done = run(grafana)
    assert done.exit_code == 1
    assert "did not create" in done.output
    assert grafana.dashboards["okta-forwarder-health"] == other
    assert set(grafana.dashboards) == set(SHIPPED)


@pytest.mark.long
def test_a_dashboard_from_a_file_of_grafana_is_left_to_it(grafana: FakeGrafana) -> None:
    run(grafana)
    grafana.meta["okta-forwarder-health"]["provisioned"] = True
    grafana.dashboards["okta-forwarder-health"]["title"] = "older"
    grafana.calls.clear()
    done = run(grafana)
    assert (done.exit_code, grafana.writes) == (0, [])
    assert "Grafana loads it from a file (provisioning)" in done.output


@pytest.mark.long
def test_data_sources_are_written_only_if_asked_and_keep_what_was_added(grafana: FakeGrafana) -> None:
    words = ("--prometheus", "http://prometheus:9090", "--elasticsearch", "http://es:9200")
    assert run(grafana, *words).exit_code == 0
    assert {(one["type"], one["url"]) for one in grafana.sources.values()} == {
        ("prometheus", "http://prometheus:9090"),
        ("elasticsearch", "http://es:9200"),
    }
    events = grafana.sources["okta-forwarder-elasticsearch"]
    assert events["jsonData"]["index"] == "logs-okta.system-*,metrics-okta_forwarder.health-*"
    grafana.calls.clear()
    assert run(grafana, *words).output.count("up to date") == len(SHIPPED) + 3
    assert grafana.writes == []
    events["basicAuthUser"] = "reader"
    assert "replaced" in run(grafana, "--elasticsearch", "http://es2:9200").output
    found = grafana.sources["okta-forwarder-elasticsearch"]
    assert (found["url"], found["basicAuthUser"]) == ("http://es2:9200", "reader")


@pytest.mark.long
def test_the_panels_link_to_the_runbook_that_is_named(grafana: FakeGrafana) -> None:
    page = "https://wiki.example.com/runbook"
    run(grafana, "--runbook-url", page, "--folder", "SOC")
    for one in grafana.dashboards.values():
        (variable,) = [each for each in one["templating"]["list"] if each["name"] == "runbook"]
        assert variable["query"] == page
    assert grafana.folders["okta-forwarder"]["title"] == "SOC"


@pytest.mark.long
@pytest.mark.parametrize("login", ["token", "user"])
def test_credentials_are_read_from_where_they_are(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, login: str
) -> None:
    monkeypatch.setenv("THE_TOKEN", TOKEN)
    (tmp_path / "password").write_text(TOKEN + "\n")
    grafana.roles = {bearer(TOKEN): "Editor", basic("me", TOKEN): "Editor"}
    words = (
        ("--token", "env:THE_TOKEN")
        if login == "token"
        else ("--user", "me", "--password", f"file:{tmp_path}/password")
    )
    done = run(grafana, *words)
    assert done.exit_code == 0
    assert TOKEN not in done.output
    assert held(grafana) == SHIPPED


@pytest.mark.long
def test_missing_rights_are_named_and_no_secret_is_shown(grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", TOKEN)
    grafana.roles = {}
    done = run(grafana, "--token", "env:THE_TOKEN")
    assert (done.exit_code, "the credentials are wrong or missing" in done.output) == (1, True)
    grafana.roles = {bearer(TOKEN): "Viewer"}
    done = run(grafana, "--token", "env:THE_TOKEN")
    assert (done.exit_code, "needs the role Editor" in done.output) == (1, True)
    grafana.roles = {bearer(TOKEN): "Editor"}
    done = run(grafana, "--token", "env:THE_TOKEN", "--prometheus", "http://prometheus:9090")
    assert (done.exit_code, "Admin to write data sources" in " ".join(done.output.split())) == (1, True)
    assert TOKEN not in done.output


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, "<html>"), "is not a Grafana"),
        (Answer(200, {"database": "failing"}), "not ready"),
        (Answer(302, "", (("Location", "https://elsewhere/login"),)), "redirects to https://elsewhere/login"),
        (Answer(200, {"database": "ok", "version": "9.5.1"}), "this is Grafana 9.5.1"),
        (Answer(500, {"message": "boom"}), "boom"),
    ],
)
def test_what_is_no_grafana_that_can_be_used_is_an_error(grafana: FakeGrafana, answer: Answer, words: str) -> None:
    grafana.instead = answer
    done = run(grafana)
    assert done.exit_code == 1
    assert words in done.output
    assert grafana.writes == []


DEEP = "[" * 3_000 + "]" * 3_000
HEALTH = {"database": "ok", "version": "12.1.0"}


@pytest.mark.parametrize(
    ("health", "found"),
    [
        (DEEP, {}),
        ({"database": 5}, {}),
        ({"database": "ok", "version": 5}, {}),
        (HEALTH, DEEP),
        (HEALTH, []),
        (HEALTH, {"errorCode": "E0000011"}),
        (HEALTH, {"uid": "okta-forwarder", "dashboard": 5}),
        (HEALTH, {"uid": "okta-forwarder", "dashboard": {}, "meta": []}),
        (HEALTH, {"uid": "okta-forwarder"}),
    ],
)
def test_json_that_is_not_grafanas_is_told_without_a_traceback(grafana: FakeGrafana, health: Any, found: Any) -> None:
    grafana.found, grafana.health = Answer(200, found), Answer(200, health)
    done = run(grafana)
    assert done.exit_code == 1
    assert "is not a Grafana" in done.output or " as Grafana does (" in done.output
    assert grafana.writes == []


def test_the_tags_of_a_dashboard_of_another_may_be_anything(grafana: FakeGrafana) -> None:
    grafana.dashboards["okta-forwarder-health"] = {"uid": "okta-forwarder-health", "tags": 5}
    done = run(grafana)
    assert (done.exit_code, "a dashboard that this command did not create" in done.output) == (1, True)


def test_a_grafana_that_does_not_respond_is_an_error() -> None:
    done = run("http://127.0.0.1:9")
    assert (done.exit_code, "no response from http://127.0.0.1:9" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--token", "the-token-itself"), "write the secret as env:NAME|file:PATH"),
        (("--user", "me"), "give both --user and --password, or neither"),
        (("--prometheus", "prometheus:9090"), "is not a URL of a server"),
        (("--ca-file", "/ca.pem"), "--ca-file has no effect without https"),
    ],
)
def test_wrong_usage_exits_2(grafana: FakeGrafana, words: tuple[str, ...], problem: str) -> None:
    done = run(grafana, *words)
    assert (done.exit_code, problem in done.output) == (2, True), done.output
    assert "the-token-itself" not in done.output
