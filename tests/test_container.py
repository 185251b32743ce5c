"""The container's files fit together. There is no Docker engine where the tests run, so this is what can be known."""

import json
import os
import re
import stat
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.settings import load
from tests.stack.process import ROOT

_SERVICES = {"forwarder", "okta", "elasticsearch", "kibana", "collector", "prometheus", "grafana"}
_OUR_OWN = {"forwarder", "okta"}


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


@pytest.fixture(scope="module")
def compose() -> Any:
    """Give compose.yaml, its anchors resolved."""
    return _yaml("compose.yaml")


def _instructions() -> list[tuple[str, str]]:
    """Give the Dockerfile as pairs of instruction and argument."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines)]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, rest in _instructions():
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in let_in, source


def test_the_image_does_not_run_as_root() -> None:
    (user,) = [rest for word, rest in _instructions() if word == "USER"]
    assert int(user.partition(":")[0]) > 0


def test_the_base_of_the_image_is_pinned_by_its_digest() -> None:
    bases = [rest.split()[0] for word, rest in _instructions() if word == "FROM"]
    assert set(bases) == {"${PYTHON}"}
    (base,) = [rest for word, rest in _instructions() if word == "ARG" and rest.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=[a-z0-9.:-]+@sha256:[0-9a-f]{64}", base)


def test_the_image_installs_nothing_that_no_hash_holds() -> None:
    (step,) = [rest for word, rest in _instructions() if word == "RUN" and ".lock" in rest]
    assert step.count("--only-binary :all:") == 2
    assert step.count("--require-hashes") == step.count("pip install") == 2
    others = [rest for word, rest in _instructions() if word == "RUN" and "pip install" in rest and rest != step]
    assert all("--no-index" in rest for rest in others)


def _health_checks() -> dict[str, list[str]]:
    """Give the health checks of our own containers, as commands."""
    (check,) = [rest for word, rest in _instructions() if word == "HEALTHCHECK"]
    okta = _yaml("compose.yaml")["services"]["okta"]["healthcheck"]["test"]
    return {"forwarder": json.loads(check.partition("CMD ")[2]), "okta": okta[1:]}


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.mark.long
@pytest.mark.parametrize("service", sorted(_OUR_OWN))
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_health_check_asks_the_container_itself_whatever_proxy_is_set(
    monkeypatch: pytest.MonkeyPatch, service: str, status: int, code: int
) -> None:
    monkeypatch.setattr(_Health, "status", status)
    program, *options, script = _health_checks()[service]
    assert program == "python"
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        Thread(target=server.handle_request, daemon=True).start()
        there = re.sub("9464|8085", str(server.server_port), script)
        proxy = dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
        done = subprocess.run(
            [sys.executable, *options, there], env={**os.environ, **proxy}, capture_output=True, check=False
        )
    assert done.returncode == code


def test_compose_has_the_whole_pipe(compose: Any) -> None:
    assert set(compose["services"]) == _SERVICES


@pytest.mark.parametrize("service", sorted(_SERVICES))
def test_a_service_gets_no_more_than_it_needs(compose: Any, service: str) -> None:
    parts = compose["services"][service]
    assert "no-new-privileges:true" in parts["security_opt"]
    assert "privileged" not in parts
    # Published ports are for this machine only.
    assert all(str(port).startswith("127.0.0.1:") for port in parts.get("ports", []))
    if service in _OUR_OWN:
        assert parts["read_only"] is True
        assert parts["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("service", sorted(_SERVICES))
def test_what_a_service_mounts_and_waits_for_is_there(compose: Any, service: str) -> None:
    parts = compose["services"][service]
    for mount in parts.get("volumes", []):
        source = mount.partition(":")[0]
        if source.startswith("./"):
            place = ROOT / source
            assert place.exists(), source
            for path in (place, *(place.iterdir() if place.is_dir() else ())):
                assert stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH, path
        else:
            assert source in compose["volumes"]
    for other, wish in parts.get("depends_on", {}).items():
        has_check = "healthcheck" in compose["services"][other] or other in _OUR_OWN
        assert has_check or wish["condition"] != "service_healthy"


def test_the_emulated_org_of_compose_is_one_that_the_command_knows(compose: Any) -> None:
    command, *options = compose["services"]["okta"]["command"]
    wrong = CliRunner().invoke(main, [command, *options, "--token=t", "--hook-secret=s", "--rate=no-number"])
    # Everything but the planted fault is understood.
    assert wrong.exit_code == 2
    assert "no-number" in wrong.output


def test_the_addresses_of_compose_meet(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in compose["services"]["forwarder"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))  # the default, as compose does
    settings = load(ROOT / "config" / "forwarder.compose.yaml")
    okta = compose["services"]["okta"]
    hook = next(part for part in okta["command"] if part.startswith("--hook="))
    # The emulated org posts by http to its own machine only, as the forwarder's is.
    assert okta["network_mode"] == "service:forwarder"
    emulated = settings.orgs["emulated"]
    assert emulated.hook is not None
    assert hook == f"--hook={emulated.hook.uri}"
    assert f"--listen=0.0.0.0:{urlsplit(emulated.url or '').port}" in okta["command"]
    assert hook == f"--hook=http://127.0.0.1:{settings.receiver.listen.port}{settings.orgs['emulated'].path}"
    (job,) = _yaml("config/prometheus/prometheus.yaml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"forwarder:{settings.ops.listen.port}"]}]
    protocols = _yaml("config/collector.yaml")["receivers"]["otlp"]["protocols"]
    assert protocols["http"]["endpoint"] == "0.0.0.0:4318"
    assert {sink.kind for sink in settings.sinks.values()} == {"elasticsearch", "otlp", "file"}
    assert Path(settings.store.path).parent == Path("/var/lib/forwarder")


def test_the_grafana_of_compose_finds_its_dashboards_and_their_data(compose: Any) -> None:
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    (provider,) = _yaml("config/grafana/dashboards.yaml")["providers"]
    assert mounts["./dashboards/grafana"] == provider["options"]["path"]
    assert mounts["./config/grafana/dashboards.yaml"].startswith("/etc/grafana/provisioning/dashboards/")
    sources = _yaml("config/grafana/datasources.yaml")["datasources"]
    assert mounts["./config/grafana/datasources.yaml"].startswith("/etc/grafana/provisioning/datasources/")
    for source in sources:
        address = urlsplit(source["url"])
        assert f"127.0.0.1:{address.port}:{address.port}" in compose["services"][address.hostname]["ports"]
    wanted = {
        variable["query"]
        for path in (ROOT / "dashboards" / "grafana").iterdir()
        for variable in json.loads(path.read_text())["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert wanted <= {source["type"] for source in sources}


def test_the_example_configuration_is_a_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_HOOK_SECRET", "not-a-secret-for-tests-only-0123456789")
    monkeypatch.setenv("ES_API_KEY", "not-a-key")
    assert set(load(ROOT / "config" / "forwarder.example.yaml").orgs) == {"acme"}
