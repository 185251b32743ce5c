import re
from pathlib import Path
from typing import Any

import pytest

import forwarder.health_verdict
from forwarder.health_verdict.problem import Level, Problem
from forwarder.health_verdict.samples import Samples
from forwarder.health_verdict.verdict import Verdict, problems
from forwarder.health_verdict.verdict import verdict as summary

ORG: dict[str, Any] = {
    "api": True,
    "accepted_seconds_ago": 5.0,
    "hook_configured": True,
    "path": "/okta/events",
    "refused": 0,
    "okta_refused": 0,
    "refused_level": None,
    "refused_from_okta": 0,
    "log": {"error": None},
    "hook": {"condition": "live", "error": None},
    "hook_failures": 0,
    "hook_failed_seconds_ago": None,
    "hook_failure_reason": "",
    "hook_quota": None,
}
SINK: dict[str, Any] = {"state": "running", "last_error": None}


def verdict(org: dict[str, Any] | None = None, sink: dict[str, Any] | None = None, **status: Any) -> list[Problem]:
    whole: dict[str, Any] = {
        "ready": True,
        "uptime_seconds": 99.0,
        "not_ready_reason": None,
        "store_unreadable_reason": None,
        "balanced": True,
        "okta": {"acme": ORG | (org or {})},
        "sinks": {"siem": SINK | (sink or {})},
    }
    return problems(whole | status, Samples())


def test_nothing_is_wrong_where_everything_works() -> None:
    assert verdict() == []
    assert verdict(org={"api": False, "log": None, "hook": None}) == []
    assert verdict(sink={"state": "idle"}) == []


@pytest.mark.parametrize(
    ("condition", "command"),
    [("unverified", "hooks verify --org acme`"), ("inactive", "sync --org acme`"), ("missing", "sync --org acme`")],
)  # fmt: skip
def test_a_hook_that_okta_does_not_use_is_named_with_the_command_that_mends_it(condition: str, command: str) -> None:
    (problem,) = verdict(org={"hook": {"condition": condition, "error": None}})
    assert (problem.level, condition in problem.text, command in problem.hint) == (Level.WARNING, True, True)


def test_a_hook_with_another_address_is_a_problem() -> None:
    (problem,) = verdict(org={"hook": {"condition": "redirected", "error": None}})
    assert (problem.level, problem.runbook) == (Level.WARNING, "ForwarderHookDown")
    assert problem.text == (
        "the hook of acme has another address than `hook.uri`, so its events do not come to this forwarder"
    )
    assert "forwarder hooks sync --org acme" in problem.hint


@pytest.mark.parametrize(("behind", "level"), [(600.0, Level.WARNING), (1000.0, Level.CRITICAL)])
def test_a_hook_that_okta_does_not_use_is_critical_once_the_system_log_is_behind_too(
    behind: float, level: Level
) -> None:
    log = {"error": "Okta refuses the token", "complete_up_to_seconds_ago": behind}
    hook = {"condition": "inactive", "error": None}
    found = verdict(org={"hook": hook, "log": log})
    assert [problem.level for problem in found if problem.runbook == "ForwarderHookDown"] == [level]


def test_a_hook_that_okta_does_not_use_is_critical_while_a_rate_limit_keeps_the_system_log_behind() -> None:
    org = {
        "hook": {"condition": "unverified", "error": None},
        "log": {"error": None, "complete_up_to_seconds_ago": 901.0},
    }
    found = verdict(org=org)
    assert [(problem.level, problem.runbook) for problem in found] == [
        (Level.CRITICAL, "ForwarderHookDown"),
        (Level.WARNING, "ForwarderReconcileBehind"),
    ]
    assert found[0].text == (
        "Okta sends nothing to the hook of acme: it is unverified, and the System Log, which should replace the hook, is not read in time"
    )
    assert verdict(org=org, uptime_seconds=5.0)[0].level is Level.WARNING


def test_a_system_log_of_which_no_page_came_is_a_problem_after_15_minutes() -> None:
    log = {"error": None, "complete_up_to_seconds_ago": None}
    assert verdict(org={"log": log}, uptime_seconds=900.0) == []
    (problem,) = verdict(org={"log": log}, uptime_seconds=960.0)
    assert problem.text == "the System Log of acme was read only up to 16 minutes ago"


def test_a_sink_that_works_but_is_behind_is_a_problem() -> None:
    (problem,) = verdict(sink={"oldest_waiting_seconds": 660.0})
    assert (problem.level, problem.runbook) == (Level.WARNING, "ForwarderSinkBehind")
    assert problem.text == "siem accepts events, but the oldest one that waits for it came 11 minutes ago"
    assert verdict(sink={"oldest_waiting_seconds": 300.0}) == []
    assert verdict(sink={"oldest_waiting_seconds": 660.0}, uptime_seconds=5.0) == []  # it was stopped
    for named in ({"state": "retrying"}, {"set_aside": 1}):
        found = verdict(sink={"oldest_waiting_seconds": 660.0, **named})
        assert [problem.runbook for problem in found] == ["ForwarderSinkDown"]


