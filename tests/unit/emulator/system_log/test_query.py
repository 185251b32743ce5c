"""The filter and the keyword search of a query."""

from typing import Any

import pytest

from forwarder.emulator.http.errors import OktaApiError
from forwarder.emulator.system_log.query import contains_keywords, read_filter, read_keywords

FILTERED: dict[str, Any] = {
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
        ("debugContext.debugData.nothing pr", False),
        ('debugContext.debugData.nothing eq "x"', False),
        ('outcome.result gt "F" and outcome.result le "FAILURE"', True),
        ('outcome.result eq "FAILURE" or eventType eq "x" and actor.id eq "x"', True),
        ('(outcome.result eq "FAILURE" or eventType eq "x") and actor.id eq "x"', False),
        ('not (outcome.result eq "FAILURE")', False),
    ],
)
def test_a_filter_says_which_events_are_wanted(text: str, *, expected: bool) -> None:
    assert read_filter(text)(FILTERED) is expected


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
def test_a_filter_that_okta_would_not_take_is_refused_with_the_reason(text: str, code: str, reason: str) -> None:
    with pytest.raises(OktaApiError) as refused:
        read_filter(text)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert reason in refused.value.summary


SEARCHED: dict[str, Any] = {
    "eventType": "user.session.start",
    "actor": {"displayName": "Zoë Novák-Ito", "alternateId": "user07@example.com"},
    "client": {"ipAddress": "203.0.113.9", "geographicalContext": {"city": "São Paulo", "postalCode": None}},
    "target": [{"displayName": "Data Lake"}],
    "securityContext": {"asNumber": 64496, "isProxy": False},
    "debugContext": {"debugData": {"url": "/api/v1/authn?token=abc"}},
}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("zoë", True),
        ("NOVÁK", True),
        ("Novák-Ito", True),
        ("são paulo", True),
        ("paulo lake user.session.start", True),
        ("user07@example.com", True),
        ("203.0.113.9", True),
        ("64496", True),
        ("false", True),
        ("authn", True),
        ("paulo tokyo", False),
        ("nov", False),
        ("ession", False),
        ("displayName", False),
        ("null", False),
        ("", True),
    ],
)
def test_every_keyword_must_be_a_whole_word_of_some_value(search: str, found: bool) -> None:  # noqa: FBT001
    assert contains_keywords(SEARCHED, read_keywords(search)) == found


@pytest.mark.parametrize("search", ["a b c d e f g h i j k", "a-b c-d e-f g-h i-j k", "x" * 41])
def test_too_many_or_too_long_keywords_are_refused(search: str) -> None:
    with pytest.raises(OktaApiError) as refused:
        read_keywords(search)
    assert (refused.value.status, refused.value.code) == (400, "E0000001")
    read_keywords("x" * 40 + " b c d e f g h i j")
