"""The differences between the existing hook and the desired hook, for responses as Okta sends them."""

from typing import Any

import pytest

from forwarder.config.types import Secret
from forwarder.core.errors import OktaError
from forwarder.okta.hooks.hook import DesiredHook, Hook, PropertyDifference, plan, to_request

TYPES = ("user.session.start", "user.session.end")
ENTRY = {
    "event": "user.session.start",
    "condition": {"version": None, "expression": "event.outcome.result eq 'FAILURE'"},
}
FILTER = {"type": "EXPRESSION_LANGUAGE", "eventFilterMap": [ENTRY]}


def answered(**changes: Any) -> dict[str, Any]:
    """Return a hook that matches `wanted`, with properties that an operator may have added in the Admin Console."""
    config = {
        "uri": "https://hooks.example.com/okta/events",
        "headers": [{"key": "X-Team", "value": "blue"}],
        "method": "POST",
        "authScheme": {"type": "HEADER", "key": "Authorization"},
    }
    return {
        "id": "who1",
        "status": changes.get("status", "ACTIVE"),
        "verificationStatus": changes.get("verification", "VERIFIED"),
        "name": changes.get("name", "forwarder"),
        "description": "made by hand",
        "created": "2026-01-01T00:00:00.000Z",
        "events": {"type": "EVENT_TYPE", "items": list(changes.get("types", TYPES)), "filter": changes.get("filter")},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": config | changes.get("config", {})},
        "_links": {},
    }


def hook(**changes: Any) -> Hook:
    return Hook.read(answered(**changes))


def wanted(**changes: Any) -> DesiredHook:
    plain: dict[str, Any] = {
        "name": "forwarder",
        "uri": "https://hooks.example.com/okta/events",
        "types": frozenset(TYPES),
        "header": "Authorization",
        "secret": Secret("the-newest"),
    }
    return DesiredHook(**plain | changes)


@pytest.mark.parametrize(
    "same",
    [
        {"types": reversed(TYPES)},
        {"config": {"authScheme": {"type": "HEADER", "key": "authorization"}}},
        {"filter": FILTER},
    ],
)
def test_a_different_spelling_of_the_same_hook_is_no_difference(same: dict[str, Any]) -> None:
    assert plan(wanted(), hook(**same)).is_empty


@pytest.mark.parametrize(
    ("there", "difference", "verify"),
    [
        ({"name": "old"}, PropertyDifference("name", ("old",), ("forwarder",)), False),
        (
            {"types": ("user.session.start", "group.lifecycle.create")},
            PropertyDifference("events", ("group.lifecycle.create",), ("user.session.end",)),
            False,
        ),
        (
            {"config": {"uri": "https://old.example.com/"}},
            PropertyDifference("URL", ("https://old.example.com/",), ("https://hooks.example.com/okta/events",)),
            True,
        ),
        (
            {"config": {"authScheme": {"type": "HEADER", "key": "X-Key"}}},
            PropertyDifference("authentication field", ("X-Key",), ("Authorization",)),
            True,
        ),
        ({"config": {"authScheme": None}}, PropertyDifference("authentication field", (), ("Authorization",)), True),
    ],
)
def test_a_difference_replaces_the_hook_and_one_in_the_channel_verifies_it_again(
    there: dict[str, Any], difference: PropertyDifference, *, verify: bool
) -> None:
    made = plan(wanted(), hook(**there))
    assert made.differences == (difference,)
    assert (made.create, made.replace, made.activate, made.verify) == (False, True, False, verify)


def test_an_inactive_or_unverified_hook_is_not_replaced() -> None:
    made = plan(wanted(), hook(status="INACTIVE", verification="UNVERIFIED"))
    assert [each.what for each in made.differences] == ["status", "verification"]
    assert (made.replace, made.activate, made.verify) == (False, True, True)


def test_a_missing_hook_is_created_and_verified() -> None:
    made = plan(wanted(), None)
    assert (made.create, made.replace, made.verify) == (True, False, True)
    assert PropertyDifference("events", wants=("user.session.end", "user.session.start")) in made.differences


