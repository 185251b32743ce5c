"""The files of deploy/ fit the product. What helm makes of the chart is tested in tests/e2e/test_chart.py."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from forwarder.settings import load
from tests.pod_security import violations
from tests.stack.process import ROOT
from tools import make_chart
from tools.make_chart import CHART, copies, sources

SIDECAR = ROOT / "deploy" / "kubernetes" / "sidecar.yaml"
OLDEST, NEWEST = "1.29", "1.37"
"""Of Kubernetes: the first with native sidecars, and the newest that the validator knows."""


def test_the_chart_holds_the_alerts_and_the_dashboards_as_they_are() -> None:
    there = {path: path.read_bytes() for path in copies()}
    assert there == {copy: source.read_bytes() for copy, source in sources().items()}, "run: python -m tools.make_chart"


def test_the_chart_knows_the_keys_of_the_configuration() -> None:
    assert make_chart.SCHEMA.read_text() == make_chart.schema(), "run: python -m tools.make_chart"


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["appVersion"], chart["version"]) == (version, version)


def _unknown(values: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The keys of values.yaml that the schema lacks, and those of the schema that values.yaml lacks."""
    known = schema.get("properties", {})
    if schema.get("additionalProperties") is not False or path == "config.":
        return
    yield from (f"{path}{key}" for key in set(values) ^ (set(known) - {"global"}))
    for key in set(values) & set(known):
        yield from _unknown(values[key], known[key], f"{path}{key}.")


def test_the_schema_of_the_values_knows_each_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(_unknown(values, schema)) == []
    assert list(_unknown({**values, "surprise": 1}, schema)) == ["surprise"]


@pytest.fixture(scope="module")
def sidecar() -> dict[str, Any]:
    """Give the documents of the example by their kind."""
    return {part["kind"]: part for part in yaml.safe_load_all(SIDECAR.read_text())}


@pytest.mark.long
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_sidecar_is_what_kubernetes_accepts(sidecar: dict[str, Any], version: str) -> None:
    for part in sidecar.values():
        kubernetes_validate.validate(part, version, strict=True)


def test_the_sidecar_runs_restricted_and_outlives_the_main_container(sidecar: dict[str, Any]) -> None:
    pod = sidecar["StatefulSet"]["spec"]["template"]["spec"]
    assert list(violations(pod)) == []
    (forwarder,) = pod["initContainers"]
    assert forwarder["restartPolicy"] == "Always"
    assert {mount["name"] for mount in forwarder["volumeMounts"]} == {"store", "config", "secrets", "tmp"}


def test_the_forwarder_of_the_sidecar_delivers_to_its_neighbour(sidecar: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "forwarder.yaml"
    config.write_text(sidecar["ConfigMap"]["data"]["forwarder.yaml"])
    settings = load(config, secrets=False)
    collector = yaml.safe_load(sidecar["ConfigMap"]["data"]["collector.yaml"])
    (sink,) = settings.sinks.values()
    assert sink.endpoint.removeprefix("http://") == collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]  # type: ignore[union-attr]  # fmt: skip
    ports = {port["containerPort"] for port in sidecar["StatefulSet"]["spec"]["template"]["spec"]["initContainers"][0]["ports"]}  # fmt: skip
    assert ports == {settings.receiver.listen.port, settings.ops.listen.port}