DAY = 86400.0


@pytest.mark.parametrize(
    ("left", "level", "ends"),
    [(13.7 * DAY, Level.WARNING, "expires in 13 days"), (1.5 * DAY, Level.CRITICAL, "expires in 36 hours"), (-DAY, Level.CRITICAL, "has expired")],
)  # fmt: skip
def test_a_certificate_that_ends_soon_is_a_problem(left: float, level: Level, ends: str) -> None:
    (problem,) = found = verdict(certificates={"receiver.tls.cert": left, "ops.tls.cert": 15 * DAY})
    assert (problem.level, problem.text) == (level, f"the certificate in receiver.tls.cert {ends}")
    assert "renew the file" in problem.hint
    assert summary(found, {}).text == "Events arrive, but something needs attention."


def test_malformed_events_are_a_problem_until_somebody_has_decided() -> None:
    (problem,) = verdict(receiver_dead=2)
    assert (problem.level, problem.runbook) == (Level.WARNING, "ForwarderDeadLettersWaiting")
    assert problem.text == "2 malformed events came from Okta; dead letters keep them"
    assert "forwarder dead-letters list --sink receiver" in problem.hint
    assert verdict(receiver_dead=0) == []


def test_a_hook_that_cannot_be_checked_is_named() -> None:
    (problem,) = verdict(org={"hook": {"condition": "unknown", "error": "Okta refuses the token"}})
    assert problem == Problem(Level.WARNING, "the hook of acme cannot be checked", "Okta refuses the token", "Okta API")


@pytest.mark.parametrize(("behind", "uptime", "problems"), [(900.0, 99.0, 0), (1500.0, 99.0, 1), (1500.0, 5.0, 0)])
def test_a_log_that_is_read_late_is_a_problem_a_minute_after_the_start(
    behind: float, uptime: float, problems: int
) -> None:
    found = verdict({"log": {"error": None, "complete_up_to_seconds_ago": behind}}, uptime_seconds=uptime)
    assert [problem.runbook for problem in found] == ["ForwarderReconcileBehind"] * problems
    assert all(problem.text == "the System Log of acme was read only up to 25 minutes ago" for problem in found)