def test_the_secret_is_resent_on_request_even_without_a_difference() -> None:
    made = plan(wanted(), hook(), resend_secret=True)
    assert (made.replace, made.verify) == (True, True)
    assert "the-newest" not in repr(made)


def test_a_replacement_has_the_properties_that_are_not_configured() -> None:
    body = to_request(wanted(), hook(status="INACTIVE", filter=FILTER))
    assert body["description"] == "made by hand"
    assert body["status"] == "INACTIVE"
    assert body["events"]["filter"] == FILTER
    assert body["channel"]["config"]["headers"] == [{"key": "X-Team", "value": "blue"}]


def test_a_replacement_always_has_the_secret() -> None:
    scheme = to_request(wanted(name="new"), hook())["channel"]["config"]["authScheme"]
    assert scheme == {"type": "HEADER", "key": "Authorization", "value": "the-newest"}


def test_the_filter_of_a_removed_type_is_removed() -> None:
    less = wanted(types=frozenset({"user.session.end"}))
    there = hook(filter=FILTER)
    assert to_request(less, there)["events"]["filter"] is None
    assert [each.what for each in plan(less, there).differences] == ["events", "filters"]


@pytest.mark.parametrize(
    ("filters", "there", "has", "wants"),
    [
        ({"user.session.end": "x"}, None, (), ("user.session.end: x",)),
        ({}, FILTER, ("user.session.start: event.outcome.result eq 'FAILURE'",), ()),
        (
            {"user.session.start": "x"},
            FILTER,
            ("user.session.start: event.outcome.result eq 'FAILURE'",),
            ("user.session.start: x",),
        ),
    ],
)
def test_filters_of_the_configuration_replace_those_of_the_hook(
    filters: dict[str, str], there: Any, has: tuple[str, ...], wants: tuple[str, ...]
) -> None:
    asked = wanted(filters=filters)
    assert plan(asked, hook(filter=there)).differences == (PropertyDifference("filters", has, wants),)
    sent = to_request(asked, hook(filter=there))["events"]["filter"]
    entries = {each["event"]: each["condition"]["expression"] for each in (sent or {}).get("eventFilterMap", [])}
    assert entries == filters


def test_equal_filters_are_no_difference() -> None:
    assert plan(
        wanted(filters={"user.session.start": "event.outcome.result eq 'FAILURE'"}), hook(filter=FILTER)
    ).is_empty


def test_responses_without_optional_keys_can_be_read() -> None:
    raw = answered()
    del raw["description"], raw["events"]["filter"]
    raw["channel"]["config"]["headers"] = None
    assert plan(wanted(), Hook.read(raw)).is_empty


@pytest.mark.parametrize("raw", [None, [], "hook", {}, {"id": "who1"}, answered(config={}) | {"channel": None}])
def test_a_response_that_is_not_a_hook_is_an_error(raw: Any) -> None:
    with pytest.raises(OktaError, match="not an event hook"):
        Hook.read(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5}, {"id": ""}, {"id": ".."}, {"id": "who1/../x"}, {"id": "who1?x"}, {"id": "x" * 101}, {"id": ["who1"]},
        {"id": "who1\x1b[2J"}, {"name": 5}, {"name": None}, {"status": {}}, {"verificationStatus": []},
        {"channel": []}, {"channel": {"config": "x"}}, {"channel": {"config": {"uri": 5}}},
        {"channel": {"config": {"uri": "x", "authScheme": "x"}}}, {"channel": {"config": {"uri": "x", "headers": ["x"]}}},
        {"events": {"items": "user.session.start"}}, {"events": {"items": [5]}}, {"events": {"items": [["x"]]}},
        {"events": {"items": [], "filter": []}}, {"events": {"items": [], "filter": {"eventFilterMap": ["x"]}}},
    ],
)  # fmt: skip
def test_a_hook_with_an_odd_part_is_an_okta_error(change: dict[str, Any]) -> None:
    with pytest.raises(OktaError, match="not an event hook"):
        Hook.read(answered() | change)
