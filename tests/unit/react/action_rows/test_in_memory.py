"""The rows in memory: due rows, live effects, holds, and the counts of the limits."""

import time

import msgspec
import pytest

from forwarder.core.action import Action, ActionState, ActionTarget, End, Outcome, Reason, Waits
from forwarder.core.time import SECOND
from forwarder.react.action_rows.in_memory import DAY, ActionsInMemory, horizon_of
from forwarder.react.settings.guards import Limit
from tests.fakes.actions import HOUR, action
from tests.fakes.clock import NOON

change = msgspec.structs.replace
LIMITS = {"per_user": Limit(2, 3600), "per_rule": Limit(4, 3600), "mending": Limit(3, 3600), "timed": Limit(3, 3600)}


def called(row: Action, at: int = NOON) -> Action:
    return change(row, state=ActionState.ENDED, outcome=Outcome.DONE, called_at=at, due=None)


def live(row: Action, until: int = NOON + HOUR) -> Action:
    return change(
        row, state=ActionState.LIVE, outcome=Outcome.DONE, called_at=NOON, due=until, undo_due=until, seen_at=NOON
    )


def user(number: int) -> ActionTarget:
    return ActionTarget("user", f"00uuser{number:013}")


def test_a_row_is_due_until_its_next_put_and_the_longest_due_row_comes_first() -> None:
    memory = ActionsInMemory()
    first, second, later = (action(number=number, due=NOON + number) for number in range(3))
    for row in (later, second, first):
        memory.put(row)
    assert memory.next_due() == NOON
    assert memory.due(NOON + 1) == [first, second]
    assert memory.due(NOON + 1) == [first, second]
    assert memory.next_due() == NOON + 2
    memory.put(change(first, state=ActionState.CALLING, due=NOON + 9))
    memory.put(change(second, state=ActionState.ENDED, due=None))
    assert memory.due(NOON + 2) == [later]
    assert memory.next_due() == NOON + 9


def test_waiting_rows_are_counted_by_reason_and_the_oldest_comes_first() -> None:
    memory = ActionsInMemory()
    first, second, third = (
        action(number=number, state=ActionState.WAITING, waits_for=Waits.CONFIRMATION) for number in range(3)
    )
    for row in (first, second, third):
        memory.put(row)
    memory.put(again := change(first, detail="asked once more", due=NOON + 1))
    assert memory.waiting(Waits.CONFIRMATION, most=2) == [again, second]
    memory.put(asks := change(again, waits_for=Waits.APPROVAL))
    assert [memory.count_waiting(each) for each in (Waits.CONFIRMATION, Waits.APPROVAL, Waits.RETRY)] == [2, 1, 0]
    assert memory.waiting(Waits.APPROVAL, most=9) == [asks]
    memory.put(change(asks, state=ActionState.ENDED, outcome=Outcome.REFUSED))
    memory.put(change(second, state=ActionState.CALLING))
    assert [memory.count_waiting(each) for each in (Waits.CONFIRMATION, Waits.APPROVAL)] == [1, 0]


def test_rows_with_an_effect_to_undo_are_listed_until_the_undo() -> None:
    memory = ActionsInMemory()
    row = live(action("add_to_group"))
    for state in (ActionState.LIVE, ActionState.UNDOING):
        memory.put(now := change(row, state=state))
        assert memory.lasting() == [now]
    memory.put(change(row, state=ActionState.ENDED, end=End.UNDONE))
    assert memory.lasting() == []
    memory.put(row)
    memory.fill([])
    assert (memory.lasting(), memory.count_waiting(Waits.APPROVAL)) == ([], 0)


def test_a_row_that_waits_for_a_human_is_open_and_never_due() -> None:
    memory = ActionsInMemory()
    memory.put(row := action())
    memory.put(waiting := change(row, state=ActionState.WAITING, waits_for=Waits.APPROVAL, due=None))
    assert memory.open() == [waiting]
    assert memory.due(NOON + DAY) == []
    assert memory.next_due() is None