@pytest.mark.parametrize(("free", "total"), [(900_000_000, 10_000_000_000), (4_000_000_000, 100_000_000_000)])
def test_a_disk_that_is_nearly_full_is_a_problem_before_events_are_refused(free: int, total: int) -> None:
    found = verdict(store_disk_bytes=total, store_disk_free_bytes=free)
    assert [problem.runbook for problem in found] == ["ForwarderDiskFilling"]
    assert f"{free / 1e9:.1f} GB" in found[0].text
    assert summary(found, {}).text == "Events arrive, but something needs attention."
    assert verdict(store_disk_bytes=total, store_disk_free_bytes=total // 2) == []
    refused = verdict(ready=False, not_ready_reason="the disk is full", store_disk_bytes=1, store_disk_free_bytes=0)
    assert [problem.runbook for problem in refused] == ["ForwarderRefusesEvents"]


def test_waiting_events_that_fill_the_store_are_a_problem_before_events_are_refused() -> None:
    (problem,) = verdict(store_waiting_bytes=810, store_max_bytes=1000)
    assert (problem.level, problem.runbook) == (Level.CRITICAL, "ForwarderStoreFilling")
    assert problem.text == "events that wait for a sink fill 81 % of the store"
    assert verdict(store_waiting_bytes=800, store_max_bytes=1000) == []


def test_failed_deliveries_of_the_last_hour_are_named() -> None:
    failed = {"hook_failures": 9, "hook_failed_seconds_ago": 60.0, "hook_failure_reason": "HTTP status 401"}
    (problem,) = verdict(org=failed)
    assert problem.text == "Okta gave up on 9 deliveries to the hook of acme: HTTP status 401"
    assert "forwarder gaps" in problem.hint
    assert verdict(org=failed | {"hook_failed_seconds_ago": 4000.0}) == []
    assert "1 delivery to" in verdict(org=failed | {"hook_failures": 1})[0].text


@pytest.mark.parametrize("api", [True, False])
def test_refused_events_are_fetched_by_hand_only_where_polling_does_not_fetch_them(*, api: bool) -> None:
    (problem,) = verdict(org={"api": api}, ready=False, not_ready_reason="full")
    assert ("forwarder backfill" in problem.hint, "polling" in problem.hint) == (not api, api)


def test_a_sink_that_does_not_deliver_is_named_with_its_error() -> None:
    (problem,) = verdict(sink={"state": "paused", "last_error": "401: set `api_key`"})
    assert (problem.level, problem.hint) == (Level.CRITICAL, "401: set `api_key`")


def test_a_sink_that_delivers_to_the_wrong_place_is_named_with_what_to_do() -> None:
    (problem,) = verdict(sink={"warning": "run setup"})
    assert (problem.level, problem.hint) == (Level.WARNING, "run setup")
    assert "siem" in problem.text


def test_the_worst_comes_first() -> None:
    found = verdict(
        org={"log": {"error": "timeout"}},
        sink={"state": "retrying"},
        ready=False,
        not_ready_reason="full",
        balanced=False,
    )
    assert [problem.level.value for problem in found] == ["critical", "critical", "warning", "warning"]
    assert "full" in found[0].text


def test_events_that_fail_while_a_sink_accepts_others_are_a_problem() -> None:
    (problem,) = verdict(sink={"set_aside": 2, "last_error": "HTTP 403"})
    assert problem.text == "2 events fail again and again, while siem accepts others"
    assert "HTTP 403" in problem.hint


def test_every_problem_names_a_section_of_the_runbook() -> None:
    package = Path(forwarder.health_verdict.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    runbook = (package.parent.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = re.findall(r'"((?:Forwarder|Okta API|Elasticsearch|Rules)\w*)"', source)
    assert len(sections) > 8
    assert [section for section in sections if f"\n## {section}\n" not in runbook] == []


def test_events_that_the_system_log_has_otherwise_are_the_first_problem() -> None:
    (problem,) = verdict(org={"log": {"error": None, "differing": 2}})
    assert (problem.level, problem.runbook) == (Level.CRITICAL, "ForwarderEventsDiffer")
    assert "2 events" in problem.text
    assert "new secret" in problem.hint
    assert verdict(org={"log": {"error": None, "differing": 0}}) == []


def test_a_finding_about_reactions_is_a_problem() -> None:
    finding = {"text": "acme has no group 'X'", "hint": "correct the name", "runbook": "Reactions"}
    quiet: dict[str, Any] = {"overdue_undos": 0, "waiting_approvals": 0, "pauses": [], "live": []}
    (problem,) = verdict(reactions=quiet | {"findings": [finding]})
    assert (problem.level, problem.text, problem.hint) == (Level.WARNING, finding["text"], finding["hint"])
    assert verdict(reactions=quiet | {"findings": []}) == []


def test_a_failing_sink_is_named_with_its_error_and_what_to_do() -> None:
    (problem,) = verdict(sink={"state": "paused", "last_error": "HTTP 401", "hint": "check the credentials"})
    assert problem.text == "events wait in the store, because siem is paused: HTTP 401"
    assert problem.hint == "check the credentials"


def test_dead_letters_are_a_problem() -> None:
    (problem,) = verdict(sink={"dead": 2})
    assert problem.text == "siem rejected 2 events; dead letters keep them"
    assert "forwarder dead-letters list --sink siem" in problem.hint


def test_events_that_wait_for_a_removed_sink_are_a_problem() -> None:
    (problem,) = verdict(removed_sinks={"old": 1234})
    assert problem.text == "1,234 events wait for old, which is no longer configured"
    assert "forget-sink old" in problem.hint
    (problem,) = verdict(removed_sinks={"old": 1})
    assert problem.text == "1 event waits for old, which is no longer configured"


def test_a_refused_reload_is_a_problem_and_never_hides_another() -> None:
    reason = "sinks.siem.onyl: unknown key; did you mean `only`?"
    found = verdict(reload_failed_reason=reason)
    (problem,) = found
    assert problem.level is Level.WARNING
    assert problem.text == f"the last reload was refused, and the old configuration stays in force: {reason}"
    assert "forwarder check" in problem.hint
    assert summary(found, {}).text == "The changed configuration is not in force."
    both = verdict(sink={"state": "paused", "last_error": "HTTP 403"}, reload_failed_reason=reason)
    assert [each.runbook for each in both] == ["ForwarderSinkPaused", "ForwarderConfigReloadFailed"]
    assert summary(both, {}).text == "Events wait in the store, because a sink does not take them."


def test_events_that_the_rules_passed_over_are_a_problem_for_an_hour() -> None:
    (problem,) = verdict(rules={"failures": 3, "failed_seconds_ago": 60.0})
    assert problem.text == "the rules skipped 3 events that they cannot evaluate"
    assert "`rule_failed`" in problem.hint
    assert verdict(rules={"failures": 3, "failed_seconds_ago": 4000.0}) == []
    assert verdict(rules={"failures": 0, "failed_seconds_ago": None}) == []
    assert verdict(rules=None) == []


REACTIONS: dict[str, Any] = {
    "mode": "enforce",
    "waiting_approvals": 0,
    "overdue_undos": 0,
    "live": [],
    "paused": 0,
    "pauses": [],
}


def test_reactions_that_need_nobody_are_no_problem() -> None:
    assert verdict(reactions=REACTIONS | {"live": [{"detail": ""}]}) == []


def test_an_effect_that_should_have_ended_is_critical_and_says_why_it_has_not() -> None:
    live = [{"detail": ""}, {"detail": "Okta answered 403"}]
    (problem,) = found = verdict(reactions=REACTIONS | {"overdue_undos": 2, "live": live})
    assert problem.level is Level.CRITICAL
    assert problem.text == "2 effects of reactions should have ended and are still there: Okta answered 403"
    assert "forwarder reactions list --live" in problem.hint
    assert summary(found, {}).text == "Reactions need a human."
    (problem,) = verdict(reactions=REACTIONS | {"overdue_undos": 1})
    assert problem.text == "1 effect of reactions should have ended and is still there"


def test_actions_that_wait_for_approval_are_a_problem() -> None:
    (problem,) = found = verdict(reactions=REACTIONS | {"waiting_approvals": 1})
    assert (problem.level, problem.text) == (Level.WARNING, "1 action waits for approval")
    assert "forwarder reactions list --waiting" in problem.hint
    assert summary(found, {}) == Verdict("warning", "Reactions need a human.")
    (problem,) = verdict(reactions=REACTIONS | {"waiting_approvals": 1200})
    assert problem.text == "1,200 actions wait for approval"


@pytest.mark.parametrize(
    "text", ["all reactions are paused", "the action suspend is paused", "reactions to the rule A are paused"]
)
def test_a_pause_is_a_problem_until_it_ends(text: str) -> None:
    pauses = [{"text": text, "why": "maintenance"}]
    text = f"{text}, because maintenance"
    (problem,) = verdict(reactions=REACTIONS | {"paused": 1, "pauses": pauses})
    assert (problem.level, problem.text) == (Level.WARNING, text)
    assert "forwarder reactions resume" in problem.hint
    (problem,) = verdict(reactions=REACTIONS | {"paused": 3, "pauses": pauses * 3})
    assert problem.text == f"{text}; and 2 other pauses"


def test_the_whole_says_what_is_wrong_with_events_and_with_reactions() -> None:
    waits = REACTIONS | {"waiting_approvals": 1}
    late = verdict(sink={"state": "retrying", "last_error": "HTTP 503"}, reactions=waits)
    assert summary(late, {}).text == "Events are late or incomplete. Reactions need a human."
    overdue = verdict(sink={"state": "paused", "last_error": "x"}, reactions=waits | {"overdue_undos": 1})
    text = "Events wait in the store, because a sink does not take them. Reactions need a human."
    assert summary(overdue, {}) == Verdict("critical", text)
    lost = verdict(ready=False, not_ready_reason="full", reactions=waits)
    assert summary(lost, {}).text == "Events are lost, or may be lost. Reactions need a human."


LIVE_LOG = {"error": None, "complete_up_to_seconds_ago": 3.0}


@pytest.mark.parametrize(
    ("org", "stored", "level"),
    [
        ({}, 5, "ok"),
        ({"accepted_seconds_ago": None, "log": None}, 0, "waiting"),
        ({"accepted_seconds_ago": None, "log": None}, 5, "waiting"),
        ({"accepted_seconds_ago": None, "log": LIVE_LOG}, 5, "ok"),
    ],
)
def test_the_whole_is_well_only_once_something_has_come(org: dict[str, Any], stored: int, level: str) -> None:
    status = {"okta": {"acme": ORG | org}, "stored": stored, "uptime_seconds": 9999.0}
    assert summary([], status).level == level


@pytest.mark.parametrize(
    ("uptime", "text"),
    [
        (5.0, "All is well since the start, less than a minute ago."),
        (60.0, "All is well since the start, 1 minute ago."),
        (3599.0, "All is well since the start, 59 minutes ago."),
        (3600.0, "All is well."),
    ],
)
def test_the_whole_does_not_claim_to_know_what_was_before_a_restart(uptime: float, text: str) -> None:
    assert summary([], {"okta": {"acme": ORG}, "stored": 5, "uptime_seconds": uptime}).text == text


def test_the_worst_problem_decides_about_the_whole() -> None:
    problems = [Problem(Level.CRITICAL, "a", "", ""), Problem(Level.WARNING, "b", "", "")]
    assert summary(problems, {}).level == "critical"
    assert summary(problems[1:], {}).level == "warning"
