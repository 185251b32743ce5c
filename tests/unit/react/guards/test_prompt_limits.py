"""The limits of prompts."""

from msgspec.structs import replace

from forwarder.core.action import Action, ActionState, Outcome
from forwarder.core.time import SECOND
from forwarder.react.action_rows.in_memory import DAY
from forwarder.react.guards.judgement import Case
from forwarder.react.guards.prompt_limits import ReachedLimit, reached_limit
from forwarder.react.settings.guards import GuardSettings, Limit
from tests.fakes.clock import NOON
from tests.unit.react.prompts.rows import prompt

NEXT = prompt(alert="next")


def reached_by(
    rows: list[Action],
    now: int = NOON,
    action: Action = NEXT,
    settings: GuardSettings = GuardSettings(),  # noqa: B008  # frozen
) -> ReachedLimit | None:
    return reached_limit(Case(action, now, action.mode), rows, settings)


def which(rows: list[Action], now: int = NOON, action: Action = NEXT) -> str | None:
    reached = reached_by(rows, now, action)
    return None if reached is None else reached.which


def test_without_other_prompts_no_limit_is_reached() -> None:
    assert which([]) is None
    assert which([replace(NEXT, state=ActionState.CALLING)]) is None


def test_a_user_is_asked_by_one_prompt_at_a_time() -> None:
    assert which([prompt(state=ActionState.PROMPTING, called_at=NOON - 3 * DAY)]) == "live"
    assert which([prompt(state=ActionState.CALLING, called_at=NOON)]) == "live"


def test_a_user_is_asked_once_in_24_hours() -> None:
    earlier = prompt(state=ActionState.ENDED, called_at=NOON - DAY + SECOND, answer="denied")
    reached = reached_by([earlier])
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
        prompt(alert=f"a{n}", state=ActionState.ENDED, called_at=NOON - n * hours, answer="denied") for n in range(3)
    ]

    def per_user(count: int, seconds: float) -> ReachedLimit | None:
        limits = {"prompt_per_user": Limit(count, seconds)}
        return reached_by(rows, settings=GuardSettings(limits=limits))

    reached = per_user(3, 3 * 3600)
    assert reached is not None
    assert reached.until == NOON - 2 * hours + 3 * hours
    assert per_user(4, 3 * 3600) is None
    assert per_user(3, 2 * 3600) is None
    out = [prompt("00u9", state=ActionState.PROMPTING, called_at=NOON)]
    assert reached_by(out, settings=GuardSettings(prompts_at_once=1)) is not None
    assert reached_by(out, settings=GuardSettings(prompts_at_once=2)) is None
