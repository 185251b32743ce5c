import json
from random import Random
from typing import Any

import pytest

from forwarder.emulator.events.event_templates import HOOK_TYPES
from forwarder.emulator.hooks.hooks import EmulatedHook, Hooks
from forwarder.emulator.http.errors import OktaApiError
from tests.fakes.clock import ManualClock

TYPES = ["user.lifecycle.create", "user.lifecycle.delete.initiated", "user.account.update_profile"]
URL = "https://org.example.com"


def spec(**changes: Any) -> dict[str, Any]:
    channel = {"type": "HTTP", "version": "1.0.0", "config": config()}
    events = {"type": "EVENT_TYPE", "items": TYPES}
    return {"name": "to the siem", "events": events, "channel": channel} | changes


def config(**changes: Any) -> dict[str, Any]:
    auth = {"type": "HEADER", "key": "Authorization", "value": "the-secret"}
    return {"uri": "https://receiver.example.com/okta/events", "authScheme": auth} | changes


def with_config(**changes: Any) -> dict[str, Any]:
    return spec(channel={"type": "HTTP", "version": "1.0.0", "config": config(**changes)})


def body(**changes: Any) -> bytes:
    return json.dumps(spec(**changes)).encode()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hooks(clock: ManualClock) -> Hooks:
    return Hooks(clock, Random(1), lambda change, hook: None)


@pytest.fixture
def hook(hooks: Hooks) -> EmulatedHook:
    return hooks.create(body())


def refusal(hooks: Hooks, payload: bytes) -> OktaApiError:
    with pytest.raises(OktaApiError) as refused:
        hooks.create(payload)
    return refused.value


def state(hook: EmulatedHook) -> tuple[str, str]:
    view = hook.view(URL)
    return view["status"], view["verificationStatus"]


def test_a_new_hook_is_active_and_unverified_and_gets_no_events(hook: EmulatedHook) -> None:
    assert state(hook) == ("ACTIVE", "UNVERIFIED")
    assert TYPES[0] not in hook.types


def test_a_new_hook_looks_as_okta_shows_it(hook: EmulatedHook) -> None:
    view = hook.view(URL)
    assert hook.id.startswith("who")
    assert len(hook.id) == 20
    assert view["created"] == view["lastUpdated"] == "2026-01-01T12:00:00.000Z"
    assert (view["description"], view["events"]["filter"]) == (None, None)
    assert view["channel"]["config"]["method"] == "POST"
    assert list(view["channel"]["config"]["headers"]) == []


def test_the_secret_is_never_shown_and_custom_headers_are(hooks: Hooks) -> None:
    made = hooks.create(json.dumps(with_config(headers=[{"key": "X-Team", "value": "blue"}])).encode())
    view = made.view(URL)
    assert "the-secret" not in repr(view)
    assert view["channel"]["config"]["authScheme"] == {"type": "HEADER", "key": "Authorization"}
    assert made.headers() == [(b"X-Team", b"blue"), (b"Authorization", b"the-secret")]


def test_types_are_a_set_and_come_in_another_order(hook: EmulatedHook) -> None:
    shown = hook.view(URL)["events"]["items"]
    assert set(shown) == set(TYPES)
    assert shown != TYPES


def test_one_hook_can_take_every_eligible_type(hooks: Hooks) -> None:
    made = hooks.create(body(events={"type": "EVENT_TYPE", "items": list(HOOK_TYPES)}))
    assert len(made.view(URL)["events"]["items"]) == 264


def test_links_follow_the_state(hooks: Hooks, hook: EmulatedHook) -> None:
    assert hook.view(URL)["_links"].keys() == {"self", "verify", "deactivate"}
    hooks.deactivate(hook.id)
    assert hook.view(URL)["_links"].keys() == {"activate", "self", "delete"}


def test_only_an_active_and_verified_hook_gets_events_of_its_types(hooks: Hooks, hook: EmulatedHook) -> None:
    hooks.set_verified(hook)
    assert TYPES[0] in hook.types
    assert "user.session.start" not in hook.types
    hooks.deactivate(hook.id)
    assert TYPES[0] not in hook.types


