"""The Helm chart, rendered by the real helm: goldens, Kubernetes's schemas, the product's own check, promtool."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from forwarder.react.settings.receivers import JWKS_PATH
from forwarder.receive.settings import ReceiverSettings
from forwarder.settings import Settings, load
from tests.conftest import require
from tests.pod_security import violations
from tests.stack.process import ROOT
from tests.test_docs import fenced
from tools import make_chart

OLDEST, NEWEST = "1.27", "1.37"
EXAMPLES = [path.name.removesuffix("-values.yaml") for path in make_chart.examples()]
OF_THE_OPERATOR = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}

Document = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _helm() -> None:
    require(None if make_chart.HELM.exists() else "needs helm, which `make dev` installs on Linux x86-64 only")


def _values(example: str) -> Path:
    return make_chart.CHART / "ci" / f"{example}-values.yaml"


def _parts(*arguments: str | Path) -> list[Document]:
    return [part for part in yaml.safe_load_all(make_chart.render(*arguments)) if part]


def _one(parts: list[Document], kind: str) -> Document:
    (part,) = [part for part in parts if part["kind"] == kind]
    return part


@pytest.fixture(scope="module", params=EXAMPLES)
def parts(request: pytest.FixtureRequest) -> list[Document]:
    """Give the documents of one example."""
    return _parts("-f", _values(request.param))


def _settings(parts: list[Document], directory: Path) -> Settings:
    (text,) = [part["data"]["forwarder.yaml"] for part in parts if "forwarder.yaml" in part.get("data", {})]
    (directory / "forwarder.yaml").write_text(text)
    return load(directory / "forwarder.yaml", secrets=False)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_renders_as_before(example: str) -> None:
    kept = (make_chart.GOLDENS / f"{example}.yaml").read_text()
    again = "look at the difference; if it is meant: python -m tools.make_chart --goldens"
    assert make_chart.golden(make_chart.render("-f", _values(example))) == kept, again


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_finds_nothing_to_complain_of(example: str) -> None:
    lint: list[str | Path] = [make_chart.HELM, "lint", "--strict", make_chart.CHART, "-f", _values(example)]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_accepts_each_part(parts: list[Document], version: str) -> None:
    for part in parts:
        if part["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(part, version, strict=True)


def test_the_pod_is_restricted(parts: list[Document]) -> None:
    pod = _one(parts, "StatefulSet")["spec"]["template"]["spec"]
    assert list(violations(pod)) == []
    del pod["containers"][0]["securityContext"]
    assert len(list(violations(pod))) == 3


def test_the_product_accepts_the_rendered_configuration(parts: list[Document], tmp_path: Path) -> None:
    settings = _settings(parts, tmp_path)
    pod = _one(parts, "StatefulSet")["spec"]["template"]["spec"]
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert ports == {"hooks": settings.receiver.listen.port, "ops": settings.ops.listen.port}
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert str(settings.store.path.parent) in mounts
    for file in settings.files():
        assert str(file.parent) in mounts, file
    assert pod["terminationGracePeriodSeconds"] > settings.receiver.grace + 10


def test_only_the_receivers_port_is_in_a_service_for_others(parts: list[Document]) -> None:
    for service in (part for part in parts if part["kind"] == "Service"):
        (port,) = service["spec"]["ports"]
        if (
            port["targetPort"] != "hooks"
        ):  # for a ServiceMonitor: headless, so reached by the NetworkPolicy's leave only
            assert (port["targetPort"], service["spec"]["clusterIP"]) == ("ops", "None")


def test_an_ingress_passes_the_paths_of_the_orgs_and_nothing_else(tmp_path: Path) -> None:
    found = _parts("-f", _values("elastic"))
    (rule,) = _one(found, "Ingress")["spec"]["rules"]
    paths = {path["path"] for path in rule["http"]["paths"] if path["pathType"] == "Exact"}
    assert paths == {org.path for org in _settings(found, tmp_path).orgs.values()}
    assert len(paths) == len(rule["http"]["paths"]) == 2


def test_an_ingress_of_nginx_passes_bodies_as_large_as_the_forwarder_takes() -> None:
    ingress = _one(_parts("-f", _values("elastic")), "Ingress")
    assert ReceiverSettings().max_body == 10 << 20
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "10m"


def test_an_ingress_passes_the_public_keys_only_if_the_forwarder_serves_them() -> None:
    def passes(**of_set: str) -> bool:
        keys = {"issuer": "https://hooks.acme.com", "key.file": "/run/secrets/okta-forwarder/set.pem"} | of_set
        sets = [word for name, value in keys.items() for word in ("--set", f"config.reactions.set.{name}={value}")]
        (rule,) = _one(_parts("-f", _values("elastic"), *sets), "Ingress")["spec"]["rules"]
        return JWKS_PATH in {path["path"] for path in rule["http"]["paths"]}

    assert passes(jwks="serve")
    assert not passes()
    assert not passes(jwks="https://cdn.acme.com/keys.json")


def test_another_configuration_restarts_the_pod_and_another_label_does_not() -> None:
    def checksum(*arguments: str) -> str:
        pod = _one(_parts(*arguments), "StatefulSet")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum() != checksum("--set", "config.reconcile.poll=30s")
    assert checksum() == checksum("--set", "podLabels.team=other")


def test_a_second_replica_and_other_wrong_values_are_refused() -> None:
    for wrong, said in (
        ("replicas=2", "replicas"),
        ("surprise=1", "surprise"),
        ("persistence.size=20", "persistence.size"),
        ("persistence.accessMode=ReadWriteMany", "persistence.accessMode"),
        ("image.digest=latest", "image.digest"),
        ("service.port=0", "service.port"),
        ("ingress.enabled=true", "ingress.host"),
        ("monitoring.rules.on=true", "monitoring.rules"),
        ("existingSecret=Not_A_Name", "existingSecret"),
        ("config.reconsile.poll=30s", "reconsile"),
        ("config.store.retention=often", "config.store.retention"),
        ("config.orgs.acme.secret=x", "secret"),
        ("config.sinks.siem.kind=splunk", "config.sinks.siem"),
        ("config.receiver.grace=25s", "config.receiver.grace"),
        ("config.ops.listen=0.0.0.0:1", "config.ops.listen"),
        ("config.store.path=/tmp/store.db", "config.store.path"),
    ):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            make_chart.render("--set", wrong)
        # Helm 3.18 and newer write the path of a value with slashes.
        assert said in caught.value.stderr.replace("/", "."), wrong


@pytest.mark.parametrize(("example", "job"), [("elastic", "okta"), ("tls", "forwarder")])
def test_the_alerts_are_those_of_the_project_for_the_jobs_name(example: str, job: str, tmp_path: Path) -> None:
    require(None if shutil.which("promtool") else "needs promtool (Debian: apt-get install prometheus)")
    found = _parts("-f", _values(example))
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(_one(found, "PrometheusRule")["spec"]))
    done = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = make_chart.RULES.read_text().replace('job="forwarder"', f'job="{job}"')
    if example == "elastic":
        text = text.replace("docs/runbook.md", "https://docs.example.com/okta-forwarder/runbook.md")
    assert yaml.safe_load(rules.read_text()) == yaml.safe_load(text)
    scrape = _one(found, "PodMonitor" if example == "elastic" else "ServiceMonitor")["spec"]
    (endpoint,) = scrape.get("podMetricsEndpoints") or scrape["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": job}]


def test_the_values_of_the_installation_page_render(tmp_path: Path) -> None:
    (text,) = [block for block in fenced(ROOT / "docs" / "install.md", "yaml") if block.startswith("image:")]
    values = tmp_path / "values.yaml"
    values.write_text(text)
    found = _parts("-f", values)
    assert set(_settings(found, tmp_path).sinks) == {"siem"}
    assert OF_THE_OPERATOR - {"ServiceMonitor"} <= {part["kind"] for part in found}


def test_the_dashboards_are_those_of_the_project() -> None:
    labelled = [part for part in _parts("-f", _values("elastic")) if "grafana_dashboard" in part["metadata"]["labels"]]
    boards = {name: json.loads(text) for part in labelled for name, text in part["data"].items()}
    assert boards == {
        copy.name: json.loads(source.read_text().replace('job=\\"forwarder\\"', 'job=\\"okta\\"'))
        for copy, source in make_chart.sources().items()
        if copy.suffix == ".json"
    }