def test_a_planned_row_never_replaces_a_row_in_a_later_state() -> None:
    memory = ActionsInMemory()
    memory.put(row := action())
    memory.put(went_on := change(row, state=ActionState.CALLING))
    memory.put(row)
    assert memory.get(row.key) is went_on


def test_a_row_is_found_by_its_short_id_while_it_is_open() -> None:
    memory = ActionsInMemory()
    memory.put(row := action())
    memory.put(action(number=1))
    assert memory.get(row.id) is row
    assert memory.get("") is None
    memory.put(called(row))
    assert memory.get(row.id) is None


@pytest.mark.parametrize("state", [ActionState.CALLING, ActionState.LIVE, ActionState.UNDOING])
def test_an_effect_is_live_from_its_call_until_it_is_undone(state: ActionState) -> None:
    memory = ActionsInMemory()
    memory.put(made := change(live(action()), state=state))
    assert memory.live(action(number=1)) is made
    assert memory.live(made) is None
    memory.put(change(made, state=ActionState.ENDED, end=End.UNDONE, undone_at=NOON))
    assert memory.live(action(number=1)) is None


def test_an_effect_may_be_live_while_a_call_whose_answer_was_lost_waits_to_be_repeated() -> None:
    memory = ActionsInMemory()
    memory.put(row := action())
    memory.put(lost := change(row, state=ActionState.WAITING, waits_for=Waits.RETRY, called_at=NOON))
    assert memory.live(action(number=1)) is lost


def test_only_the_same_org_action_target_and_group_are_the_same_effect() -> None:
    memory = ActionsInMemory()
    memory.put(live(row := action("add_to_group", settings={"group": "00g1"})))
    others = [
        action("add_to_group", 1, settings={"group": "00g2"}),
        action("add_to_group", 1, settings={"group": "00g1"}, org="other"),
        action("add_to_group", 1, settings={"group": "00g1"}, target=user(1)),
        action("suspend", 1),
    ]
    assert [memory.live(other) for other in others] == [None] * 4
    same = memory.live(action("add_to_group", 1, settings={"group": "00g1"}))
    assert same is not None
    assert same.key == row.key


def test_two_spellings_of_an_address_are_one_target() -> None:
    memory = ActionsInMemory()
    memory.put(live(row := action("block_ip", target=ActionTarget("ip", "2606:4700:0:0::1111"))))
    found = memory.live(action("block_ip", 1, target=ActionTarget("ip", "2606:4700::1111")))
    assert found is not None
    assert found.key == row.key


def test_a_mending_action_is_never_live() -> None:
    memory = ActionsInMemory()
    memory.put(change(action("revoke_sessions"), state=ActionState.CALLING, called_at=NOON))
    assert memory.live(action("revoke_sessions", 1)) is None


def test_a_target_is_held_for_24_hours_after_its_effect_was_undone_by_hand() -> None:
    memory = ActionsInMemory()
    row = live(action())
    memory.put(undoing := change(row, state=ActionState.UNDOING, undone_by="hand: ada"))
    assert memory.held("acme", row.target, NOON + 9 * DAY) is undoing
    memory.put(undone := change(undoing, state=ActionState.ENDED, end=End.UNDONE, undone_at=NOON, due=None))
    assert memory.held("acme", row.target, NOON + DAY - 1) is undone
    assert memory.held("acme", row.target, NOON + DAY) is None
    assert memory.held("other", row.target, NOON) is None
    assert memory.held("acme", user(1), NOON) is None


def test_an_effect_that_ended_by_itself_makes_no_hold() -> None:
    memory = ActionsInMemory()
    ended = change(live(action()), state=ActionState.ENDED, end=End.UNDONE, undone_at=NOON, undone_by="time", due=None)
    memory.put(ended)
    assert memory.held("acme", ended.target, NOON) is None


