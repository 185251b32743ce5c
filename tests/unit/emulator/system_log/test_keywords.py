"""The keyword search of the System Log."""

from typing import Any

import pytest

from forwarder.emulator.http.errors import OktaApiError
from forwarder.emulator.system_log.keywords import contains_keywords, read_keywords

EVENT: dict[str, Any] = {
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
    assert contains_keywords(EVENT, read_keywords(search)) == found


@pytest.mark.parametrize("search", ["a b c d e f g h i j k", "a-b c-d e-f g-h i-j k", "x" * 41])
def test_too_many_or_too_long_keywords_are_refused(search: str) -> None:
    with pytest.raises(OktaApiError) as refused:
        read_keywords(search)
    assert (refused.value.status, refused.value.code) == (400, "E0000001")
    read_keywords("x" * 40 + " b c d e f g h i j")
