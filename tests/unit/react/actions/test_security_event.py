"""The claims and the signature of a security event token."""

from typing import Any

import pytest
from msgspec.structs import replace

from forwarder.core.action import ActionTarget
from forwarder.react.actions.security_event import CAEP_EVENT, LEVELS, OKTA_EVENT, Risk, SecurityEvents, signed
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.signing_keys import key_set, signing_key
from forwarder.rules.sigma.metadata import LEVELS as RULE_LEVELS
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.keys import pem, rsa_key
from tests.fakes.receivers import verified

SECONDS = NOON // 1_000_000
RISK = Risk(
    "key-of-the-action", "acme", ActionTarget("user", "00u1", "ada@corp.example"), "high", "Push fatigue", NOON - 5_000_000
)  # fmt: skip


def events(**receivers: Any) -> SecurityEvents:
    named = receivers or {"okta": {"org": "acme"}, "risk": {"url": "https://risk.example", "audience": "risk"}}
    settings = ReactionsSettings(receivers=named, set={"issuer": "https://fw.example", "key": pem(rsa_key())})
    return SecurityEvents(settings, {"acme": "https://acme.okta.com/"}, ManualClock())


@pytest.mark.long
def test_okta_gets_its_own_event_about_the_login() -> None:
    assert events().claims("okta", RISK) == {
        "iss": "https://fw.example",
        "aud": "https://acme.okta.com",
        "jti": "key-of-the-action",
        "iat": SECONDS,
        "events": {
            OKTA_EVENT: {
                "event_timestamp": SECONDS - 5,
                "initiating_entity": "policy",
                "reason_admin": {"en": "Push fatigue"},
                "current_level": "high",
                "previous_level": "none",
                "subject": {"user": {"format": "email", "email": "ada@corp.example"}},
            }
        },
    }


@pytest.mark.long
def test_others_get_the_event_of_caep() -> None:
    assert events().claims("risk", RISK) == {
        "iss": "https://fw.example",
        "aud": "risk",
        "jti": "key-of-the-action",
        "iat": SECONDS,
        "sub_id": {"format": "email", "email": "ada@corp.example"},
        "events": {
            CAEP_EVENT: {
                "event_timestamp": SECONDS - 5,
                "initiating_entity": "policy",
                "reason_admin": {"en": "Push fatigue"},
                "principal": "USER",
                "current_level": "HIGH",
            }
        },
    }


@pytest.mark.long
@pytest.mark.parametrize("login", ["ada", "ada@corp", "a@b@c.example", "", "ada lovelace@corp.example", "@x.example"])
def test_a_user_whose_login_is_no_email_address_is_named_by_id(login: str) -> None:
    risk = replace(RISK, user=ActionTarget("user", "00u1", login))
    subject = {"format": "iss_sub", "iss": "https://acme.okta.com", "sub": "00u1"}
    claims = events().claims("risk", risk)
    assert claims is not None
    assert claims["sub_id"] == subject


def test_a_long_or_odd_reason_becomes_one_line_of_text() -> None:
    claims = events().claims("okta", replace(RISK, reason="a\r\nb\x1b[31m" + "x" * 1000))
    assert claims is not None
    reason = claims["events"][OKTA_EVENT]["reason_admin"]["en"]
    assert reason.startswith(r"a\x0d\nb\x1b[31mxxx")
    assert len(reason) == 500


def test_each_level_of_a_rule_is_a_level_of_a_risk() -> None:
    assert LEVELS.keys() == set(RULE_LEVELS)


@pytest.mark.long
def test_the_signature_is_right_by_the_published_keys() -> None:
    key = signing_key(pem(rsa_key()))
    claims = events().claims("okta", RISK)
    assert claims is not None
    header, read = verified(signed(claims, key), key_set([pem(rsa_key("other")), pem(rsa_key())]))
    assert header == {"typ": "secevent+jwt", "alg": "RS256", "kid": key.kid}
    assert read == claims


def test_a_receiver_that_is_no_longer_configured_gets_no_token() -> None:
    assert events().claims("gone", RISK) is None
