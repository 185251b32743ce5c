"""Two copies of one event have one digest; a copy that says something else has another one."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import Event, Source, digest, digest_of, read_event

EVENT: dict[str, Any] = {
    "uuid": "e1",
    "eventType": "user.session.start",
    "published": "2026-01-01T12:00:00.123Z",
    "actor": {"id": "00u1", "type": "User", "alternateId": "jane@corp.example", "displayName": "Jane"},
    "client": {"ipAddress": "203.0.113.9", "geographicalContext": {"country": "Norway"}, "ipChain": [{}]},
    "outcome": {"result": "SUCCESS"},
    "target": [{"id": "0oa1", "type": "AppInstance"}, {"id": "00u2", "type": "User"}],
}


def changed(**parts: Any) -> dict[str, Any]:
    """The event with parts replaced; those of an object are merged into it."""
    return EVENT | {
        key: {**EVENT[key], **part} if isinstance(part, dict) and isinstance(EVENT.get(key), dict) else part
        for key, part in parts.items()
    }


def stored(body: bytes) -> Event:
    return read_event(body, org="acme", source=Source.HOOK, received_at=0)


def of(event: dict[str, Any]) -> bytes:
    found = digest(stored(msgspec.json.encode(event)))
    assert digest_of(event) in {found, None}
    return found


@pytest.mark.parametrize(
    "copy",
    [
        changed(outcome={"reason": None}, device=None),
        changed(outcome={"result": "success"}),
        changed(published="2026-01-01T12:00:00.123000Z"),
        changed(published="2026-01-01T13:00:00.123+01:00"),
        changed(request={"ipChain": [{"ip": "203.0.113.9"}]}, client={"ipChain": None}),
        changed(actor={"detailEntry": None, "displayName": "Jane \U0001f600"}),
        changed(target=list(reversed(EVENT["target"]))),
    ],
)
def test_what_okta_writes_differently_in_its_two_copies_changes_nothing(copy: dict[str, Any]) -> None:
    assert of(copy) == of(EVENT)


@pytest.mark.parametrize(
    "copy",
    [
        changed(eventType="user.session.end"),
        changed(published="2026-01-01T12:00:00.124Z"),
        changed(actor={"id": "00u3"}),
        changed(actor={"type": "SystemPrincipal"}),
        changed(actor={"alternateId": "ceo@corp.example"}),
        changed(actor=None),
        changed(target=EVENT["target"][:1]),
        changed(target=None),
        changed(target=[*EVENT["target"], {"id": "00u9", "type": "User"}]),
        changed(outcome={"result": "FAILURE"}),
        changed(outcome={"reason": "INVALID_CREDENTIALS"}),
        changed(client={"ipAddress": "198.51.100.1"}),
        changed(client={"geographicalContext": {"country": "Chad"}}),
        changed(client=None),
        changed(actor="00u1"),
        changed(target={"id": "00u2"}),
        changed(actor={"id": 5}),
    ],
)
def test_another_event_under_the_same_uuid_has_another_digest(copy: dict[str, Any]) -> None:
    assert of(copy) != of(EVENT)


@pytest.mark.long
@pytest.mark.parametrize("targets", [300, 3_000, 100_000])
def test_an_event_of_any_size_has_the_digest_of_its_fields(targets: int) -> None:
    event = EVENT | {"target": [{"id": "00u2", "type": "User"}] * targets}
    assert of(event) == digest_of(event)
    assert of(event) != of(event | {"actor": None})


@pytest.mark.long
def test_a_digest_of_millions_of_empty_targets_takes_little_memory() -> None:
    event = stored(msgspec.json.encode(EVENT | {"target": [{}] * 1_000_000}))
    tracemalloc.start()
    try:
        digest(event)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(event.body)


def test_one_half_of_a_surrogate_pair_in_a_name_changes_nothing() -> None:
    odd = msgspec.json.encode(EVENT).replace(b'"Jane"', b'"Jane \\ud83d"')
    assert digest(stored(odd)) == of(EVENT)


@pytest.mark.long
@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_no_shape_of_a_part_raises(part: Any) -> None:
    for key in ("actor", "target", "outcome", "client"):
        of(EVENT | {key: part})


@given(st.binary())
def test_a_body_that_is_no_json_has_a_digest_too(body: bytes) -> None:
    found = digest(msgspec.structs.replace(stored(msgspec.json.encode(EVENT)), body=body, essentials=None))
    assert len(found) == 8
    assert found != of(EVENT)


@pytest.mark.parametrize("key", ["actor", "outcome", "client", "target"])
def test_an_empty_part_is_as_good_as_none(key: str) -> None:
    empty: Any = [] if key == "target" else {}
    assert of(EVENT | {key: empty}) == of(EVENT | {key: None})


_names: Callable[[], st.SearchStrategy[str]] = lambda: st.text(max_size=5)  # noqa: E731


@pytest.mark.long
@given(st.lists(st.tuples(_names(), _names()), min_size=2, max_size=2, unique=True))
def test_no_two_targets_are_read_as_one(targets: list[tuple[str, str]]) -> None:
    one, other = ([{"id": id_, "type": kind}] for id_, kind in targets)
    assert of(changed(target=one)) != of(changed(target=other))