def test_old_holds_are_forgotten() -> None:
    memory = ActionsInMemory()
    for number in range(50):
        at = NOON + number * DAY
        row = live(action(number=number, target=user(number)))
        memory.put(change(row, state=ActionState.ENDED, undone_at=at, undone_by="hand: ada", due=None))
    assert len(memory._held) <= 2


def test_per_user_and_per_rule_count_alerts_and_a_kind_counts_actions() -> None:
    memory = ActionsInMemory()
    for name in ("suspend", "revoke_sessions", "expire_password"):
        memory.put(called(action(name)))
    again = action("revoke_sessions", 1)
    assert memory.over(again, LIMITS, NOON, shadow=False) == ""  # one alert acted, and two mending actions
    memory.put(called(again))
    assert memory.over(action("suspend", 2), LIMITS, NOON, shadow=False) == "per_user"
    assert memory.over(action("suspend", 1), LIMITS, NOON, shadow=False) == ""  # the alert acted already
    other = action("revoke_sessions", 3, target=user(1))
    assert memory.over(other, LIMITS, NOON, shadow=False) == "mending"
    assert memory.over(action("suspend", 3, target=user(1)), LIMITS, NOON, shadow=False) == ""


def test_a_limit_counts_only_actions_in_its_period() -> None:
    memory = ActionsInMemory()
    for number in range(2):
        memory.put(called(action(number=number), NOON + number * SECOND))
    next_one = action(number=2)
    assert memory.over(next_one, LIMITS, NOON + HOUR - 1, shadow=False) == "per_user"
    assert memory.over(next_one, LIMITS, NOON + HOUR, shadow=False) == ""


def test_refused_and_quiet_actions_count_for_no_limit() -> None:
    memory = ActionsInMemory()
    for number in range(9):
        row = action(number=number)
        memory.put(change(row, state=ActionState.ENDED, outcome=Outcome.REFUSED, reason=Reason.LATE, due=None))
        memory.put(called(action("user_risk", number)))
    assert memory.over(action(number=10), LIMITS, NOON, shadow=False) == ""
    assert memory.over(action("user_risk", 10), LIMITS, NOON, shadow=False) == ""


def test_a_retry_is_not_counted_against_itself() -> None:
    memory = ActionsInMemory()
    rows = [action(number=number) for number in range(2)]
    for row in rows:
        memory.put(change(row, state=ActionState.WAITING, waits_for=Waits.RETRY, called_at=NOON))
    assert memory.over(rows[0], LIMITS, NOON, shadow=False) == ""


def test_actions_in_shadow_are_counted_separately() -> None:
    memory = ActionsInMemory()
    for number in range(2):
        shadow = change(action(number=number, mode="shadow"), state=ActionState.ENDED, outcome=Outcome.SHADOW, due=None)
        memory.put(change(shadow, reason=Reason.SHADOW))
    assert memory.over(action(number=2), LIMITS, NOON, shadow=False) == ""
    assert memory.over(action(number=2), LIMITS, NOON, shadow=True) == "per_user"


def test_an_action_in_shadow_over_a_limit_does_not_count() -> None:
    memory = ActionsInMemory()
    for number in range(5):
        row = change(
            action(number=number), state=ActionState.ENDED, outcome=Outcome.SHADOW, reason=Reason.LIMIT, due=None
        )
        memory.put(row)
    assert memory.over(action(number=9), LIMITS, NOON, shadow=True) == ""


def test_limits_of_one_org_do_not_count_actions_of_another() -> None:
    memory = ActionsInMemory()
    for number in range(9):
        memory.put(called(action(number=number, org="other")))
    assert memory.over(action(number=10), LIMITS, NOON, shadow=False) == ""


