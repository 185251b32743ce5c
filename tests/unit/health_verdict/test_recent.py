"""What makes no problem yet, what is shown once, and what the texts say. tests/alerts compares problems with alerts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from forwarder.health_verdict.problem import Level, Problem
from forwarder.health_verdict.recent import recent_problems
from forwarder.health_verdict.samples import Key, Samples
from forwarder.health_verdict.verdict import verdict

ORG: dict[str, Any] = {
    "refused": 0,
    "refused_level": None,
    "log": None,
    "hook": None,
    "hook_failed_seconds_ago": None,
    "hook_quota": None,
}


def found(values: Mapping[Key, Sequence[float]], org: Mapping[str, Any] = ORG, **status: Any) -> list[Problem]:
    """The problems after the `values` of each minute, the newest last."""
    samples = Samples()
    minutes = len(next(iter(values.values())))
    for minute in range(minutes):
        samples.add(60.0 * minute, {key: each[minute] for key, each in values.items()})
    whole = {"ready": True, "uptime_seconds": 60.0 * minutes, "okta": {"acme": ORG | dict(org)}, "sinks": {}}
    return list(recent_problems(whole | status, samples))


def one(key: Key, minutes: int, ago: int) -> dict[Key, list[float]]:
    """A counter that increased from 0 to 1 some minutes ago."""
    return {key: [0.0] * (minutes - ago) + [1.0] * ago}


def test_a_refused_event_is_critical_for_10_minutes() -> None:
    (problem,) = found(one(("hook_requests", "acme", "503"), 60, ago=9))
    assert (problem.level, problem.runbook) == (Level.CRITICAL, "ForwarderRefusesEvents")
    assert problem.text.startswith("1 request to acme could not be stored within the last 10 minutes (503)")
    assert found(one(("hook_requests", "acme", "503"), 60, ago=11)) == []
    assert found(one(("hook_requests", "acme", "503"), 60, ago=9), ready=False) == []  # this is named already
    (problem,) = found(one(("hook_requests", "", "503"), 60, ago=9))
    assert "1 request to a path of several orgs" in problem.text


def test_unreadable_requests_are_counted_together() -> None:
    keys = [("hook_requests", "acme", code) for code in ("400", "413", "415")]
    (problem,) = problems = found({key: [0.0, 1.0] for key in keys})
    assert problem.text.startswith("3 requests with the secret of acme could not be read within the last 30 minutes")
    assert verdict(problems, {}).text == "Events are late or incomplete."


def test_one_slow_answer_is_no_problem() -> None:
    slow = {("ack_duration", "acme", "1.0"): [0.0] * 60, **one(("ack_duration", "acme", "+Inf"), 60, ago=5)}
    assert found(slow) == []


@pytest.mark.parametrize(("ago", "problems"), [(9, 0), (12, 1), (16, 0)])
def test_a_call_that_fails_must_not_have_succeeded_for_10_minutes(ago: int, problems: int) -> None:
    call = ("okta_requests", "acme", "POST /api/v1/users/{id}/lifecycle/suspend")
    assert len(found(one((*call, "none"), 60, ago=ago))) == problems
    assert found(one((*call, "none"), 60, ago=ago) | one((*call, "200"), 60, ago=1)) == []


def test_a_failing_call_that_the_system_log_or_the_hook_names_already_is_not_named_twice() -> None:
    log, hook = (("okta_requests", "acme", f"GET /api/v1/{name}", "401") for name in ("logs", "eventHooks"))
    minutes = [float(minute) for minute in range(60)]
    (problem,) = problems = found({log: minutes, hook: minutes})
    assert problem.text == "all of these calls to Okta's API fail for acme: GET /api/v1/eventHooks, GET /api/v1/logs"
    assert verdict(problems, {}).text == "Events arrive, but something needs attention."
    failing = {"log": {"error": "401"}, "hook": {"condition": "live", "error": "401"}}
    assert found({log: minutes, hook: minutes}, failing) == []


def test_okta_that_forbids_a_call_of_a_reaction_is_critical_at_once() -> None:
    call = ("okta_requests", "acme", "DELETE /api/v1/users/{id}/sessions")
    (problem,) = problems = found(one((*call, "403"), 60, ago=1))
    assert (problem.level, problem.runbook) == (Level.CRITICAL, "ForwarderRoleLost")
    assert "DELETE /api/v1/users/{id}/sessions" in problem.text
    assert verdict(problems, {}).text == "Reactions need a human."


def test_the_quota_is_named_with_oktas_words() -> None:
    (problem,) = found(one(("hook_quota_warnings", "acme"), 60, ago=5), {"hook_quota": "warning: 90 %"})
    assert problem.text.endswith("is nearly or completely used up: warning: 90 %")


@pytest.mark.parametrize(
    "org",
    [
        {"refused": 3, "refused_level": "critical"},
        {"hook": {"condition": "inactive"}},
        {"hook_failed_seconds_ago": 60.0},
    ],
)
def test_missed_events_are_not_named_twice(org: Mapping[str, Any]) -> None:
    missed = one(("events_missed", "acme"), 60, ago=15)
    (problem,) = found(missed)
    assert problem.text == "the hook of acme did not deliver 1 event within the last hour"
    assert found(missed, org) == []


def test_an_org_is_silent_only_6_hours_after_it_was_added() -> None:
    assert found({("events_received", "acme", "hook"): [0.0] * 380}) == []
    (problem,) = found({("events_received", "acme", "hook"): [0.0] * 400})
    assert problem.text == "no event of acme has come for more than 6 hours"
    assert found(one(("events_received", "acme", "log"), 400, ago=60)) == []


def test_a_stray_request_does_not_hide_that_an_org_is_silent() -> None:
    silent: dict[Key, list[float]] = {("events_received", "acme", "hook"): [0.0] * 400}
    (problem,) = found(silent, {"refused": 1, "refused_level": "warning"})
    assert problem.runbook == "ForwarderNoEvents"
    assert found(silent, {"refused": 3, "refused_level": "critical"}) == []


@pytest.mark.parametrize(("org", "to"), [("acme", "acme"), ("", "a path of several orgs")])
def test_many_refused_requests_are_a_problem_unless_an_orgs_problem_names_them(org: str, to: str) -> None:
    def orgs(**refused: int) -> dict[str, Any]:
        paths = {"acme": "/shared", "beta": "/shared", "gamma": "/own"}
        return {name: ORG | {"path": path, "refused": refused.get(name, 0)} for name, path in paths.items()}

    guesses: dict[Key, list[float]] = {("auth_failures", org): [3.0 * minute for minute in range(60)]}
    for elsewhere in (orgs(), orgs(gamma=1)):
        (problem,) = found(guesses, okta=elsewhere)
        assert problem.text.startswith(f"30 requests to {to} had no valid secret (401) within the last 10 minutes")
    assert found(guesses, okta=orgs(acme=1)) == []
    assert found({("auth_failures", org): [0.0] * 40 + [1.0] * 20}) == []


def test_an_action_that_waits_for_another_try_is_a_problem_only_if_some_wait_for_10_minutes() -> None:
    key = ("reactions_waiting_retry",)
    assert found({key: [1.0] * 10}) == []
    (problem,) = found({key: [1.0] * 11 + [2.0]})
    assert problem.text == "2 actions wait for another try"
    assert found({key: [1.0] * 8 + [0.0] + [1.0] * 8}) == []


@pytest.mark.parametrize(("ahead", "text"), [(7.0, "7 s ahead of"), (-3600.0, "3,600 s behind")])
@pytest.mark.parametrize("log", [{"error": None}, {"error": "the client assertion has expired"}])
def test_a_wrong_clock_is_named_also_if_okta_refuses_its_tokens(
    ahead: float, text: str, log: Mapping[str, Any]
) -> None:
    key = ("clock_offset", "acme")
    (problem,) = problems = found({key: [0.1, ahead, ahead]}, {"log": log})
    assert (problem.text, problem.runbook) == (f"this machine's clock is {text} Okta's", "ForwarderClockSkew")
    assert verdict(problems, {}).text == "Events arrive, but something needs attention."
    assert found({key: [0.1, 0.1, ahead]}, {"log": log}) == []  # one slow answer
    assert found({key: [5.0, 5.0, 5.0]}, {"log": log}) == []


def test_a_store_that_fills_is_named_with_the_time_that_is_left() -> None:
    key, minutes = ("store_waiting_bytes",), [float(minute) for minute in range(90)]
    (problem,) = found({key: minutes}, store_max_bytes=300)
    assert problem.text == "at the present rate, events that wait for a sink fill the store within 4 hours"
    (problem,) = found({key: [minute + 200 for minute in minutes]}, store_max_bytes=370)
    assert problem.text.endswith("within 4 hours")
    (problem,) = found({key: [minute + 500 for minute in minutes]}, store_max_bytes=1000)
    assert problem.text.endswith("within a day")
    assert found({key: minutes}, store_max_bytes=2000) == []
    assert found({key: minutes[:16]}, store_max_bytes=100) == []  # too early to tell
