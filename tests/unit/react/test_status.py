"""The status of reactions: waiting actions, live effects, pauses, and the limits that were reached."""

from typing import Any

import msgspec

from forwarder.core.action import Action, ActionState, ActionTarget, Approval, Outcome, Reason, Waits
from forwarder.core.time import SECOND
from forwarder.react.action_rows.in_memory import DAY, ActionsInMemory
from forwarder.react.guards.pauses import Pauses
from forwarder.react.status import summary
from tests.fakes.actions import HOUR, action
from tests.fakes.clock import NOON

MINUTE = 60 * SECOND
NO_PAUSES = Pauses()
change = msgspec.structs.replace


def shown(*rows: Action, now: int = NOON, pauses: Pauses = NO_PAUSES) -> dict[str, Any]:
    memory = ActionsInMemory()
    for row in rows:
        memory.put(row)
    return summary("enforce", memory, pauses, now)


def asking(number: int = 0, why: str = "asks", **more: Any) -> Action:
    approval = Approval(NOON + number * MINUTE + HOUR, why)
    reason = Reason.APPROVAL if why == "asks" else Reason.LIMIT
    waits: dict[str, Any] = {"state": ActionState.WAITING, "waits_for": Waits.APPROVAL, "reason": reason}
    return action("suspend", number, approval=approval, **waits, **more)


def live(number: int, until: int, **more: Any) -> Action:
    target = ActionTarget("user", f"00u{number}", f"user{number}@corp.example")
    done: dict[str, Any] = {"state": ActionState.LIVE, "outcome": Outcome.DONE, "called_at": NOON}
    return action("add_to_group", number, target=target, due=until, undo_due=until, **done, **more)


def test_without_anything_open_only_the_mode_is_left() -> None:
    found = shown()
    assert found.pop("mode") == "enforce"
    assert [value for value in found.values() if value] == []


def test_actions_that_wait_for_a_human_are_listed_by_their_time_with_their_limit() -> None:
    found = shown(asking(2, "timed"), asking(1, "timed"))
    assert found["waiting_approvals"] == 2
    first, second = found["approvals"]
    assert first == {
        "id": asking(1).id,
        "org": "acme",
        "action": "suspend",
        "target": {"kind": "user", "id": "00uvictim000000000p1", "name": "jane@corp.example"},
        "rule": "push_fatigue",
        "title": "Push fatigue",
        "planned_at": "2026-01-01T12:00:00.000Z",
        "limit": "timed",
        "until": "2026-01-01T13:01:00.000Z",
    }
    assert (second["id"], second["limit"]) == (asking(2).id, "timed")


def test_a_flood_over_a_limit_does_not_hide_actions_that_always_need_a_human() -> None:
    found = shown(*(asking(number, "timed") for number in range(30)), asking(99))
    assert found["waiting_approvals"] == 31
    assert (found["approvals"][0]["id"], found["approvals"][0]["limit"]) == (asking(99).id, None)


def test_actions_that_wait_for_okta_are_listed_separately_with_the_reason() -> None:
    waits = {"state": ActionState.WAITING, "due": NOON + MINUTE}
    rows = [
        action("prompt", 1, **waits, waits_for=Waits.CONFIRMATION, detail="the log does not have it"),
        action("suspend", 2, **waits, waits_for=Waits.RETRY, detail="Okta answers 503"),
    ]
    found = shown(*rows)
    assert (found["waiting_confirmation"], found["waiting_retry"], found["waiting_approvals"]) == (1, 1, 0)
    assert [(one["waits_for"], one["detail"], one["next_try"]) for one in found["waiting"]] == [
        ("confirmation", "the log does not have it", "2026-01-01T12:01:00.000Z"),
        ("retry", "Okta answers 503", "2026-01-01T12:01:00.000Z"),
    ]


def test_an_effect_is_overdue_a_minute_after_its_end_and_says_what_okta_answered() -> None:
    rows = (live(1, NOON + HOUR), live(2, NOON - MINUTE), live(3, NOON - MINUTE - 1, attempts=2, detail="403"))
    found = shown(*rows)
    assert (found["live_effects"], found["overdue_undos"]) == (3, 1)
    assert [(one["overdue"], one["detail"]) for one in found["live"]] == [(True, "403"), (False, ""), (False, "")]


