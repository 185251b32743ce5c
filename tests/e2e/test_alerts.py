"""Real outages of a real forwarder: a real Prometheus and Alertmanager send exactly the alerts that are meant for each.

The rules run thirty times as fast; everything else is as it is shipped.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ElasticsearchFactory, require
from tests.e2e.okta import Sender, happenings
from tests.stack import prometheus as parts
from tests.stack.emulator import TOKEN, EmulatorProcess
from tests.stack.forwarder import SECRET, ForwarderProcess
from tests.stack.process import ServerProcess
from tests.stack.prometheus import Alertmanager, Prometheus, hasty_rules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Alerts = set[tuple[str, str]]


class Site:
    """An Okta org that emits ten events a second, a forwarder with its hook, and who watches it."""

    def __init__(self, directory: Path, sinks: dict[str, Any] | None = None, **sections: Any) -> None:
        sinks = sinks or {"archive": {"kind": "file", "path": str(directory / "events.ndjson")}}
        self.secret = directory / "secret"
        self.secret.parent.mkdir(exist_ok=True)
        self.secret.write_text(SECRET)
        self.okta = EmulatorProcess(directory / "okta", "--rate", "10")
        reconcile = {"poll": "1s", "grace": "3s", "rate_share": 1.0}
        self.forwarder = ForwarderProcess(directory / "forwarder", sinks, {"reconcile": reconcile, **sections})
        hook = {"uri": self.forwarder.url, "check_interval": "1s"}
        acme = {"url": self.okta.url, "api": {"token": TOKEN}, "hook": hook}
        self.forwarder.tree["orgs"] = {"acme": {**acme, "secrets": [{"file": str(self.secret)}]}}
        self.forwarder.write_config()
        self.alertmanager = Alertmanager(directory / "alertmanager")
        self.prometheus = Prometheus(
            directory / "prometheus", f"127.0.0.1:{self.forwarder.ops_port}", hasty_rules(), self.alertmanager.port
        )
        self.seen: Alerts = set()

    @property
    def parts(self) -> list[ServerProcess]:
        return [self.prometheus, self.alertmanager, self.forwarder, self.okta]

    def start(self) -> None:
        """Start everything; return once events come by the hook, and nothing alerts."""
        for part in reversed(self.parts):
            part.start()
        self.forwarder.run("hooks", "sync")
        self.until(lambda: self.value('increase(forwarder_events_received_total{via="hook"}[10s])') > 50)
        self.until(lambda: self.alertmanager.active() == set())
        self.seen.clear()

    def value(self, expression: str) -> float:
        """The sum of what the expression has; 0 if it has nothing."""
        return sum(float(series["value"][1]) for series in self.prometheus.query(expression))

    def until(self, true: Any, seconds: float = 90) -> None:
        """Return when `true`; every alert that is active meanwhile is noted."""
        deadline = time.monotonic() + seconds
        while not true():
            self.seen |= self.alertmanager.active()
            assert time.monotonic() < deadline, f"seen so far: {sorted(self.seen)}"
            time.sleep(0.25)

    def only(self, expected: Alerts, *, seconds: float = 15) -> None:
        """Assert that these alerts become active, and no other one before, or for some seconds after."""
        self.until(lambda: expected <= self.alertmanager.active())
        ends = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > ends)
        assert self.seen == expected


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Any]:
    """Give a function that runs a command, if given, and starts a site."""
    require(parts.missing())
    started: list[Site] = []

    def start(*command: str, **options: Any) -> Site:
        site = Site(tmp_path / "site", **options)
        started.append(site)
        if command:
            site.forwarder.run(*command)
        site.start()
        return site

    yield start
    for site in started:
        for part in site.parts:
            part.kill()


def test_a_stopped_elasticsearch_is_a_sink_that_is_down(sites: Any, elasticsearch_server: ElasticsearchFactory) -> None:
    server = elasticsearch_server()
    siem = {"kind": "elasticsearch", "hosts": [server.url]}
    site = sites("setup", "elasticsearch", sinks={"siem": siem})
    site.until(lambda: site.value("forwarder_events_delivered_total") > 0)
    server.stop()
    site.only({("ForwarderSinkDown", "warning")})


def test_a_wrong_secret_is_named_as_such(sites: Any) -> None:
    site = sites()
    site.secret.write_text("another secret than Okta has")
    site.only({("ForwarderSecretRefused", "critical")})


def test_an_unverified_hook_is_a_hook_that_is_down(sites: Any) -> None:
    site = sites()
    unverify(site.okta)
    site.only({("ForwarderHookDown", "warning")})


def test_dropped_deliveries_are_missed_events(sites: Any) -> None:
    site = sites()
    site.okta.set_faults(drop=0.5)
    site.only({("ForwarderEventsMissed", "warning")})


def test_a_full_store_refuses_events_and_says_that_it_is_full(sites: Any) -> None:
    nowhere = {"siem": {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:1"]}}
    site = sites(sinks=nowhere, store={"max_size": "16MiB"})
    asyncio.run(fill(site))
    site.only(
        {
            ("ForwarderSinkDown", "warning"),
            ("ForwarderStoreFilling", "critical"),
            ("ForwarderRefusesEvents", "critical"),
            ("ForwarderAckBudgetBurn", "critical"),
        }
    )


def unverify(okta: EmulatorProcess) -> None:
    """Change the hook in Okta, as an admin does; Okta then wants it verified again."""
    headers = {"Authorization": f"SSWS {TOKEN}"}
    with httpx.Client(base_url=okta.url, headers=headers, trust_env=False) as client:
        (hook,) = client.get("/api/v1/eventHooks").raise_for_status().json()
        hook["channel"]["config"]["headers"] = [{"key": "X-Other", "value": "x"}]
        client.put(f"/api/v1/eventHooks/{hook['id']}", json=hook).raise_for_status()


async def fill(site: Site) -> None:
    """Post until the store takes no more."""
    sender = Sender(site.forwarder.url)
    await sender.load(happenings(12_000), batch=100)
    assert sender.answers[503] > 0