def test_deactivation_keeps_the_verification(hooks: Hooks, hook: EmulatedHook) -> None:
    hooks.set_verified(hook)
    hooks.deactivate(hook.id)
    assert state(hook) == ("INACTIVE", "VERIFIED")
    hooks.activate(hook.id)
    assert state(hook) == ("ACTIVE", "VERIFIED")


def test_an_active_hook_cannot_be_deleted(hooks: Hooks, hook: EmulatedHook) -> None:
    with pytest.raises(OktaApiError) as refused:
        hooks.delete(hook.id)
    assert (refused.value.status, refused.value.code) == (403, "E0000006")
    hooks.deactivate(hook.id)
    hooks.delete(hook.id)
    with pytest.raises(OktaApiError) as gone:
        hooks.find(hook.id)
    assert (gone.value.status, gone.value.code) == (404, "E0000007")


async def test_a_replacement_with_another_channel_drops_the_verification_and_stays_active(
    hooks: Hooks, hook: EmulatedHook, clock: ManualClock
) -> None:
    hooks.set_verified(hook)
    await clock.advance(7)
    hooks.replace(hook.id, json.dumps(with_config(uri="https://elsewhere.example.com/")).encode())
    assert state(hook) == ("ACTIVE", "UNVERIFIED")
    assert hook.view(URL)["lastUpdated"] == "2026-01-01T12:00:07.000Z"


def test_a_replacement_with_the_same_channel_keeps_the_verification(hooks: Hooks, hook: EmulatedHook) -> None:
    hooks.set_verified(hook)
    hooks.replace(hook.id, body(name="renamed", events={"type": "EVENT_TYPE", "items": TYPES[:1]}))
    assert state(hook) == ("ACTIVE", "VERIFIED")
    assert hook.view(URL)["name"] == "renamed"
    assert TYPES[1] not in hook.types


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"headers": []}),
        ({"headers": []}, {"headers": None}),
        ({"headers": None}, {}),
        ({"headers": [{"key": "X-Team", "value": "a"}]}, {"headers": [{"key": "x-team", "value": "a"}]}),
        (
            {"headers": [{"key": "A", "value": "1"}, {"key": "B", "value": "2"}]},
            {"headers": [{"key": "B", "value": "2"}, {"key": "A", "value": "1"}]},
        ),
        ({}, {"method": "POST"}),
        ({}, {"uri": "https://Receiver.example.com:443/okta/events"}),
        ({"uri": "https://receiver.example.com"}, {"uri": "HTTPS://receiver.example.com:443/"}),
        ({"authScheme": None}, {"authScheme": None, "headers": []}),
        (
            {"authScheme": {"type": "HEADER", "key": "Authorization"}},
            {"authScheme": {"type": "HEADER", "key": "authorization", "value": None}},
        ),
    ],
)
def test_a_channel_in_another_spelling_keeps_the_verification(
    hooks: Hooks, before: dict[str, Any], after: dict[str, Any]
) -> None:
    hook = hooks.create(json.dumps(with_config(**before)).encode())
    hooks.set_verified(hook)
    hooks.replace(hook.id, json.dumps(with_config(**after)).encode())
    assert state(hook) == ("ACTIVE", "VERIFIED")


@pytest.mark.parametrize(
    "after",
    [
        {"headers": [{"key": "X-Team", "value": "b"}]},
        {"uri": "https://receiver.example.com:8443/okta/events"},
        {"uri": "https://receiver.example.com/okta/events/"},
        {"uri": "https://receiver.example.com/okta/events?a=b"},
        {"authScheme": {"type": "HEADER", "key": "Authorization", "value": "THE-SECRET"}},
        {"authScheme": {"type": "HEADER", "key": "X-Secret", "value": "the-secret"}},
    ],
)
def test_another_channel_drops_the_verification(hooks: Hooks, hook: EmulatedHook, after: dict[str, Any]) -> None:
    hooks.set_verified(hook)
    hooks.replace(hook.id, json.dumps(with_config(**after)).encode())
    assert state(hook) == ("ACTIVE", "UNVERIFIED")


