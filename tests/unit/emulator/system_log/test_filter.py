from typing import Any

import pytest

from forwarder.emulator.http.errors import OktaApiError
from forwarder.emulator.system_log.filter import read_filter

EVENT: dict[str, Any] = {
    "eventType": "user.session.start",
    "legacyEventType": None,
    "actor": {"id": "00u1", "displayName": 'Ada "The" (One)'},
    "outcome": {"result": "FAILURE"},
    "target": [{"id": "0oa1", "type": "AppInstance"}, {"id": "00u2", "type": "User"}],
    "securityContext": {"isProxy": False, "asNumber": 64496},
    "debugContext": {"debugData": {"targetEventHookIds": "who1,who2"}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('eventType eq "user.session.start"', True),
        ('eventType EQ "user.session.end"', False),
        ('eventType ne "user.session.end"', True),
        ('eventType sw "user." and eventType ew ".start" and eventType co "session"', True),
        ('debugContext.debugData.targetEventHookIds co "who2"', True),
        ('debugContext.debugData.targetEventHookIds co "who3"', False),
        ('target.id eq "00u2" and target.id eq "0oa1"', True),
        ('target.id ne "00u2"', False),
        ('actor.displayName eq "Ada \\"The\\" (One)"', True),
        ("securityContext.isProxy eq false", True),
        ("securityContext.asNumber eq 64496", True),
        ("actor.id pr and not legacyEventType pr", True),
        ("nothing.here pr", False),
        ('nothing.here eq "x"', False),
        ('outcome.result gt "F" and outcome.result le "FAILURE"', True),
        ('outcome.result eq "FAILURE" or eventType eq "x" and actor.id eq "x"', True),
        ('(outcome.result eq "FAILURE" or eventType eq "x") and actor.id eq "x"', False),
        ('not (outcome.result eq "FAILURE")', False),
    ],
)
def test_a_filter_says_which_events_are_wanted(text: str, *, expected: bool) -> None:
    assert read_filter(text)(EVENT) is expected


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", "E0000053", "too early"),
        ("eventType", "E0000053", "too early"),
        ('eventType in ["x"]', "E0000053", "Expected one value"),
        ('eventType eq ("x" or "y")', "E0000053", "Expected one value"),
        ('eventType eqq "x"', "E0000053", "Unrecognized attribute operator 'eqq'"),
        ("eventType eq x", "E0000053", "in quotes"),
        ('eventType eq "x', "E0000053", "cannot read"),
        ('eventType eq "x" eventType', "E0000053", "Unexpected"),
        ('(eventType eq "x"', "E0000053", "')' was expected"),
        ('published gt "2026-01-01"', "E0000053", "field is not valid: published"),
        ('debugContext.debugData.requestUri co "x"', "E0000031", "requestUri"),
        ("(" * 10_000, "E0000053", "too long"),
    ],
)
def test_a_filter_that_okta_would_not_take_is_refused_with_the_reason(
    text: str, code: str, reason: str
) -> None:
    with pytest.raises(OktaApiError) as refused:
        read_filter(text)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert reason in refused.value.summary
