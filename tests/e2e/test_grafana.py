"""The dashboards' queries on a real Prometheus that scrapes a real forwarder under load: none is empty, none is NaN."""

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.certificates import Certificate
from tests.conftest import require
from tests.e2e.grafana import SHOWN, OpenPrompts, asked, filled
from tests.stack import prometheus as prometheus_part
from tests.stack.emulator import TOKEN, EmulatorProcess
from tests.stack.forwarder import SECRET, ForwarderProcess
from tests.stack.prometheus import Prometheus, hasty_rules
from tools.make_grafana import TARGET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUERIES = [one for path in sorted(TARGET.glob("*.json")) for one in asked(path) if "expr" in one.target]
DAY = 86_400


def history(target: str) -> str:
    """What a forwarder that had fewer event types would have shown a day and a week ago, as OpenMetrics."""
    labels = f'job="forwarder",instance="{target}",org="acme",via="hook",event_type="user.session.start"'
    lines = ["# TYPE forwarder_events_received counter"]
    for days in (7, 1):
        start = int(time.time()) - days * DAY - SHOWN
        lines += [f"forwarder_events_received_total{{{labels}}} {n} {start + n}" for n in range(600)]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Prometheus]:
    """A Prometheus, a forwarder with a sink that works and one that does not, and a busy org."""
    require(prometheus_part.missing())
    folder = tmp_path_factory.mktemp("grafana")
    forwarder = ForwarderProcess(
        folder / "forwarder",
        {
            "archive": {"kind": "file", "path": str(folder / "events.ndjson"), "format": "ecs"},
            "siem": {
                "kind": "elasticsearch",
                "hosts": ["https://127.0.0.1:9"],
                "ca_file": str(certificate.cert),
                "delivery": {"backoff_cap": "1s"},
            },
        },
        {"reconcile": {"poll": "1s", "grace": "3s", "rate_share": 1.0}},
    )
    flags = ["--rate=20", "--drop=0.2", "--duplicate=0.2", "--log-only-share=0.2", f"--hook={forwarder.url}"]
    okta = EmulatorProcess(folder / "okta", *flags, f"--hook-secret={SECRET}")
    hook = {"uri": forwarder.url, "check_interval": "1s"}
    org = {"secrets": [SECRET], "url": okta.url, "api": {"token": TOKEN}, "hook": hook}
    forwarder.tree["orgs"] = {"acme": org}
    forwarder.write_config()
    target = f"127.0.0.1:{forwarder.ops_port}"
    server = Prometheus(folder / "prometheus", target, hasty_rules())
    past = folder / "past.txt"
    past.write_text(history(target), encoding="utf-8")
    import_past = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(past), str(server.directory / "data")]
    subprocess.run(import_past, check=True, capture_output=True)
    parts = [server, forwarder, okta]
    try:
        for part in parts:
            part.start()
        yield server
    finally:
        for part in reversed(parts):
            part.kill()


def series(server: Prometheus, query: OpenPrompts) -> list[dict[str, Any]]:
    """What the panel draws: values over the time shown, or those of its end."""
    expression = filled(query.target["expr"])
    if query.target.get("instant"):
        return [{**one, "values": [one["value"]]} for one in server.query(expression)]
    now = time.time()
    parameters = {"query": expression, "start": str(now - SHOWN), "end": str(now), "step": "1"}
    answer = httpx.get(f"{server.url}/api/v1/query_range", params=parameters, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_panel_shows_numbers(query: OpenPrompts, prometheus: Prometheus) -> None:
    deadline = time.monotonic() + 90
    while not (found := series(prometheus, query)):
        assert time.monotonic() < deadline, f"empty: {filled(query.target['expr'])}"
        time.sleep(0.5)
    values = [value for one in found for _, value in one["values"]]
    assert values
    assert not {"NaN", "+Inf", "-Inf"} & set(values), filled(query.target["expr"])
    for label in _labels(query.target.get("legendFormat", "")):
        assert any(one["metric"].get(label) for one in found), f"no series has the label {label}"


def _labels(legend: str) -> list[str]:
    return [part.partition("}}")[0] for part in legend.split("{{")[1:]]