def test_a_claim_reserves_the_effect_and_counts_until_its_release() -> None:
    memory = ActionsInMemory()
    rows = [action(number=number) for number in range(3)]
    for row in rows:
        memory.put(row)
    memory.claim(rows[0], NOON)
    assert memory.live(rows[1]) == rows[0]
    memory.claim(rows[1], NOON)
    assert memory.over(rows[2], LIMITS, NOON, shadow=False) == "per_user"
    memory.release(rows[1].key)
    assert memory.over(rows[2], LIMITS, NOON, shadow=False) == ""
    memory.put(change(rows[0], state=ActionState.ENDED, outcome=Outcome.REFUSED, due=None))
    assert memory.live(rows[2]) is None
    memory.claim(rows[1], NOON)
    assert memory.over(rows[2], LIMITS, NOON, shadow=False) == ""


def test_a_claim_still_counts_after_its_call_is_stored() -> None:
    memory = ActionsInMemory()
    rows = [action(number=number) for number in range(3)]
    for row in rows[:2]:
        memory.put(row)
        memory.claim(row, NOON)
        memory.put(change(row, state=ActionState.CALLING, called_at=NOON))
        memory.release(row.key)
    assert memory.over(rows[2], LIMITS, NOON, shadow=False) == "per_user"
    assert memory.live(rows[2]) is not None


def test_a_call_that_was_certainly_not_sent_counts_for_no_limit() -> None:
    memory = ActionsInMemory()
    rows = [action(number=number, target=user(number)) for number in range(4)]
    for row in rows[:3]:
        memory.put(row)
        memory.claim(row, NOON)
        memory.put(calling := change(row, state=ActionState.CALLING, called_at=NOON))
    assert memory.over(rows[3], LIMITS, NOON, shadow=False) == "timed"
    memory.put(unsent := change(calling, state=ActionState.WAITING, called_at=None, due=NOON + 1))
    assert memory.over(rows[3], LIMITS, NOON, shadow=False) == ""
    memory.claim(unsent, NOON + 1)
    memory.put(change(calling, called_at=NOON + 1))
    assert memory.over(rows[3], LIMITS, NOON + 1, shadow=False) == "timed"


def test_our_own_calls_are_known_by_okta_s_request_id() -> None:
    memory = ActionsInMemory()
    memory.put(change(called(action()), request_id="req-1"))
    memory.put(change(called(action()), request_id="req-2"))  # the same row, when it was undone
    assert memory.made("req-1")
    assert memory.made("req-2")
    assert not memory.made("req-3")


def test_prompts_of_the_last_day_and_open_ones_are_kept() -> None:
    memory = ActionsInMemory()
    old, out, new = (action("prompt", number) for number in range(3))
    memory.put(called(old, NOON))
    memory.put(change(out, state=ActionState.PROMPTING, called_at=NOON))
    memory.put(called(new, NOON + DAY))
    assert [row.alert for row in memory.prompts(action("prompt", 9))] == [out.alert, new.alert]


def test_waiting_prompts_of_the_org_and_all_prompts_of_the_user_count() -> None:
    memory = ActionsInMemory()
    mine, others = called(action("prompt", 1)), called(action("prompt", 2, target=user(2)))
    out = change(action("prompt", 3, target=user(3)), state=ActionState.PROMPTING, called_at=NOON)
    elsewhere = change(action("prompt", 4, org="other"), state=ActionState.PROMPTING, called_at=NOON)
    shadow = change(
        action("prompt", 5), state=ActionState.ENDED, outcome=Outcome.SHADOW, reason=Reason.SHADOW, due=None
    )
    for row in (mine, others, out, elsewhere, shadow):
        memory.put(row)
    found = {row.alert for row in memory.prompts(action("prompt", 9))}
    assert found == {mine.alert, out.alert, shadow.alert}


