"""An action as others see it."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from forwarder.core import redaction
from forwarder.core.action import (
    Action,
    ActionRequest,
    ActionState,
    ActionTarget,
    Approval,
    End,
    Outcome,
    Reason,
    Waits,
)
from forwarder.core.action_event import as_json, change_of, state_text, to_event
from forwarder.core.alert import code_of
from forwarder.core.event import Source, read_event
from forwarder.core.time import SECOND
from tests.fakes.action import ALERT, JANE, TRIGGER, action
from tests.fakes.clock import NOON

LIVE = action(state=ActionState.LIVE, outcome=Outcome.DONE, undo_due=NOON + 3600 * SECOND)


def body(one: Action, at: int = NOON) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(to_event(one, at).body)
    return found


def test_it_has_the_shape_of_oktas_events_with_the_user_as_the_target() -> None:
    made = to_event(LIVE, NOON + SECOND)
    assert (made.source, made.event_type, made.published) == (Source.ACTION, "forwarder.action", NOON + SECOND)
    again = read_event(made.body, org="acme", source=Source.ACTION, received_at=made.received_at)
    assert again == made
    shown = body(LIVE)
    assert shown["actor"]["id"] == "okta-forwarder"
    assert shown["target"] == [{"id": "00u1", "type": "User", "alternateId": "jane@corp.example"}]
    assert shown["outcome"] == {"result": "SUCCESS", "reason": None}
    assert shown["displayMessage"] == "Password spray: add_to_group of jane@corp.example: done"


def test_it_says_what_is_about_which_alert_with_request_states_and_times() -> None:
    one = replace(
        LIVE,
        request=ActionRequest("acme", "PUT", "/api/v1/groups/00g1/users/00u1"),
        before={"member": False},
        after={"member": True},
        approval=Approval(NOON + SECOND, by="ops", at=NOON, given=True),
        called_at=NOON,
    )
    shown = body(one)["forwarder"]["action"]
    assert (shown["id"], shown["key"], shown["alert"]) == (one.id, one.key, ALERT)
    assert (shown["code"], shown["events"], shown["rule"]) == (code_of(ALERT), [TRIGGER], one.rule)
    assert (shown["action"], shown["kind"], shown["change"]) == ("add_to_group", "timed", "done")
    assert shown["request"] == {"to": "acme", "method": "PUT", "path": "/api/v1/groups/00g1/users/00u1"}
    assert (shown["before"], shown["after"]) == ({"member": False}, {"member": True})
    assert shown["approval"] == {
        "until": "2026-01-01T12:00:01.000Z",
        "by": "ops",
        "at": "2026-01-01T12:00:00.000Z",
        "given": True,
    }
    assert (shown["called_at"], shown["undo_due"]) == ("2026-01-01T12:00:00.000Z", "2026-01-01T13:00:00.000Z")


@pytest.mark.parametrize(
    ("changes", "change", "result", "reason", "words"),
    [
        (
            {"state": ActionState.WAITING, "waits_for": Waits.APPROVAL},
            "approval",
            "UNKNOWN",
            None,
            "waits for approval",
        ),
        ({"outcome": Outcome.DONE}, "done", "SUCCESS", None, "done"),
        ({"outcome": Outcome.ACCEPTED}, "accepted", "SUCCESS", None, "accepted, but its effect is not known"),
        ({"outcome": Outcome.NO_OP}, "no_op", "SUCCESS", None, "nothing to do, it was already done"),
        (
            {"outcome": Outcome.REFUSED, "reason": Reason.PROTECTED},
            "refused",
            "FAILURE",
            "protected",
            "refused (protected)",
        ),
        ({"outcome": Outcome.FAILED}, "failed", "FAILURE", None, "failed"),
        ({"outcome": Outcome.UNKNOWN}, "unknown", "UNKNOWN", None, "it is not known whether it was done"),
        ({"outcome": Outcome.SHADOW, "reason": Reason.SHADOW}, "shadow", "UNKNOWN", "shadow", "would be done (shadow)"),
        (
            {"outcome": Outcome.DONE, "end": End.UNDONE, "undone_by": "hand: ops"},
            "undone",
            "SUCCESS",
            "hand",
            "undone by hand",
        ),
        (
            {"outcome": Outcome.DONE, "end": End.NOT_OURS, "undone_by": "time"},
            "not_ours",
            "FAILURE",
            "time",
            "not undone, because someone else has changed the same thing in Okta since the action",
        ),
        ({"outcome": Outcome.DONE, "answer": "denied"}, "done", "SUCCESS", None, "the user denied it"),
    ],
)
def test_each_change_has_a_word_an_outcome_and_a_reason(
    changes: dict[str, Any], change: str, result: str, reason: str | None, words: str
) -> None:
    one = action(**{"state": ActionState.ENDED, **changes})
    shown = body(one)
    assert change_of(one) == shown["forwarder"]["action"]["change"] == change
    assert shown["outcome"] == {"result": result, "reason": reason}
    assert shown["displayMessage"].endswith(f"jane@corp.example: {words}")


WORDS: dict[str, dict[str, Any]] = {
    "planned": {"state": ActionState.PLANNED},
    "being carried out": {"state": ActionState.CALLING},
    "the user is asked": {"state": ActionState.PROMPTING},
    "being undone": {"state": ActionState.UNDOING, "outcome": Outcome.DONE},
    "waits for approval": {"waits_for": Waits.APPROVAL, "reason": Reason.APPROVAL},
    "waits for approval (limit)": {"waits_for": Waits.APPROVAL, "reason": Reason.LIMIT},
    "waits for another try (state)": {"waits_for": Waits.RETRY, "reason": Reason.STATE},
    "waits until the System Log shows the event": {"waits_for": Waits.CONFIRMATION, "reason": Reason.UNCONFIRMED},
    "nothing to do, it was already done": {"outcome": Outcome.NO_OP, "reason": Reason.STATE},
    "nothing to do, an earlier action does it (live)": {"outcome": Outcome.NO_OP, "reason": Reason.LIVE},
    "would wait for approval (shadow)": {"outcome": Outcome.SHADOW, "reason": Reason.APPROVAL},
    "would wait for approval, because it is over a limit (shadow)": {"outcome": Outcome.SHADOW, "reason": Reason.LIMIT},
    "undone, because its time was up": {
        "outcome": Outcome.DONE,
        "end": End.UNDONE,
        "undone_by": "time",
        "reason": Reason.LIMIT,
    },
    "undone, because the target is protected now": {
        "outcome": Outcome.DONE,
        "end": End.UNDONE,
        "undone_by": "protected",
    },
    "the user approved": {"outcome": Outcome.DONE, "answer": "approved"},
    "the user did not answer in time": {"outcome": Outcome.DONE, "answer": "timeout"},
    "the user could not be asked": {"outcome": Outcome.DONE, "answer": "unreachable"},
    "it is not known whether the user was asked": {"outcome": Outcome.UNKNOWN, "answer": "unknown"},
}


@pytest.mark.parametrize("words", WORDS)
def test_how_far_an_action_has_come_is_said_in_plain_english(words: str) -> None:
    changes: dict[str, Any] = {"state": ActionState.WAITING} | WORDS[words]
    assert state_text(action(**changes)) == words


def test_the_same_change_has_the_same_uuid_and_another_one_another() -> None:
    uuids = {
        to_event(one, NOON).uuid
        for one in (
            LIVE,
            replace(LIVE, undo_due=NOON + 7200 * SECOND),  # a later alert moved its end
            replace(LIVE, state=ActionState.ENDED, end=End.UNDONE),
            replace(LIVE, state=ActionState.ENDED, end=End.NOT_OURS),
            action(outcome=Outcome.FAILED),
            action(state=ActionState.WAITING, waits_for=Waits.APPROVAL, approval=Approval(NOON)),
            action(state=ActionState.WAITING, waits_for=Waits.APPROVAL, approval=Approval(NOON + 1)),
            action("suspend", outcome=Outcome.FAILED),
        )
    }
    assert len(uuids) == 8
    assert to_event(replace(LIVE, detail="again", attempts=2), NOON + SECOND).uuid == to_event(LIVE, NOON).uuid


def test_an_action_without_a_user_has_no_target_and_names_what_it_is_about() -> None:
    block = action("block_ip", target=ActionTarget("ip", "203.0.113.9"), outcome=Outcome.DONE)
    assert body(block)["target"] == []
    assert body(block)["displayMessage"] == "Password spray: block_ip of 203.0.113.9: done"
    notify = action("notify", target=ActionTarget("alert", ALERT), outcome=Outcome.DONE)
    assert body(notify)["displayMessage"] == "Password spray: notify: done"


@pytest.mark.long
def test_a_body_or_a_state_that_is_large_is_only_in_the_row() -> None:
    entries = {"gateways": [f"192.0.2.{number}" for number in range(5000)]}
    one = replace(
        LIVE, request=ActionRequest("acme", "PUT", "/zones/nzo1", entries), before=entries, after={"small": 1}
    )
    made = to_event(one, NOON)
    assert len(made.body) < 10_000
    shown = msgspec.json.decode(made.body)["forwarder"]["action"]
    assert shown["request"]["path"] == "/zones/nzo1"
    assert "forwarder reactions show" in shown["before"]["left_out"]
    assert shown["after"] == {"small": 1}
    assert as_json(one)["request"]["body"] == entries


SHOWN_AS = {"name": "action"}
HIDDEN = {"subject", "handle", "made_by", "trigger"}


def test_every_field_of_an_action_is_shown_or_hidden_on_purpose() -> None:
    one = action(
        settings={"for": 1},
        subject=b"the alert",
        made_by=["token id"],
        parent="p",
        outcome=Outcome.DONE,
        reason=Reason.LIMIT,
        waits_for=Waits.RETRY,
        due=1,
        attempts=1,
        request=ActionRequest("acme", "GET"),
        before=1,
        after=2,
        approval=Approval(1),
        answer="denied",
        handle="handle of a prompt",
        detail="d",
        request_id="r",
        error_id="e",
        called_at=1,
        seen_at=1,
        undo_due=1,
        undone_at=1,
        end=End.UNDONE,
        undone_by="hand:ann",
        undone_why="a false alarm",
        late=True,
    )
    shown = as_json(one)
    for name in one.__struct_fields__:
        assert (name in HIDDEN) != (SHOWN_AS.get(name, name) in shown), name
    text = to_event(one, NOON).body.decode() + msgspec.json.encode(shown).decode()
    for secret in ("the alert", "token id", "handle of a prompt"):
        assert secret not in text


def test_a_secret_that_came_into_a_row_is_not_shown() -> None:
    secret = "S3cr3t-canary-0123456789"
    redaction.add(secret)
    try:
        one = replace(LIVE, detail=f"refused: {secret}", after={"x": [secret]}, title=f"rule {secret}", target=JANE)
        assert secret not in to_event(one, NOON).body.decode()
        assert secret not in str(as_json(one))
    finally:
        redaction.clear()