def test_a_replacement_without_the_secret_takes_it_away(hooks: Hooks, hook: EmulatedHook) -> None:
    hooks.set_verified(hook)
    auth = {"type": "HEADER", "key": "Authorization"}
    hooks.replace(hook.id, json.dumps(with_config(authScheme=auth)).encode())
    assert hook.headers() == []
    assert state(hook) == ("ACTIVE", "UNVERIFIED")


@pytest.mark.parametrize("status", ["INACTIVE", "ACTIVE"])
def test_a_replacement_honours_the_status(hooks: Hooks, hook: EmulatedHook, status: str) -> None:
    hooks.deactivate(hook.id)
    hooks.replace(hook.id, body(status=status))
    assert state(hook) == (status, "UNVERIFIED")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"events": {"type": "EVENT_TYPE", "items": []}}, "events.items"),
        ({"events": {"type": "FLOW_EVENT", "items": TYPES}}, "events.type"),
        ({"events": {"type": "EVENT_TYPE", "items": ["user.session.impersonation.grant"]}}, "impersonation"),
        ({"events": {"type": "EVENT_TYPE", "items": [f"made.up.{n}" for n in range(301)]}}, "300"),
        ({"channel": {"type": "HTTP", "version": "2.0.0", "config": config()}}, "version"),
        ({"channel": {"type": "HTTP", "version": "1.0.0", "config": {}}}, "uri"),
    ],
)
def test_a_hook_that_okta_would_refuse_is_refused_with_its_cause(
    hooks: Hooks, changes: dict[str, Any], part: str
) -> None:
    refused = refusal(hooks, body(**changes))
    assert (refused.status, refused.code) == (400, "E0000001")
    assert any(part in cause for cause in refused.causes)
    assert hooks.all() == ()


@pytest.mark.parametrize("payload", [b"", b"{", b'{"name": "\xff"}', b'{"x":' + b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(hooks: Hooks, payload: bytes) -> None:
    refused = refusal(hooks, payload)
    assert (refused.status, refused.code) == (400, "E0000003")


def test_a_name_is_taken_once(hooks: Hooks, hook: EmulatedHook) -> None:
    assert "exists already" in refusal(hooks, body()).causes[0]
    hooks.replace(hook.id, body(description="its own name does not clash"))


@pytest.mark.parametrize("uri", ["http://receiver.example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://", "/x", "https://[::1", "http://127.0.0.1:99999/"])  # fmt: skip
def test_an_address_that_is_neither_https_nor_this_machine_is_refused(hooks: Hooks, uri: str) -> None:
    refused = refusal(hooks, json.dumps(with_config(uri=uri)).encode())
    assert refused.causes == ("channel.config.uri: invalid URL provided",)


@pytest.mark.parametrize("uri", ["https://receiver.example.com", "http://127.0.0.1:8080/x", "http://[::1]:1/", "http://localhost/"])  # fmt: skip
def test_https_and_this_machine_are_taken(hooks: Hooks, uri: str) -> None:
    assert hooks.create(json.dumps(with_config(uri=uri)).encode()).spec.channel.config.uri == uri


@pytest.mark.parametrize("key", ["Content-Length", "transfer-encoding ", "CONTENT-LENGTH"])
def test_a_header_that_says_where_a_request_ends_cannot_be_set(hooks: Hooks, key: str) -> None:
    header = with_config(headers=[{"key": key, "value": "0"}])
    secret = with_config(authScheme={"type": "HEADER", "key": key, "value": "0"})
    for refused in (refusal(hooks, json.dumps(each).encode()) for each in (header, secret)):
        assert refused.causes == (f"channel.config.headers: {key} cannot be set",)


def test_no_more_than_25_hooks_are_live_at_a_time(hooks: Hooks) -> None:
    made = [hooks.create(body(name=f"hook {number}")) for number in range(26)]
    for hook in made[:25]:
        hooks.set_verified(hook)
    with pytest.raises(OktaApiError, match="25"):
        hooks.set_verified(made[25])
    assert not made[25].verified
    hooks.deactivate(made[0].id)
    hooks.set_verified(made[25])
    with pytest.raises(OktaApiError, match="25"):
        hooks.activate(made[0].id)