def test_a_claimed_prompt_counts_as_waiting_until_its_put_or_release() -> None:
    memory = ActionsInMemory()
    memory.put(row := action("prompt"))

    def out() -> list[ActionState]:
        return [one.state for one in memory.prompts(action("prompt", 9, target=user(9)))]

    memory.claim(row, NOON, shadow=True)
    assert out() == []
    memory.claim(row, NOON)
    assert out() == [ActionState.CALLING]
    memory.release(row.key)
    assert out() == []
    memory.claim(row, NOON)
    memory.put(change(row, state=ActionState.WAITING, waits_for=Waits.RETRY))
    assert out() == []
    memory.claim(row, NOON)
    memory.put(change(row, state=ActionState.CALLING, called_at=NOON))
    memory.put(change(row, state=ActionState.PROMPTING, called_at=NOON))
    assert out() == [ActionState.PROMPTING]
    memory.put(called(row))
    assert out() == []


@pytest.mark.long
def test_refused_prompts_are_not_kept() -> None:
    memory = ActionsInMemory()
    for number in range(2000):
        row = action("prompt", number, target=user(number), subject=b"x" * 4000)
        memory.put(row)
        over = change(row, state=ActionState.ENDED, due=None, reason=Reason.LIMIT)
        memory.put(change(over, outcome=Outcome.REFUSED if number % 2 else Outcome.SHADOW))
    assert len(memory._prompts) == 0
    memory.put(change(action("prompt", subject=b"x" * 4000), state=ActionState.PROMPTING, called_at=NOON))
    (kept,) = memory.prompts(action("prompt", 1))
    assert kept.subject == b""


@pytest.mark.long
def test_a_judgement_does_not_read_ended_prompts_of_other_users() -> None:
    """Without the index, each judgement took 400 ms on the event loop with 40,000 prompts."""
    memory = ActionsInMemory()
    for number in range(5000):
        memory.put(called(action("prompt", number, target=user(number))))
    started = time.perf_counter()
    for number in range(1000):
        assert len(list(memory.prompts(action("prompt", 30_000, target=user(number))))) == 1
    assert time.perf_counter() - started < 5


def test_a_refilled_memory_has_the_same_results() -> None:
    rows = [
        called(action("revoke_sessions")),
        live(action("suspend", 1)),
        change(
            live(action("suspend", 2, target=user(2))), state=ActionState.ENDED, undone_by="hand: ada", undone_at=NOON
        ),
        action("suspend", 3, due=NOON + 5),
    ]
    memory = ActionsInMemory()
    memory.put(action(number=99))
    memory.fill(rows)
    assert [row.alert for row in memory.open()] == ["alert-1", "alert-3"]
    assert [row.alert for row in memory.effects()] == ["alert-1"]
    assert memory.held("acme", user(2), NOON) is not None
    assert memory.live(action("suspend", 4)) is not None
    assert memory.over(action("suspend", 5), LIMITS, NOON, shadow=False) == "per_user"
    assert memory.next_due() == NOON + 5


def test_the_horizon_is_the_longest_limit_and_at_least_a_day() -> None:
    assert horizon_of([Limit(1, 60)]) == DAY
    assert horizon_of([Limit(1, 60), Limit(1, 7 * 86400)]) == 7 * DAY


def test_actions_before_the_horizon_are_forgotten() -> None:
    memory = ActionsInMemory()
    for number in range(100):
        memory.put(called(action(number=number, target=user(number)), NOON + number * HOUR))
    assert len(memory._recent) <= 3 * 25


@pytest.mark.long
def test_many_rows_cost_little_each() -> None:
    """A row takes 0.1 ms from its planning to its end, so a busy minute of 1,000 alerts takes 0.1 s."""
    memory = ActionsInMemory()
    rows = [action(number=number, target=user(number)) for number in range(4000)]
    ended = [
        change(row, state=ActionState.ENDED, outcome=Outcome.REFUSED, reason=Reason.LATE, due=None) for row in rows
    ]
    started = time.perf_counter()
    for lap in range(2):
        for row, end in zip(rows, ended, strict=True):
            memory.put(row)
            memory.live(row)
            memory.over(row, LIMITS, NOON + lap, shadow=False)
            memory.put(end)
    assert time.perf_counter() - started < 8
    assert memory.open() == []
    assert len(memory._schedule) <= 3000
