"""What an event is found by is the same however it was read."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.event import Source, read_event
from forwarder.store.sqlite.event_index import searchable, searchable_from

VALUES = st.none() | st.integers() | st.text(max_size=8)


def objects(*keys: str, **values: list[str]) -> st.SearchStrategy[Any]:
    """Objects of Okta, of which a part may be missing or have another type."""
    parts = {key: VALUES | st.sampled_from(values.get(key, [""])) for key in keys}
    return st.fixed_dictionaries({}, optional=parts) | VALUES | st.lists(VALUES, max_size=2)


ACTORS = objects("id", "type", "alternateId", type=["User", "SystemPrincipal"], id=["00u1", "U" * 101, "U" * 257])


@pytest.mark.long
@given(
    actor=ACTORS,
    client=objects("ipAddress", ipAddress=["203.0.113.9"]),
    outcome=objects("result", result=["SUCCESS", "ALLOW", "FAILURE"]),
    target=st.lists(ACTORS, max_size=2) | VALUES,
    event_type=st.sampled_from(["user.session.start", ACTION_EVENT_TYPE]),
)
@example(
    actor={"id": "00U1", "type": "User", "alternateId": "Ada@acme.test"},
    client={"ipAddress": "203.0.113.9"},
    outcome={"result": "SUCCESS"},
    target=[{"id": "00u2", "type": "User", "alternateId": "eve@acme.test"}],
    event_type="user.session.start",
)
def test_what_the_digest_has_read_of_an_event_says_what_a_reading_of_its_own_says(**parts: Any) -> None:
    body = {"uuid": "e1", "eventType": parts.pop("event_type"), "published": "2026-01-01T12:00:00Z", **parts}
    event = read_event(msgspec.json.encode(body), org="acme", source=Source.HOOK, received_at=0)
    found = searchable_from(event)
    alone = searchable(event.body)
    assert found is not None
    assert alone is not None
    assert (found.uuid, found.event_type, found.user_at) == (alone.uuid, alone.event_type, alone.user_at)
    assert found.users() == alone.users()


def test_a_sign_in_is_found_by_its_user_and_says_from_where_it_came() -> None:
    body = b"""{"uuid":"e1","eventType":"user.session.start","published":"2026-01-01T12:00:00Z",
    "actor":{"id":"00U1","type":"User","alternateId":"Ada@acme.test"},"client":{"ipAddress":"203.0.113.9"},
    "outcome":{"result":"SUCCESS"},"target":[{"id":"00u2","alternateId":"eve@acme.test"}]}"""
    event = read_event(body, org="acme", source=Source.HOOK, received_at=0)
    found = searchable_from(event)
    assert found is not None
    assert (found.uuid, found.event_type) == ("e1", "user.session.start")
    assert (found.users(), found.user_at) == (["00u1", "ada@acme.test"], ("203.0.113.9", "00U1"))


def test_a_name_longer_than_any_of_okta_s_is_not_kept() -> None:
    body = {"uuid": "e1", "eventType": "x", "published": "2026-01-01T12:00:00Z", "actor": {"id": "u" * 257}}
    event = read_event(msgspec.json.encode(body), org="acme", source=Source.HOOK, received_at=0)
    found = searchable_from(event)
    assert found is not None
    assert found.users() == []