def test_lists_are_short_and_counts_are_complete() -> None:
    pauses = Pauses()
    for number in range(60):
        pauses = pauses.pause(f"rule-{number}", "w" * 400, NOON)
    waits: dict[str, Any] = {"state": ActionState.WAITING, "waits_for": Waits.RETRY}
    rows = [
        *(asking(number) for number in range(60)),
        *(live(100 + number, NOON + number) for number in range(60)),
        *(action("suspend", 200 + number, **waits) for number in range(60)),
    ]
    found = shown(*rows, pauses=pauses)
    counts = ("waiting_approvals", "live_effects", "waiting_retry", "paused")
    assert [found[name] for name in counts] == [60, 60, 60, 60]
    assert [len(found[name]) for name in ("approvals", "live", "waiting", "pauses")] == [20, 20, 20, 20]
    assert found["live"][0]["until"] == "2026-01-01T12:00:00.000Z"
    assert len(found["pauses"][0]["why"]) == 301


def test_a_long_text_from_an_event_is_shortened() -> None:
    (one,) = shown(asking(target=ActionTarget("user", "i" * 9999, "n" * 9999)))["approvals"]
    assert (len(one["target"]["id"]), one["target"]["name"]) == (301, "n" * 300 + "…")


def test_a_pause_has_its_person_reason_and_end() -> None:
    pauses = Pauses().pause("suspend", "maintenance", NOON, seconds=3600, by="ada")
    assert shown(pauses=pauses)["pauses"] == [
        {
            "scope": "suspend",
            "text": "the action suspend is paused",
            "why": "maintenance",
            "by": "ada",
            "since": "2026-01-01T12:00:00.000Z",
            "until": "2026-01-01T13:00:00.000Z",
        }
    ]
    assert shown(pauses=pauses, now=NOON + HOUR)["paused"] == 0


def test_an_action_over_a_limit_counts_once_whatever_becomes_of_it() -> None:
    memory = ActionsInMemory()
    memory.put(row := asking(1, "timed"))
    approved = Approval(NOON + HOUR, "timed", by="ada", at=NOON, given=True)
    memory.put(change(row, approval=approved))
    memory.put(change(row, approval=approved, state=ActionState.LIVE, called_at=NOON, undo_due=NOON + HOUR))
    memory.put(asking(2, "timed", planned_at=NOON + MINUTE))
    memory.put(asking(3))
    assert summary("enforce", memory, Pauses(), NOON + MINUTE)["limits"] == [
        {"limit": "timed", "last": "2026-01-01T12:01:00.000Z", "last_hour": 2, "last_day": 2}
    ]


def test_limits_are_counted_by_hour_and_day_and_the_last_one_comes_first() -> None:
    hours = {"timed": (0, 1, 20), "per_user": (2, 22), "mending": (0,)}
    rows = [
        asking(number, limit, planned_at=NOON + hour * HOUR)
        for number, (limit, hour) in enumerate((limit, hour) for limit in hours for hour in hours[limit])
    ]
    found = shown(*rows, now=NOON + 22 * HOUR + MINUTE)["limits"]
    assert [(one["limit"], one["last_hour"], one["last_day"]) for one in found] == [
        ("per_user", 1, 2),
        ("timed", 0, 3),
        ("mending", 0, 1),
    ]
    later = shown(*rows, now=NOON + DAY + HOUR)["limits"]
    assert [(one["limit"], one["last_day"]) for one in later] == [("per_user", 2), ("timed", 1)]


def test_ended_rows_from_the_store_count_as_limit_hits() -> None:
    ended = change(asking(1, "per_rule"), state=ActionState.ENDED, outcome=Outcome.REFUSED, due=None)
    memory = ActionsInMemory()
    memory.fill([ended])
    (hit,) = summary("enforce", memory, Pauses(), NOON)["limits"]
    assert (hit["limit"], hit["last_day"]) == ("per_rule", 1)


def test_limit_hits_of_years_take_little_memory() -> None:
    memory = ActionsInMemory()
    for minute in range(6000):
        memory.limit_hits.add("timed", NOON + minute * MINUTE)
    assert memory.limit_hits.found(NOON + 5999 * MINUTE)[0][2:] == (60, 1440)
    assert len(memory.limit_hits._minutes["timed"]) <= 2880
