"""The limits of prompts."""

from msgspec.structs import replace

from forwarder.core.action import Action, ActionState, Outcome
from forwarder.core.time import SECOND
from forwarder.react.action_rows.in_memory import DAY
from forwarder.react.guards.prompt_limits import first_reached_limit
from tests.fakes.clock import NOON
from tests.unit.react.prompts.rows import prompt

NEXT = prompt(alert="next")


def which(rows: list[Action], now: int = NOON, action: Action = NEXT) -> str | None:
    reached = first_reached_limit(action, rows, now)
    return None if reached is None else reached.which


def test_without_other_prompts_no_limit_is_reached() -> None:
    assert which([]) is None
    assert which([replace(NEXT, state=ActionState.CALLING)]) is None


def test_a_user_is_asked_by_one_prompt_at_a_time() -> None:
    assert which([prompt(state=ActionState.PROMPTING, called_at=NOON - 3 * DAY)]) == "live"
    assert which([prompt(state=ActionState.CALLING, called_at=NOON)]) == "live"


def test_a_user_is_asked_once_in_24_hours() -> None:
    earlier = prompt(state=ActionState.ENDED, called_at=NOON - DAY + SECOND, answer="denied")
    reached = first_reached_limit(NEXT, [earlier], NOON)
    assert reached is not None
    assert (reached.which, reached.until) == ("day", NOON + SECOND)
    assert which([earlier], NOON + SECOND) is None
    assert which([replace(earlier, answer="unknown")]) == "day"


def test_a_prompt_that_was_not_sent_does_not_count() -> None:
    over = prompt(state=ActionState.ENDED, called_at=NOON)
    assert which([replace(over, answer="unreachable")]) is None
    assert which([replace(over, outcome=Outcome.FAILED)]) is None
    assert which([replace(over, outcome=Outcome.REFUSED)]) is None
    assert which([prompt(state=ActionState.WAITING, called_at=NOON)]) is None


def test_five_users_of_an_org_are_asked_at_once() -> None:
    rows = [prompt(f"00u9{n}", state=ActionState.PROMPTING, called_at=NOON) for n in range(5)]
    assert which(rows) == "org"
    assert which(rows[1:]) is None
    assert which([replace(row, org="other") for row in rows]) is None


def test_prompts_in_shadow_count_in_shadow_only() -> None:
    row = prompt(state=ActionState.ENDED, outcome=Outcome.SHADOW, mode="shadow", seen_at=NOON)
    assert which([row]) is None
    assert which([row], action=replace(NEXT, mode="shadow")) == "day"


def test_the_limits_may_be_set() -> None:
    hours = 3600 * SECOND
    rows = [
        prompt(alert=f"a{n}", state=ActionState.ENDED, called_at=NOON - n * hours, answer="denied")
        for n in range(3)
    ]
    reached = first_reached_limit(NEXT, rows, NOON, per_user=3, window=3 * hours)
    assert reached is not None
    assert reached.until == NOON - 2 * hours + 3 * hours
    assert first_reached_limit(NEXT, rows, NOON, per_user=4, window=3 * hours) is None
    assert first_reached_limit(NEXT, rows, NOON, per_user=3, window=2 * hours) is None
    out = [prompt("00u9", state=ActionState.PROMPTING, called_at=NOON)]
    assert first_reached_limit(NEXT, out, NOON, at_once=1) is not None
    assert first_reached_limit(NEXT, out, NOON, at_once=2) is None
