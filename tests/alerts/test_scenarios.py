"""Staged outages: a sound forwarder with one thing changed. Exactly the named alerts may fire.

Each scenario asserts the complete list of firing alerts, by the real promtool.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import require

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "config" / "prometheus" / "forwarder.rules.yml"

HERE = 'job="forwarder",instance="f:9464"'
FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing"})'

Firing = list[tuple[str, str]]


def series(name: str, **labels: str) -> str:
    """A series of the forwarder as promtool writes it."""
    pairs = [HERE, *(f'{key}="{value}"' for key, value in labels.items())]
    return f"{name}{{{','.join(pairs)}}}"


def requests(code: int) -> str:
    return series("forwarder_hook_requests_total", org="acme", code=str(code))


POLL = "GET /api/v1/logs"
REVOKE = "DELETE /api/v1/users/{id}/sessions"
SUSPEND = "POST /api/v1/users/{id}/lifecycle/suspend"


def calls(operation: str, code: str) -> str:
    return series("forwarder_okta_requests_total", org="acme", operation=operation, code=code)


def refused(org: str = "acme") -> str:
    return series("forwarder_auth_failures_total", org=org, reason="wrong")


def okta_refused(org: str = "acme") -> str:
    return series("forwarder_okta_auth_failures_total", org=org)


def since_accepted(sender: str, org: str = "acme") -> str:
    """The requests that were refused since the last one that was accepted."""
    return series("forwarder_hook_refused_requests", org=org, sender=sender)


def unknown_path(sender: str) -> str:
    return series("forwarder_unknown_path_requests_total", sender=sender)


def received(via: str) -> str:
    return series("forwarder_events_received_total", org="acme", via=via, event_type="other")


def sink(name: str, kind: str = "siem", **labels: str) -> str:
    return series(f"forwarder_{name}", sink=kind, **labels)


def sound() -> dict[str, str]:
    """What a forwarder shows that works, minute by minute."""
    found = {
        series("up"): "1",
        series("forwarder_build_info", version="1"): "1",
        series("process_start_time_seconds"): "1000",
        series("forwarder_ready"): "1",
        series("forwarder_hook_verified", org="acme"): "1",
        series("forwarder_hook_quota_warnings_total", org="acme"): "0",
        series("forwarder_events_missed_total", org="acme"): "0",
        series("forwarder_events_differing_total", org="acme"): "0",
        series("forwarder_reconcile_lag_seconds", org="acme"): "60",
        series("forwarder_store_waiting_bytes"): "1000000",
        series("forwarder_store_max_bytes"): "10000000000",
        series("forwarder_store_disk_free_bytes"): "50000000000",
        series("forwarder_store_disk_bytes"): "100000000000",
        series("forwarder_stored_events"): "0+60",
        sink("dead_letters", "receiver"): "0",
        series("forwarder_clock_offset_seconds", org="acme"): "0.2",
        series("forwarder_config_last_reload_successful"): "1",
        series("forwarder_certificate_expiry_timestamp_seconds", setting="receiver.tls.cert"): "2000000",
    }
    found |= {calls(POLL, code): "0+1" if code == "200" else "0" for code in ("200", "401", "429", "none")}
    found |= {calls("GET /api/v1/eventHooks", code): "0+1" if code == "200" else "0" for code in ("200", "401")}
    found |= {requests(code): "0+30" if code == 200 else "0" for code in (200, 400, 401, 404, 413, 415, 503)}
    found |= {
        series("forwarder_undo_overdue"): "0",
        series("forwarder_reactions_limit_tripped_total", limit="per_rule"): "0",
        series("forwarder_reactions_refused_total", action="suspend", reason="unconfirmed"): "0",
        series("forwarder_reactions_refused_total", action="suspend", reason="protected"): "0+1",
        series("forwarder_reactions_waiting", **{"for": "approval"}): "0",
        series("forwarder_reactions_waiting", **{"for": "retry"}): "0",
        series("forwarder_reactions_total", rule="r1", action="prompt", mode="enforce", outcome="unknown"): "0",
        series("forwarder_reactions_total", rule="r1", action="notify", mode="enforce", outcome="failed"): "0",
        series("forwarder_reactions_total", rule="r1", action="prompt", mode="enforce", outcome="done"): "0+1",
        series("forwarder_reactions_paused_since_timestamp_seconds"): "0",
        calls(SUSPEND, "200"): "0+1",
        calls(SUSPEND, "403"): "0",
        calls(REVOKE, "200"): "0",
        calls(REVOKE, "403"): "0",
    }
    found |= {name(sender): "0" for sender in ("okta", "other") for name in (unknown_path, since_accepted)}
    found |= {name(org): "0" for org in ("acme", "") for name in (refused, okta_refused)}
    found |= {since_accepted("other", "shop"): "0"}
    for via in ("hook", "log"):
        found[series("forwarder_org_source_enabled", org="acme", via=via)] = "1"
        found[received(via)] = "0+30"
    for le in ("0.5", "1.0", "2.0", "3.0", "+Inf"):
        found[series("forwarder_ack_duration_seconds_bucket", org="acme", le=le)] = "0+30"
    for name in ("siem", "archive"):
        found |= {
            sink("sink_up", name): "1",
            sink("sink_paused", name): "0",
            sink("sink_lag_seconds", name): "1",
            sink("sink_backlog_events", name): "3",
            sink("dead_letters", name): "0",
            sink("delivery_lag_seconds_count", name): "0+60",
        }
        found |= {sink("events_dead_lettered_total", name, reason=why): "0" for why in ("mapping", "too_large")}
        found |= {sink("delivery_lag_seconds_bucket", name, le=le): "0+60" for le in ("60.0", "+Inf")}
        places = {"delivered": "0+60"} | dict.fromkeys(("dead", "discarded", "skipped", "filtered", "waiting"), "0")
        found |= {sink("ledger_events", name, place=place): shown for place, shown in places.items()}
    return found


STOPPED = "0+60x60 3600"
SINK_DOWN = {
    sink("sink_up"): "1x60 0",
    sink("sink_lag_seconds"): "1x60 0+60",
    sink("delivery_lag_seconds_count"): STOPPED,
    sink("delivery_lag_seconds_bucket", le="60.0"): STOPPED,
    sink("delivery_lag_seconds_bucket", le="+Inf"): STOPPED,
    sink("ledger_events", place="delivered"): STOPPED,
    sink("ledger_events", place="waiting"): "0x60 60+60",
}
OKTA_REFUSED = {
    requests(401): "0x60 0+30",
    refused(): "0x60 0+30",
    okta_refused(): "0x60 0+30",
    since_accepted("okta"): "0x60 30+30",
}
HOOK_DOWN = {series("forwarder_hook_verified", org="acme"): "1x60 0"}
LOG_BEHIND = {series("forwarder_reconcile_lag_seconds", org="acme"): "60x60 60+60"}
ALL_SILENT = {received("hook"): "5", received("log"): "5"}

# Each: what changes, after how many minutes to look, and what fires then. `a x60 b`: for an hour a, then b.
SCENARIOS: dict[str, tuple[Mapping[str, str | None], str, Firing]] = {
    "all is well": ({}, "7h", []),
    "it does not respond": ({series("up"): "1x60 0"}, "65m", [("ForwarderDown", "critical")]),
    "no forwarder is scraped": (
        {series("forwarder_build_info", version="1"): None},
        "10m",
        [("ForwarderAbsent", "critical")],
    ),
    "it restarts every five minutes": (
        {series("process_start_time_seconds"): "1000x60 1300x5 1600x5 1900x5 2200x5 2500"},
        "85m",
        [("ForwarderRestarting", "warning")],
    ),
    "one 503, then all is well again": ({requests(503): "0x60 1"}, "66m", [("ForwarderRefusesEvents", "critical")]),
    "the store is full, and Okta posts": (
        {requests(503): "0x60 0+30", requests(200): "0+30x60 1800", series("forwarder_ready"): "1x60 0"},
        "75m",
        [("ForwarderAckBudgetBurn", "critical"), ("ForwarderRefusesEvents", "critical")],
    ),
    "the store's file is gone, and nobody posts": (
        {series("forwarder_ready"): "1x60 0", requests(200): "5", received("hook"): "5"},
        "65m",
        [("ForwarderNotReady", "critical")],
    ),
    "a sender posts something else": ({requests(413): "0x60 2"}, "63m", [("ForwarderUnreadableRequests", "warning")]),
    "answers take two seconds": (
        {
            series("forwarder_ack_duration_seconds_bucket", org="acme", le=le): "0"
            for le in ("0.5", "1.0", "2.0")
        },
        "60m",
        [("ForwarderAnswersSlowly", "warning")],
    ),
    "Okta has another secret": (
        {requests(200): "0+30x60 1800", received("hook"): "0+30x60 1800", **OKTA_REFUSED},
        "95m",
        [("ForwarderSecretRefused", "critical")],
    ),
    "Okta has had another secret for eleven minutes": (
        {
            requests(200): "0+30x60 1800",
            received("hook"): "0+30x60 1800",
            series("forwarder_events_missed_total", org="acme"): "0x65 0+30",
            **OKTA_REFUSED,
        },
        "71m",
        [("ForwarderSecretRefused", "critical")],
    ),
    "Okta has another secret, and its deliveries are missed": (
        {
            requests(200): "0+30x60 1800",
            received("hook"): "0+30x60 1800",
            series("forwarder_events_missed_total", org="acme"): "0x65 0+30",
            **OKTA_REFUSED,
        },
        "95m",
        [("ForwarderSecretRefused", "critical")],
    ),
    "Okta is refused for the first time, three minutes ago": (
        OKTA_REFUSED,
        "63m",
        [("ForwarderSecretRefused", "critical")],
    ),
    "Okta is refused behind a proxy that changes its user agent": (
        {requests(200): "0+30x60 1800", refused(): "0x60 0+1", since_accepted("other"): "0x60 0+1"},
        "70m",
        [("ForwarderSecretRefused", "critical")],
    ),
    "a stray request comes to a quiet org": (
        {requests(200): "5", refused(): "0x60 1", since_accepted("other"): "0x60 1"},
        "70m",
        [],
    ),
    "a stray request comes to a path of several orgs": (
        {
            requests(200): "5",
            refused(""): "0x60 1",
            since_accepted("other"): "0x60 1",
            since_accepted("other", "shop"): "0x60 1",
        },
        "70m",
        [],
    ),
    "Okta posts to a path of no org": (
        {unknown_path("okta"): "0x60 1"},
        "80m",
        [("ForwarderPathUnknown", "critical")],
    ),
    "a scanner posts to paths of no org": ({unknown_path("other"): "0x60 0+30"}, "70m", []),
    "a stranger guesses": (
        {requests(401): "0x60 0+30", refused(): "0x60 0+30", since_accepted("other"): "0x60 9 0"},
        "80m",
        [("ForwarderAuthFailures", "warning")],
    ),
    "a stranger guesses at a path of several orgs": (
        {refused(""): "0x60 0+30"},
        "80m",
        [("ForwarderAuthFailures", "warning")],
    ),
    "one of two hooks sends an old secret": (
        {refused(): "0x60 0+1", okta_refused(): "0x60 0+1", since_accepted("okta"): "0x60 1 0"},
        "75m",
        [("ForwarderAuthFailures", "warning")],
    ),
    "Okta's secret was corrected after an hour": (
        {refused(): "0+30x60 1800", okta_refused(): "0+30x60 1800", since_accepted("okta"): "0+30x60 0"},
        "71m",
        [],
    ),
    "the hook is unverified, the System Log is read": (
        HOOK_DOWN | {series("forwarder_events_missed_total", org="acme"): "0x65 0+30"},
        "80m",
        [("ForwarderHookDown", "warning")],
    ),
    "the hook is unverified, and the System Log is not read": (
        HOOK_DOWN | LOG_BEHIND,
        "100m",
        [("ForwarderHookDown", "critical"), ("ForwarderReconcileBehind", "warning")],
    ),
    "Okta warns about its quota": (
        {series("forwarder_hook_quota_warnings_total", org="acme"): "0x60 1"},
        "65m",
        [("ForwarderHookQuota", "warning")],
    ),
    "the token may no longer read the System Log": (
        {calls(POLL, "200"): "0+1x60 60", calls(POLL, "401"): "0x60 0+1"},
        "95m",
        [("ForwarderOktaApiFailing", "warning")],
    ),
    "Okta's API does not respond": (
        {calls(POLL, "200"): "0+1x60 60", calls(POLL, "none"): "0x60 0+1"},
        "95m",
        [("ForwarderOktaApiFailing", "warning")],
    ),
    "a call is refused once": ({calls(POLL, "401"): "0x60 1"}, "75m", []),
    "another client uses up the rate limit": (
        {calls(POLL, "429"): "0x60 0+1"},
        "120m",
        [("ForwarderOktaRateLimited", "warning")],
    ),
    "the clock is a minute behind": (
        {series("forwarder_clock_offset_seconds", org="acme"): "0.2x60 -60"},
        "75m",
        [("ForwarderClockSkew", "warning")],
    ),
    "a reload is refused": (
        {series("forwarder_config_last_reload_successful"): "1x60 0"},
        "65m",
        [("ForwarderConfigReloadFailed", "warning")],
    ),
    "a certificate ends in ten days": (
        {series("forwarder_certificate_expiry_timestamp_seconds", setting="receiver.tls.cert"): "900000"},
        "60m",
        [("ForwarderCertificateExpiring", "warning")],
    ),
    "a certificate has ended": (
        {series("forwarder_certificate_expiry_timestamp_seconds", setting="receiver.tls.cert"): "1800"},
        "60m",
        [("ForwarderCertificateExpiring", "critical")],
    ),
    "nothing comes": (ALL_SILENT, "8h", [("ForwarderNoEvents", "warning")]),
    "nothing comes but a stray request": (
        {**ALL_SILENT, refused(): "0x60 1", since_accepted("other"): "0x60 1"},
        "8h",
        [("ForwarderNoEvents", "warning")],
    ),
    "the hook loses a third": (
        {series("forwarder_events_missed_total", org="acme"): "0x60 0+9", received("hook"): "0+30x60 1800+21"},
        "90m",
        [("ForwarderEventsMissed", "warning")],
    ),
    "the System Log is not read": (
        LOG_BEHIND,
        "100m",
        [("ForwarderReconcileBehind", "warning")],
    ),
    "a sink is down for ten minutes": (SINK_DOWN, "70m", [("ForwarderSinkDown", "warning")]),
    "one scrape fails meanwhile": (
        SINK_DOWN | {sink("sink_up"): "1x60 0x4 stale 0"},
        "70m",
        [("ForwarderSinkDown", "warning")],
    ),
    "a sink is down for two hours": (
        SINK_DOWN,
        "180m",
        [("ForwarderSinkDown", "critical"), ("ForwarderSinkDown", "warning")],
    ),
    "a sink refuses the key": (
        SINK_DOWN | {sink("sink_paused"): "0x60 1"},
        "75m",
        [("ForwarderSinkPaused", "critical")],
    ),
    "a sink is slow": ({sink("sink_lag_seconds"): "1x60 600"}, "80m", [("ForwarderSinkBehind", "warning")]),
    "a mapping conflicts": (
        {sink("events_dead_lettered_total", reason="mapping"): "0x60 5", sink("dead_letters"): "0x60 5"},
        "63m",
        [("ForwarderDeadLetters", "warning")],
    ),
    "dead letters wait for two days": (
        {sink("dead_letters"): "0x60 5"},
        "28h",
        [("ForwarderDeadLettersWaiting", "info")],
    ),
    "waiting events fill the store within a day": (
        {series("forwarder_store_waiting_bytes"): "1000000000+10000000"},
        "8h",
        [("ForwarderStoreFilling", "warning")],
    ),
    "waiting events fill the store within hours": (
        {series("forwarder_store_waiting_bytes"): "1000000000+50000000"},
        "80m",
        [("ForwarderStoreFilling", "critical")],
    ),
    "the disk is nearly full": (
        {series("forwarder_store_disk_free_bytes"): "50000000000x60 900000000"},
        "70m",
        [("ForwarderDiskFilling", "critical")],
    ),
    "an event is in no place": (
        {sink("ledger_events", place="delivered"): "0+60x60 3599+60"},
        "75m",
        [("ForwarderLedgerUnbalanced", "critical")],
    ),
    "an event is in two places": (
        {sink("ledger_events", place="dead"): "0x60 200"},
        "75m",
        [("ForwarderLedgerUnbalanced", "critical")],
    ),
    "half of the events are late": (
        {sink("delivery_lag_seconds_bucket", le="60.0"): "0+30"},
        "7h",
        [("ForwarderFreshnessBudgetBurn", "warning")],
    ),
    "the hook delivers a forged event": (
        {series("forwarder_events_differing_total", org="acme"): "0x60 1"},
        "65m",
        [("ForwarderEventsDiffer", "critical")],
    ),
    "the log never shows the event of a reaction": (
        {series("forwarder_reactions_refused_total", action="suspend", reason="unconfirmed"): "0x60 1"},
        "65m",
        [("ForwarderEventsUnconfirmed", "critical")],
    ),
    "the log does not show the event of the first reaction": (
        {series("forwarder_reactions_refused_total", action="suspend", reason="unconfirmed"): "_x60 1"},
        "65m",
        [("ForwarderEventsUnconfirmed", "critical")],
    ),
    "an effect of a reaction does not end": (
        {series("forwarder_undo_overdue"): "0x60 1"},
        "65m",
        [("ForwarderUndoOverdue", "critical")],
    ),
    "one effect ends a little late": ({series("forwarder_undo_overdue"): "0x60 1 0"}, "65m", []),
    "a rule is over its limit": (
        {series("forwarder_reactions_limit_tripped_total", limit="per_rule"): "0x60 1"},
        "65m",
        [("ForwarderReactionLimit", "warning")],
    ),
    "an action waits for approval": (
        {series("forwarder_reactions_waiting", **{"for": "approval"}): "0x60 1"},
        "70m",
        [("ForwarderApprovalsWaiting", "warning")],
    ),
    "an action is approved at once": (
        {series("forwarder_reactions_waiting", **{"for": "approval"}): "0x60 1x2 0"},
        "70m",
        [],
    ),
    "a webhook does not respond": (
        {series("forwarder_reactions_waiting", **{"for": "retry"}): "0x60 1"},
        "75m",
        [("ForwarderReactionsNotDelivered", "warning")],
    ),
    "a webhook responds at the next try": (
        {series("forwarder_reactions_waiting", **{"for": "retry"}): "0x60 1x5 0"},
        "75m",
        [],
    ),
    "the app's role is taken away": (
        {calls(SUSPEND, "200"): "0+1x60 60", calls(SUSPEND, "403"): "0x60 1"},
        "95m",
        [("ForwarderRoleLost", "critical")],
    ),
    "the role does not reach one user": ({calls(SUSPEND, "403"): "0x60 1"}, "95m", []),
    "the first call of an operation is refused": (
        {calls(REVOKE, "200"): None, calls(REVOKE, "403"): "_x120 1"},
        "125m",
        [("ForwarderRoleLost", "critical")],
    ),
    "the first call of an operation was refused two hours ago": (
        {calls(REVOKE, "200"): None, calls(REVOKE, "403"): "_x60 1"},
        "181m",
        [],
    ),
    "the first calls of an operation are refused for one user, and succeed for another": (
        {calls(REVOKE, "200"): "_x120 1", calls(REVOKE, "403"): "_x120 1"},
        "125m",
        [],
    ),
    "whether a prompt reached its user is not known": (
        {series("forwarder_reactions_total", rule="r1", action="prompt", mode="enforce", outcome="unknown"): "0x60 1"},
        "65m",
        [("ForwarderActionUnknown", "warning")],
    ),
    "the first action of a rule has an unknown outcome": (
        {series("forwarder_reactions_total", rule="r1", action="prompt", mode="enforce", outcome="unknown"): "_x60 1"},
        "65m",
        [("ForwarderActionUnknown", "warning")],
    ),
    "an unknown outcome was two hours ago": (
        {series("forwarder_reactions_total", rule="r1", action="prompt", mode="enforce", outcome="unknown"): "_x60 1"},
        "181m",
        [],
    ),
    "a webhook refuses its secret": (
        {series("forwarder_reactions_total", rule="r1", action="notify", mode="enforce", outcome="failed"): "0x60 1"},
        "65m",
        [("ForwarderActionsFailed", "warning")],
    ),
    "the first action of a rule fails": (
        {series("forwarder_reactions_total", rule="r1", action="notify", mode="enforce", outcome="failed"): "_x60 1"},
        "65m",
        [("ForwarderActionsFailed", "warning")],
    ),
    "an action failed two hours ago": (
        {series("forwarder_reactions_total", rule="r1", action="notify", mode="enforce", outcome="failed"): "_x60 1"},
        "181m",
        [],
    ),
    "reactions are paused for more than a day": (
        {series("forwarder_reactions_paused_since_timestamp_seconds"): "0x60 3600"},
        "26h",
        [("ForwarderReactionsPaused", "warning")],
    ),
    "reactions are paused for an hour": (
        {series("forwarder_reactions_paused_since_timestamp_seconds"): "0x60 3600"},
        "2h",
        [],
    ),
}  # fmt: skip


def staged(changes: Mapping[str, str | None], at: str, firing: Firing) -> dict[str, Any]:
    found: dict[str, str | None] = {**sound()}
    assert changes.keys() <= found.keys(), changes.keys() - found.keys()
    minutes = int(at[:-1]) * (60 if at.endswith("h") else 1)
    lines = [{"series": name, "values": f"{shown}x{minutes}"} for name, shown in {**found, **changes}.items() if shown]
    samples = [{"labels": f'{{alertname="{alert}",severity="{severity}"}}', "value": 1} for alert, severity in firing]
    return {
        "interval": "1m",
        "input_series": lines,
        "promql_expr_test": [{"expr": FIRING, "eval_time": at, "exp_samples": samples}],
    }


def promtool(directory: Path, rules: str, scenario: str) -> subprocess.CompletedProcess[str]:
    (directory / "rules.yml").write_text(rules, encoding="utf-8")
    changes, at, firing = SCENARIOS[scenario]
    tests = {
        "rule_files": ["rules.yml"],
        # Over hours, nothing happens that takes less than five minutes, and to evaluate all rules each minute takes 20 s.
        "evaluation_interval": "5m" if at.endswith("h") else "1m",
        "tests": [staged(changes, at, firing)],
    }
    (directory / "tests.yml").write_text(json.dumps(tests), encoding="utf-8")  # JSON is YAML
    seldom = os.environ | {"GOGC": "400"}  # to collect garbage less often saves a fifth of its CPU
    command = ["promtool", "test", "rules", "tests.yml"]
    return subprocess.run(command, cwd=directory, env=seldom, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _promtool() -> None:
    require(None if shutil.which("promtool") else "needs promtool 2.42 or newer (Debian: apt-get install prometheus)")


@pytest.mark.parametrize("name", SCENARIOS)
def test_exactly_the_alerts_fire_that_are_meant_for(name: str, tmp_path: Path) -> None:
    done = promtool(tmp_path, RULES.read_text(encoding="utf-8"), name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_scenario() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = {
        (rule["alert"], rule["labels"]["severity"]) for group in groups for rule in group["rules"] if "alert" in rule
    }
    assert alerts == {one for _, _, firing in SCENARIOS.values() for one in firing}


@pytest.mark.parametrize(
    ("right", "wrong", "scenario"),
    [
        ("forwarder_sink_up[2m]) == 0", "forwarder_sink_up[2m]) == 1", "all is well"),
        ("forwarder_dead_letters[1h]) > 0", "forwarder_dead_letters[1h]) > 9", "dead letters wait for two days"),
        ('code="503"}[5m])) > 0', 'code="500"}[5m])) > 0', "one 503, then all is well again"),
        ("unless on (job, instance, sink) max_over_time(forwarder_sink_paused[2m]) == 1", "", "a sink refuses the key"),
    ],
)  # fmt: skip
def test_a_rule_that_is_changed_fails_its_scenario(right: str, wrong: str, scenario: str, tmp_path: Path) -> None:
    rules = RULES.read_text(encoding="utf-8")
    assert right in rules
    assert promtool(tmp_path, rules.replace(right, wrong), scenario).returncode != 0
