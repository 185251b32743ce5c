"""Okta's own SDK reads the event that Okta gets. The test is here because the import of the SDK opens a socket."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from okta.models import OktaUserRiskChangeEvent, SecurityEventTokenRequestJwtBody

from forwarder.react.actions.security_event import OKTA_EVENT
from tests.unit.react.actions.test_security_event import RISK, events


@pytest.mark.parametrize("level", ["low", "medium", "high"])
def test_the_official_sdk_reads_what_okta_gets(level: Any) -> None:
    claims = json.loads(json.dumps(events().claims("okta", replace(RISK, level=level))))
    body = SecurityEventTokenRequestJwtBody.from_dict(claims)
    assert body is not None
    assert body.to_dict() == claims
    event = OktaUserRiskChangeEvent.from_dict(claims["events"][OKTA_EVENT])
    assert event is not None
    assert event.to_dict() == claims["events"][OKTA_EVENT]
