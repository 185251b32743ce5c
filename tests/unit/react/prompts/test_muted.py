"""The factor events of a user that the rules skip."""

from typing import Any

import msgspec
import pytest
import structlog
from msgspec.structs import replace

from forwarder.core.action import Action, ActionState, EffectKind, Outcome
from forwarder.core.errors import StoreError, StoreFormatError, StoreTimeoutError
from forwarder.core.event import Event, Source
from forwarder.core.time import SECOND
from forwarder.react.prompts.muted import Muted, is_factor_event
from tests.fakes.clock import NOON
from tests.unit.react.prompts.rows import prompt

DENIAL = "user.authentication.auth_via_mfa"


def event(at: float, actor: str = "00u1", kind: str = DENIAL, org: str = "acme", **more: Any) -> Event:
    body = {"uuid": f"u{at}", "eventType": kind, "actor": {"id": actor, "type": "User"}, **more}
    published = NOON + round(at * SECOND)
    return Event(org, f"u{at}", kind, published, published, Source.HOOK, "", msgspec.json.encode(body))


def covered(muted: Muted, one: Event) -> bool:
    return muted.covers(one, msgspec.json.decode(one.body))


def out() -> Action:
    return prompt(state=ActionState.PROMPTING, called_at=NOON)


def ended(after: float = 30, answer: str = "denied") -> Action:
    return prompt(state=ActionState.ENDED, called_at=NOON, seen_at=NOON + round(after * SECOND), answer=answer)


def test_nothing_is_muted_without_a_prompt() -> None:
    assert not covered(Muted(), event(0))


@pytest.mark.parametrize(
    ("kind", "is_muted"),
    [
        (DENIAL, True),
        ("system.push.send_factor_verify_push", True),
        ("user.mfa.okta_verify.deny_push", True),
        ("device.custom_push.send_notification", True),
        ("user.session.start", False),
        ("user.authentication.auth_via_idp", False),
        ("user.mfa", False),
    ],
)
def test_while_a_prompt_waits_the_users_factor_events_are_muted(kind: str, *, is_muted: bool) -> None:
    muted = Muted()
    muted.note(out())
    assert covered(muted, event(10, kind=kind)) == is_muted
    assert is_factor_event(kind) == is_muted


def test_events_are_muted_until_two_minutes_after_the_answer() -> None:
    muted = Muted()
    muted.note(out())
    muted.note(ended(30))
    assert covered(muted, event(149))
    assert covered(muted, event(-59))  # our clock may be ahead of Okta's
    assert not covered(muted, event(151))
    assert not covered(muted, event(-61))


def test_other_users_and_orgs_are_not_muted() -> None:
    muted = Muted()
    muted.note(out())
    assert not covered(muted, event(1, actor="00u2"))
    assert not covered(muted, event(1, org="other"))


def test_a_user_who_is_the_target_of_the_event_is_muted_too() -> None:
    muted = Muted()
    muted.note(out())
    assert covered(muted, event(1, actor="0oa1", target=[{"id": "00u1", "type": "User"}]))


@pytest.mark.parametrize("target", [None, [], "x", [None, 1, {"id": 7}], {"id": "00u1"}])
def test_odd_targets_are_ignored(target: Any) -> None:
    muted = Muted()
    muted.note(out())
    assert not covered(muted, event(1, actor="00u2", target=target))


def test_a_prompt_that_may_still_wait_mutes_for_as_long_as_okta_keeps_a_prompt() -> None:
    muted = Muted()
    muted.note(ended(1, "unknown"))
    assert covered(muted, event(300 + 119))
    assert not covered(muted, event(300 + 121))


@pytest.mark.parametrize(
    "row",
    [
        prompt(),
        prompt(state=ActionState.WAITING, called_at=NOON),
        prompt(state=ActionState.ENDED, outcome=Outcome.SHADOW),
        ended(1, "unreachable"),
        prompt(state=ActionState.ENDED, called_at=NOON, outcome=Outcome.FAILED),
        replace(out(), kind=EffectKind.TIMED, name="suspend"),
    ],
)
def test_a_prompt_that_was_not_sent_mutes_nothing(row: Action) -> None:
    muted = Muted()
    muted.note(row)
    assert not covered(muted, event(1))


def test_a_prompt_that_waits_to_be_sent_again_mutes_nothing() -> None:
    muted = Muted()
    muted.note(prompt(state=ActionState.CALLING, called_at=NOON))
    muted.note(prompt(state=ActionState.WAITING, called_at=NOON))
    assert not covered(muted, event(1))


def test_the_rows_of_the_store_restore_the_muted_times() -> None:
    before, after = Muted(), Muted()
    rows = [out(), ended(30), prompt("00u2", alert="alert-2", state=ActionState.CALLING, called_at=NOON)]
    for row in rows:
        before.note(row)
    after.restore([rows[1], rows[2]])
    for at in range(-100, 400, 7):
        for user in ("00u1", "00u2", "00u3"):
            assert covered(before, event(at, actor=user)) == covered(after, event(at, actor=user))


@pytest.mark.long
def test_old_muted_times_are_forgotten_if_there_are_many() -> None:
    muted = Muted()
    for number in range(10_001):
        muted.note(replace(ended(), target=replace(ended().target, id=f"00u{number}"), key=str(number)))
    month = 30 * 86_400 * SECOND
    muted.note(replace(out(), called_at=NOON + month, key="new"))
    assert not covered(muted, event(10, actor="00u77"))
    assert covered(muted, event(30 * 86_400 + 1))


class Rows:
    """A store that returns these rows, or raises an error."""

    def __init__(self, found: list[Action] | StoreError) -> None:
        self._found = found

    async def load_actions(self, since: int) -> list[Action]:
        assert since == NOON
        if isinstance(self._found, StoreError):
            raise self._found
        return self._found


async def test_unreadable_rows_mute_nothing_and_the_rules_still_run() -> None:
    muted = Muted()
    await muted.load(Rows([out()]), NOON)  # type: ignore[arg-type]
    assert covered(muted, event(1))
    muted = Muted()
    with structlog.testing.capture_logs() as lines:
        await muted.load(Rows(StoreFormatError("the action cannot be read")), NOON)  # type: ignore[arg-type]
    assert [line["action"] for line in lines] == ["rules_not_muted"]
    assert not covered(muted, event(1))
    with pytest.raises(StoreTimeoutError):
        await muted.load(Rows(StoreTimeoutError("busy")), NOON)  # type: ignore[arg-type]
