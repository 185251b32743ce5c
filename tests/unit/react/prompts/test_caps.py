"""How many prompts there may be."""

from msgspec.structs import replace

from forwarder.core.action import Action, ActionState, Outcome
from forwarder.core.time import SECOND
from forwarder.react.prompts.caps import DAY, over_cap
from tests.fakes.clock import NOON
from tests.unit.react.prompts.rows import prompt

NEXT = prompt(alert="next")


def which(rows: list[Action], now: int = NOON, action: Action = NEXT) -> str | None:
    cap = over_cap(action, rows, now)
    return None if cap is None else cap.which


def test_without_other_prompts_there_is_no_cap() -> None:
    assert which([]) is None
    assert which([replace(NEXT, state=ActionState.CALLING)]) is None


def test_a_user_is_asked_by_one_prompt_at_a_time() -> None:
    assert which([prompt(state=ActionState.PROMPTING, called_at=NOON - 3 * DAY)]) == "live"
    assert which([prompt(state=ActionState.CALLING, called_at=NOON)]) == "live"


def test_a_user_is_asked_once_in_24_hours() -> None:
    earlier = prompt(state=ActionState.ENDED, called_at=NOON - DAY + SECOND, answer="denied")
    cap = over_cap(NEXT, [earlier], NOON)
    assert cap is not None
    assert (cap.which, cap.until) == ("day", NOON + SECOND)
    assert which([earlier], NOON + SECOND) is None
    assert which([replace(earlier, answer="unknown")]) == "day"


def test_what_was_not_sent_uses_nothing_up() -> None:
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


def test_the_caps_may_be_set() -> None:
    hours = 3600 * SECOND
    rows = [
        prompt(alert=f"a{n}", state=ActionState.ENDED, called_at=NOON - n * hours, answer="denied")
        for n in range(3)
    ]
    cap = over_cap(NEXT, rows, NOON, per_user=3, window=3 * hours)
    assert cap is not None
    assert cap.until == NOON - 2 * hours + 3 * hours
    assert over_cap(NEXT, rows, NOON, per_user=4, window=3 * hours) is None
    assert over_cap(NEXT, rows, NOON, per_user=3, window=2 * hours) is None
    out = [prompt("00u9", state=ActionState.PROMPTING, called_at=NOON)]
    assert over_cap(NEXT, out, NOON, at_once=1) is not None
    assert over_cap(NEXT, out, NOON, at_once=2) is None
