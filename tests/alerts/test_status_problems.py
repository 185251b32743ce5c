"""Each alert against the status: the status names the same thing, or there is a reason why it cannot."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from forwarder.health_verdict import current, recent, refused
from forwarder.health_verdict.problem import Level
from forwarder.health_verdict.samples import KEPT, Key, Samples
from forwarder.health_verdict.verdict import problems
from tests.alerts.test_rules import ALERTS

NAMES = list(dict.fromkeys(f"{alert['alert']} {alert['labels']['severity']}" for alert in ALERTS))
"""Each alert with each of its severities."""

LEVELS = {"critical": Level.CRITICAL, "warning": Level.WARNING, "info": Level.WARNING}
"""The level of a problem by the severity of its alert. The status has nothing milder than a warning."""

ORG: dict[str, Any] = {
    "api": True,
    "accepted_seconds_ago": 5.0,
    "hook_configured": True,
    "path": "/okta/events",
    "refused": 0,
    "okta_refused": 0,
    "refused_level": None,
    "refused_from_okta": 0,
    "log": {"error": None, "complete_up_to_seconds_ago": 60.0},
    "hook": {"condition": "live", "error": None},
    "hook_failed_seconds_ago": None,
    "hook_quota": None,
}
LATE_LOG: dict[str, Any] = ORG["log"] | {"complete_up_to_seconds_ago": 901.0}
SINK: dict[str, Any] = {"state": "running", "oldest_waiting_seconds": 1.0, "last_error": None, "dead": 0}
REACTIONS: dict[str, Any] = {"overdue_undos": 0, "live": [], "waiting_approvals": 0, "paused": 0, "pauses": []}
BUSY: Mapping[Key, float] = {
    ("hook_requests", "acme", "200"): 60,
    ("ack_duration", "acme", "1.0"): 60,
    ("ack_duration", "acme", "+Inf"): 60,
    ("events_received", "acme", "hook"): 60,
    ("okta_requests", "acme", "GET /api/v1/logs", "200"): 6,
    ("delivery_lag", "siem", "60.0"): 60,
    ("delivery_lag", "siem", "+Inf"): 60,
}
"""What a forwarder that works counts in a minute."""

REVOKE = ("okta_requests", "acme", "DELETE /api/v1/users/{id}/sessions")


class Shown(NamedTuple):
    """What makes the alert fire, and the section of the problem that is then shown; the alert's own if it is empty.

    `rates` are changes of `BUSY`, `values` are values that do not change. `also` is the section of a second problem.
    """

    section: str = ""
    org: Mapping[str, Any] = {}
    sink: Mapping[str, Any] = {}
    status: Mapping[str, Any] = {}
    rates: Mapping[Key, float] = {}
    values: Mapping[Key, float] = {}
    also: str = ""


SHOWN = {
    "ForwarderRefusesEvents critical": Shown(rates={("hook_requests", "acme", "503"): 1}),
    "ForwarderNotReady critical": Shown("ForwarderRefusesEvents", status={"ready": False, "not_ready_reason": "full"}),
    "ForwarderUnreadableRequests warning": Shown(rates={("hook_requests", "acme", "415"): 1}),
    "ForwarderAnswersSlowly warning": Shown(rates={("ack_duration", "acme", "1.0"): 59}),
    "ForwarderSecretRefused critical": Shown(org={"refused": 1, "okta_refused": 1, "refused_level": "critical"}),
    "ForwarderPathUnknown critical": Shown(rates={("unknown_path_requests", "okta"): 1}),
    "ForwarderAuthFailures warning": Shown(rates={("auth_failures", "acme"): 3}),
    "ForwarderHookDown warning": Shown(org={"hook": {"condition": "inactive", "error": None}}),
    "ForwarderHookDown critical": Shown(
        org={"hook": {"condition": "inactive", "error": None}, "log": LATE_LOG}, also="ForwarderReconcileBehind"
    ),
    "ForwarderHookQuota warning": Shown(rates={("hook_quota_warnings", "acme"): 1}),
    "ForwarderOktaApiFailing warning": Shown(rates={(*REVOKE, "404"): 1}),
    "ForwarderOktaRateLimited warning": Shown(rates={(*REVOKE, "429"): 1}),
    "ForwarderClockSkew warning": Shown(values={("clock_offset", "acme"): 6.0}),
    "ForwarderNoEvents warning": Shown(rates={("events_received", "acme", "hook"): 0}),
    "ForwarderEventsDiffer critical": Shown(org={"log": ORG["log"] | {"differing": 1}}),
    "ForwarderEventsMissed warning": Shown(rates={("events_missed", "acme"): 1}),
    "ForwarderReconcileBehind warning": Shown(org={"log": LATE_LOG}),
    "ForwarderSinkDown warning": Shown(sink={"state": "retrying"}),
    "ForwarderSinkDown critical": Shown(sink={"state": "retrying", "oldest_waiting_seconds": 3601.0}),
    "ForwarderSinkPaused critical": Shown(sink={"state": "paused"}),
    "ForwarderSinkBehind warning": Shown(sink={"oldest_waiting_seconds": 301.0}),
    "ForwarderDeadLetters warning": Shown(sink={"dead": 1}),
    "ForwarderDeadLettersWaiting info": Shown(status={"receiver_dead": 1}),
    "ForwarderStoreFilling critical": Shown(
        rates={("store_waiting_bytes",): 1e6}, status={"store_max_bytes": KEPT / 60 * 1e6 + 200e6}
    ),
    "ForwarderStoreFilling warning": Shown(
        rates={("store_waiting_bytes",): 1e6}, status={"store_max_bytes": KEPT / 60 * 1e6 + 300e6}
    ),
    "ForwarderDiskFilling critical": Shown(status={"store_disk_bytes": 10**12, "store_disk_free_bytes": 10**10}),
    "ForwarderLedgerUnbalanced critical": Shown(status={"balanced": False}),
    "ForwarderAckBudgetBurn critical": Shown("ForwarderRefusesEvents", rates={("hook_requests", "acme", "503"): 1}),
    "ForwarderFreshnessBudgetBurn warning": Shown(rates={("delivery_lag", "siem", "60.0"): 55}),
    "ForwarderUndoOverdue critical": Shown(status={"reactions": REACTIONS | {"overdue_undos": 1}}),
    # The actions that a limit holds back wait for approval, until a human has decided.
    "ForwarderReactionLimit warning": Shown(
        "ForwarderApprovalsWaiting", status={"reactions": REACTIONS | {"waiting_approvals": 1}}
    ),
    "ForwarderApprovalsWaiting warning": Shown(status={"reactions": REACTIONS | {"waiting_approvals": 1}}),
    "ForwarderRoleLost critical": Shown(rates={(*REVOKE, "403"): 1}),
    "ForwarderActionUnknown warning": Shown(rates={("reactions", "prompt", "unknown"): 1}),
    "ForwarderActionsFailed warning": Shown(rates={("reactions", "webhook", "failed"): 1}),
    "ForwarderEventsUnconfirmed critical": Shown(rates={("reactions_refused", "unconfirmed"): 1}),
    "ForwarderReactionsNotDelivered warning": Shown(values={("reactions_waiting_retry",): 1}),
    "ForwarderReactionsPaused warning": Shown(
        status={"reactions": REACTIONS | {"paused": 1, "pauses": [{"text": "all reactions are paused", "why": "x"}]}}
    ),
    "ForwarderConfigReloadFailed warning": Shown(status={"reload_failed_reason": "sinks: unknown key"}),
    "ForwarderCertificateExpiring warning": Shown(status={"certificates": {"ops.tls.cert": 13 * 86400.0}}),
    "ForwarderCertificateExpiring critical": Shown(status={"certificates": {"ops.tls.cert": 86400.0}}),
}

NOT_SHOWN = {
    "ForwarderDown critical": "there is no status without the process; the page says that it gets no answer",
    "ForwarderAbsent critical": "there is no status without the process; the page says that it gets no answer",
    "ForwarderRestarting warning": "a process does not know how often it was started before",
}


def status(shown: Shown) -> dict[str, Any]:
    return {
        "ready": True,
        "uptime_seconds": KEPT,
        "not_ready_reason": None,
        "store_unreadable_reason": None,
        "balanced": True,
        "okta": {"acme": ORG | dict(shown.org)},
        "sinks": {"siem": SINK | dict(shown.sink)},
        "reactions": REACTIONS,
        **shown.status,
    }


def samples(shown: Shown, sound_minutes: int = 0) -> Samples:
    """Seven hours in which the alert fires, and then minutes in which all is well."""
    found, values, minutes = Samples(), dict[Key, float](), int(KEPT) // 60
    for minute in range(minutes + sound_minutes + 1):
        fires = minute <= minutes
        rates = {**BUSY, **(shown.rates if fires else {})}
        values |= {key: values.get(key, 0.0) + rate for key, rate in rates.items()}
        found.add(60.0 * minute, values | {key: value if fires else 0 for key, value in shown.values.items()})
    return found


def test_each_alert_has_a_problem_of_the_status_or_a_reason_for_none() -> None:
    assert sorted([*SHOWN, *NOT_SHOWN]) == sorted(NAMES)


@pytest.mark.parametrize("name", SHOWN)
def test_the_status_is_not_green_while_an_alert_fires(name: str) -> None:
    shown = SHOWN[name]
    found = [problem.runbook for problem in problems(status(shown), samples(shown))]
    assert found == [each for each in (shown.section or name.split(maxsplit=1)[0], shown.also) if each]


@pytest.mark.parametrize("name", SHOWN)
def test_a_problem_is_as_severe_as_its_alert(name: str) -> None:
    assert problems(status(SHOWN[name]), samples(SHOWN[name]))[0].level is LEVELS[name.split()[1]]


@pytest.mark.parametrize("name", SHOWN)
def test_a_problem_goes_away_by_itself_when_the_alert_ends(name: str) -> None:
    assert problems(status(Shown()), samples(SHOWN[name], sound_minutes=7 * 60)) == []


# --- the limits of the problems are those of the alerts


def seconds(text: str) -> float:
    return float(text[:-1]) * {"m": 60, "h": 3600, "d": 86400}[text[-1]]


def ranges(name: str) -> set[float]:
    return {
        seconds(text)
        for alert in ALERTS
        if alert["alert"] == name
        for text in re.findall(r"(?:\[|_rate)(\d+[mhd])\b", alert["expr"])
    }


@pytest.mark.parametrize(
    ("name", "lasts"),
    [
        ("ForwarderRefusesEvents", recent.REFUSED),
        ("ForwarderUnreadableRequests", recent.UNREADABLE),
        ("ForwarderPathUnknown", recent.UNKNOWN_PATH),
        ("ForwarderHookQuota", recent.QUOTA),
        ("ForwarderRoleLost", recent.FORBIDDEN),
        ("ForwarderActionUnknown", recent.ACTIONS),
        ("ForwarderActionsFailed", recent.ACTIONS),
        ("ForwarderEventsUnconfirmed", recent.UNCONFIRMED),
    ],
)
def test_a_problem_lasts_as_long_as_its_alert(name: str, lasts: float) -> None:
    (alert,) = [alert for alert in ALERTS if alert["alert"] == name]
    assert max(ranges(name)) + seconds(alert.get("keep_firing_for", "0m")) == lasts


@pytest.mark.parametrize(
    ("name", "expected", "lasts"),
    [
        ("ForwarderAnswersSlowly", {recent.ANSWERS}, recent.ANSWERS_FOR),
        ("ForwarderAuthFailures", {recent.GUESSES}, recent.GUESSES_FOR),
        ("ForwarderOktaApiFailing", {recent.CALLS}, recent.FAILING_FOR),
        ("ForwarderOktaRateLimited", {recent.CALLS}, recent.LIMITED_FOR),
        ("ForwarderNoEvents", {recent.SILENT}, recent.SILENT_FOR),
        ("ForwarderEventsMissed", {recent.MISSED}, recent.MISSED_FOR),
        ("ForwarderFreshnessBudgetBurn", set(recent.LATE_RANGES), recent.LATE_FOR),
        ("ForwarderStoreFilling", {trend for trend, *_ in recent.FILLING}, recent.FILLING_FOR),
    ],
)
def test_a_problem_needs_the_same_time_as_its_alert(name: str, expected: set[float], lasts: float) -> None:
    assert expected <= ranges(name)
    assert {seconds(alert["for"]) for alert in ALERTS if alert["alert"] == name} == {lasts}
    assert max(expected) + lasts <= KEPT


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ForwarderUnreadableRequests", 'code=~"400|413|415"'),
        ("ForwarderAnswersSlowly", f"histogram_quantile({1 - recent.SLOW_SHARE:g}, "),
        ("ForwarderSecretRefused", f'{{sender="other"}}[2m])) > {refused.MOST_STRAYS}\n'),
        ("ForwarderAuthFailures", f"> {recent.MOST_GUESSES}\n"),
        ("ForwarderHookDown", f"> {current.BEHIND:g}\n"),
        ("ForwarderReconcileBehind", f"> {current.BEHIND:g}"),
        ("ForwarderClockSkew", f"> {current.CLOCK_SKEW:g}"),
        ("ForwarderSinkBehind", f"> {current.SINK_BEHIND:g}\n"),
        ("ForwarderSinkDown", f"> {current.SINK_DOWN:g}\n"),
        ("ForwarderOktaApiFailing", f'code=~"{recent.FAILURES}"'),
        ("ForwarderOktaApiFailing", f'code=~"{recent.SUCCESSES}"'),
        ("ForwarderOktaRateLimited", 'code="429"'),
        ("ForwarderEventsMissed", f"> {recent.MISSED_SHARE:g}\n"),
        ("ForwarderFreshnessBudgetBurn", f"> {recent.LATE_SHARE / 0.01:g} * 0.01\n"),
        ("ForwarderFreshnessBudgetBurn", f"> {recent.MIN_EVENTS}\n"),
        ("ForwarderStoreFilling", f"> {current.STORE_FULL:g}\n"),
        ("ForwarderStoreFilling", f"> {recent.HALF_FULL:g}\n"),
        *(("ForwarderStoreFilling", f"{ahead / 3600:g} * 3600) >") for _, ahead, *_ in recent.FILLING),
        ("ForwarderDiskFilling", f"< {current.MIN_FREE_SHARE:g}\n"),
        ("ForwarderDiskFilling", f"< {current.MIN_FREE_BYTES / 1e9:g}e9\n"),
        ("ForwarderCertificateExpiring", f"< {current.CERTIFICATE_SOON / 86400:g} * 86400\n"),
        ("ForwarderCertificateExpiring", f"< {current.CERTIFICATE_NOW / 86400:g} * 86400\n"),
    ],
)
def test_a_limit_of_the_status_is_the_limit_of_the_alert(name: str, text: str) -> None:
    assert text in "".join(f"{alert['expr']}\n" for alert in ALERTS if alert["alert"] == name)
