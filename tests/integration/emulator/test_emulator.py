"""The org as a whole: it calls a real receiver over a real socket."""

import asyncio
import json
import re
import ssl
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from forwarder.clock import SystemClock
from forwarder.core.ports import Clock
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.events.event_templates import HOOK_TYPES
from forwarder.emulator.hooks.hooks import EmulatedHook
from forwarder.emulator.http.errors import OktaApiError
from forwarder.emulator.settings import EmulatorSettings, Faults
from forwarder.emulator.system_log.log import LogRange
from tests.certificates import Certificate
from tests.fakes.clock import ManualClock, settle
from tests.fakes.hook_receiver import HANG_UP, SILENT, HookReceiver

SECRET = "Basic c29tZTp2YWx1ZQ=="  # the form that Okta's documentation shows
ALWAYS_TWICE = Faults(duplicate=1.0)


def org(clock: Clock | None = None, **settings: Any) -> Emulator:
    plain = {"token": "t", "seed": 5, "window": "0ms", "timeout": "5s"}
    return Emulator(EmulatorSettings(**plain | settings), clock or SystemClock())


async def verified(emulator: Emulator, receiver: HookReceiver, types: Sequence[str] = HOOK_TYPES) -> EmulatedHook:
    hook = await emulator.verify(emulator.add_hook(receiver.url, SECRET, types=types).id)
    receiver.calls.clear()
    return hook


async def drained(emulator: Emulator) -> None:
    async with asyncio.timeout(20):
        await emulator.drain()


def logged(emulator: Emulator) -> list[dict[str, Any]]:
    page = emulator.system_log.poll(LogRange(0, 1 << 62), after=None, limit=1000)
    return [json.loads(entry.body) for entry in page.entries]


def happened(emulator: Emulator) -> list[dict[str, Any]]:
    """What is logged, without the events about its hooks."""
    own = set(emulator.ledger().own)
    return [event for event in logged(emulator) if event["uuid"] not in own]


# --- the challenge


async def test_verification_sends_a_challenge_with_the_secret_and_takes_its_echo() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = emulator.add_hook(receiver.url, SECRET)
        assert receiver.calls == []
        assert (await emulator.verify(hook.id)).live
        (call,) = receiver.calls
        assert (call.method, call.path) == ("GET", "/okta/events")
        assert re.fullmatch(r"[A-Za-z0-9_-]{40}", call.headers["x-okta-verification-challenge"])
        assert call.headers["authorization"] == SECRET
        assert call.headers["user-agent"] == "Okta-Integrations"
        assert call.headers["accept"] == "application/json"
        assert call.headers["x-okta-request-id"]


@pytest.mark.parametrize("first", [500, 401, HANG_UP])
async def test_a_challenge_is_tried_once_more_after_an_error(first: int) -> None:
    async with HookReceiver() as receiver, org() as emulator:
        receiver.answers.append(first)
        hook = emulator.add_hook(receiver.url, SECRET)
        assert (await emulator.verify(hook.id)).verified
        assert len(receiver.calls) == 2


async def test_a_challenge_is_tried_once_more_after_a_timeout() -> None:
    async with HookReceiver() as receiver, org(timeout="100ms") as emulator:
        receiver.answers.append(SILENT)
        hook = emulator.add_hook(receiver.url, SECRET)
        assert (await emulator.verify(hook.id)).verified
        assert len(receiver.calls) == 2


@pytest.mark.parametrize(
    ("echo", "status", "calls"),
    [
        (b'{"verification":"another"}', 200, 1),
        (b"no json", 200, 1),
        (b"[]", 200, 1),
        (b"", 204, 1),
        (None, 302, 2),
        (None, 503, 2),
    ],
)
async def test_a_wrong_echo_leaves_the_hook_unverified(echo: bytes | None, status: int, calls: int) -> None:
    async with HookReceiver(echo=echo, otherwise=status) as receiver, org() as emulator:
        hook = emulator.add_hook(receiver.url, SECRET, name="my hook")
        with pytest.raises(OktaApiError) as refused:
            await emulator.verify(hook.id)
        assert refused.value.summary == "Api validation failed: eventHook"
        assert refused.value.causes == ("Unable to verify event hook. Hook my hook execution failed",)
        assert not hook.verified
        assert len(receiver.calls) == calls


@pytest.mark.parametrize("host", ["127.0.0.1:1", "x" * 80 + ".invalid"])
async def test_an_address_without_a_receiver_fails_the_challenge(host: str) -> None:
    async with org() as emulator:
        hook = emulator.add_hook(f"https://{host}/", SECRET)
        with pytest.raises(OktaApiError):
            await emulator.verify(hook.id)


async def test_a_secret_that_no_header_can_hold_is_a_failed_challenge() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = emulator.add_hook(receiver.url, "two\r\nlines")
        with pytest.raises(OktaApiError):
            await emulator.verify(hook.id)


async def test_over_tls_the_receivers_certificate_must_be_trusted(certificate: Certificate) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    async with HookReceiver(tls=tls) as receiver, org() as strange, org(ca_file=certificate.cert) as trusting:
        with pytest.raises(OktaApiError):
            await strange.verify(strange.add_hook(receiver.url, SECRET).id)
        assert receiver.calls == []
        assert (await trusting.verify(trusting.add_hook(receiver.url, SECRET).id)).verified


# --- envelopes


async def test_every_event_comes_in_an_envelope_as_okta_writes_it() -> None:
    async with HookReceiver() as receiver, org(ManualClock()) as emulator:
        hook = await verified(emulator, receiver)
        uuids = await emulator.emit(25)
        await drained(emulator)
        assert sorted(receiver.uuids) == sorted(uuids)
        for call in receiver.posts:
            assert list(call.envelope) == ["eventType", "eventTypeVersion", "cloudEventsVersion", "source", "eventId", "data", "eventTime", "contentType"]  # fmt: skip
            assert call.envelope["eventType"] == "com.okta.event_hook"
            assert call.envelope["source"] == f"{emulator.settings.url}/api/v1/eventHooks/{hook.id}"
            assert call.envelope["eventTime"] == "2026-01-01T12:00:00.000Z"
            assert UUID(call.envelope["eventId"]).version == 4
            assert call.headers["authorization"] == SECRET
            assert call.headers["content-type"] == call.headers["accept"] == "application/json"
            assert call.headers["user-agent"] == "Okta-Integrations"
        assert len({call.envelope["eventId"] for call in receiver.posts}) == len(receiver.posts)


async def test_events_are_amalgamated_up_to_a_batch() -> None:
    async with HookReceiver() as receiver, org(batch=7) as emulator:
        await verified(emulator, receiver)
        await emulator.emit(21)
        await drained(emulator)
        assert max(len(call.uuids) for call in receiver.posts) == 7


async def test_a_post_that_is_not_full_waits_for_the_window() -> None:
    clock = ManualClock()
    async with HookReceiver() as receiver, org(clock, window="10s", batch=50) as emulator:
        await verified(emulator, receiver)
        await emulator.emit(1)
        await clock.asleep()
        await emulator.emit(1)
        assert receiver.posts == []
        await clock.advance(10)
        await drained(emulator)
        (call,) = receiver.posts
        assert len(call.uuids) == 2


async def test_several_posts_are_on_their_way_but_no_more_than_allowed() -> None:
    async with HookReceiver() as receiver, org(in_flight=3, batch=1) as emulator:
        await verified(emulator, receiver)
        receiver.hold.clear()
        await emulator.emit(10)
        await receiver.called(3)
        receiver.hold.set()
        await drained(emulator)
        assert receiver.busiest == 3
        assert len(receiver.posts) == 10


# --- answers


@pytest.mark.long
@pytest.mark.parametrize("status", [200, 204, 202])
async def test_a_2xx_is_delivered(status: int) -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver)
        receiver.otherwise = status
        uuids = await emulator.emit(5)
        await drained(emulator)
        assert sorted(emulator.ledger().hooks[hook.id].delivered) == sorted(uuids)
        assert sorted(receiver.uuids) == sorted(uuids)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 302, 307])
async def test_a_4xx_or_a_redirect_is_not_tried_again(status: int) -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver)
        receiver.otherwise = status
        (uuid,) = await emulator.emit(1)
        await drained(emulator)
        assert receiver.uuids == [uuid]
        assert emulator.ledger().hooks[hook.id].dropped == [uuid]


@pytest.mark.parametrize("first", [500, 503, HANG_UP])
async def test_a_5xx_or_a_broken_connection_is_tried_once_more_with_the_same_envelope(first: int) -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver)
        receiver.answers.append(first)
        (uuid,) = await emulator.emit(1)
        await drained(emulator)
        assert receiver.uuids == [uuid, uuid]
        assert receiver.posts[0].body == receiver.posts[1].body
        assert emulator.ledger().hooks[hook.id].delivered == [uuid]


async def test_a_timeout_is_tried_once_more() -> None:
    async with HookReceiver() as receiver, org(timeout="100ms") as emulator:
        hook = await verified(emulator, receiver)
        receiver.answers.append(SILENT)
        (uuid,) = await emulator.emit(1)
        await drained(emulator)
        assert receiver.uuids == [uuid, uuid]
        assert emulator.ledger().hooks[hook.id].delivered == [uuid]


@pytest.mark.parametrize("answers", [(503, 503), (500, 400), (HANG_UP, HANG_UP)])
async def test_after_one_retry_okta_gives_up(answers: tuple[int, int]) -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver)
        receiver.answers.extend(answers)
        (uuid,) = await emulator.emit(1)
        await drained(emulator)
        assert receiver.uuids == [uuid, uuid]
        ledger = emulator.ledger().hooks[hook.id]
        assert (ledger.delivered, ledger.dropped) == ([], [uuid])


# --- who gets what


async def test_events_of_other_types_and_before_verification_do_not_go_to_a_hook() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        early = emulator.add_hook(receiver.url, SECRET, name="never verified")
        await emulator.emit(5)
        hook = await verified(emulator, receiver, types=["user.session.start"])
        await emulator.emit(3, ["user.session.end"])
        (wanted,) = await emulator.emit(1, ["user.session.start"])
        await drained(emulator)
        assert receiver.uuids == [wanted]
        ledger = emulator.ledger()
        assert len(ledger.events) == 9
        assert ledger.hooks[hook.id].delivered == [wanted]
        assert ledger.hooks[early.id].delivered == ledger.hooks[early.id].dropped == []


async def test_two_hooks_get_the_same_event_each_in_a_post_of_its_own() -> None:
    async with HookReceiver() as one, HookReceiver() as two, org() as emulator:
        ids = []
        for name, receiver in (("one", one), ("two", two)):
            hook = emulator.add_hook(receiver.url, SECRET, name=name)
            ids.append((await emulator.verify(hook.id)).id)
        (uuid,) = await emulator.emit(1)
        await drained(emulator)
        for receiver in (one, two):
            (event,) = receiver.posts[0].envelope["data"]["events"]
            assert event["uuid"] == uuid
            assert event["debugContext"]["debugData"]["targetEventHookIds"] == ",".join(ids)


async def test_a_receiver_that_hangs_does_not_hold_up_another_hook() -> None:
    async with HookReceiver() as slow, HookReceiver() as quick, org() as emulator:
        for name, receiver in (("slow", slow), ("quick", quick)):
            await emulator.verify(emulator.add_hook(receiver.url, SECRET, name=name).id)
        slow.hold.clear()
        await emulator.emit(3)
        async with asyncio.timeout(10):
            await quick.called(2)
        assert len(quick.uuids) == 3
        slow.hold.set()
        await drained(emulator)


async def test_a_hook_that_is_deactivated_or_deleted_gets_nothing_of_what_still_waits() -> None:
    clock = ManualClock()
    async with HookReceiver() as receiver, org(clock, faults=Faults(delay="60s")) as emulator:
        hook = await verified(emulator, receiver)
        waiting = await emulator.emit(4)
        assert emulator.waiting == 4
        emulator.hooks.deactivate(hook.id)
        await clock.advance(60)
        await drained(emulator)
        emulator.hooks.activate(hook.id)
        more = await emulator.emit(2)
        emulator.hooks.deactivate(hook.id)
        emulator.delete_hook(hook.id)
        await drained(emulator)
        assert receiver.posts == []
        assert sorted(emulator.ledger().hooks[hook.id].dropped) == sorted(waiting + more)


class GateClock(ManualClock):
    """Every sleeper wakes when the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.gate.wait()


async def test_an_event_whose_delay_ends_while_its_hook_is_deleted_is_dropped() -> None:
    clock = GateClock()
    async with HookReceiver() as receiver, org(clock, faults=Faults(delay="1s")) as emulator:
        hook = await verified(emulator, receiver)
        uuids = await emulator.emit(3)
        await settle()
        asyncio.get_running_loop().call_soon(clock.gate.set)
        await clock.gate.wait()  # behind the events, which are through and not yet queued
        emulator.hooks.deactivate(hook.id)
        emulator.delete_hook(hook.id)
        await drained(emulator)
        assert sorted(emulator.ledger().hooks[hook.id].dropped) == sorted(uuids)


# --- faults


@pytest.mark.long
async def test_dropped_events_never_come_and_the_ledger_names_them() -> None:
    async with HookReceiver() as receiver, org(faults=Faults(drop=0.3)) as emulator:
        hook = await verified(emulator, receiver)
        uuids = await emulator.emit(400)
        await drained(emulator)
        ledger = emulator.ledger().hooks[hook.id]
        assert set(ledger.delivered) == set(receiver.uuids)
        assert set(ledger.delivered) | set(ledger.dropped) == set(uuids)
        assert not set(ledger.delivered) & set(ledger.dropped)
        assert 80 < len(ledger.dropped) < 160


async def test_duplicates_come_twice_and_count_once() -> None:
    async with HookReceiver() as receiver, org(faults=ALWAYS_TWICE) as emulator:
        hook = await verified(emulator, receiver)
        uuids = await emulator.emit(30)
        await drained(emulator)
        assert Counter(receiver.uuids) == dict.fromkeys(uuids, 2)
        assert sorted(emulator.ledger().hooks[hook.id].delivered) == sorted(uuids)


@pytest.mark.parametrize("answers", [(400, 200), (200, 400)])
async def test_one_copy_that_was_taken_is_enough(answers: tuple[int, int]) -> None:
    async with HookReceiver() as receiver, org(faults=ALWAYS_TWICE, batch=1, in_flight=1) as emulator:
        hook = await verified(emulator, receiver)
        receiver.answers.extend(answers)
        (uuid,) = await emulator.emit(1)
        await drained(emulator)
        ledger = emulator.ledger().hooks[hook.id]
        assert (ledger.delivered, ledger.dropped) == ([uuid], [])


async def test_without_reordering_events_come_in_the_order_in_which_they_happened() -> None:
    async with HookReceiver() as receiver, org(in_flight=1) as emulator:
        await verified(emulator, receiver)
        uuids = await emulator.emit(120)
        await drained(emulator)
        assert receiver.uuids == uuids


async def test_reordered_events_all_come_some_of_them_late() -> None:
    clock = ManualClock()
    async with HookReceiver() as receiver, org(clock, faults=Faults(reorder=True), in_flight=1) as emulator:
        await verified(emulator, receiver)
        uuids = await emulator.emit(120)
        await receiver.called(2)
        assert emulator.waiting > 0
        await clock.advance(1.0)
        await drained(emulator)
        assert receiver.uuids != uuids
        assert sorted(receiver.uuids) == sorted(uuids)


async def test_a_delay_holds_every_event_back() -> None:
    clock = ManualClock()
    async with HookReceiver() as receiver, org(clock, faults=Faults(delay="2s")) as emulator:
        await verified(emulator, receiver)
        uuids = await emulator.emit(10)
        await clock.advance(1.9)
        assert receiver.posts == []
        await clock.advance(0.2)
        await drained(emulator)
        assert sorted(receiver.uuids) == sorted(uuids)
        assert receiver.posts[0].envelope["eventTime"] == "2026-01-01T12:00:02.000Z"


async def test_faults_may_change_while_the_org_runs() -> None:
    async with HookReceiver() as receiver, org(faults=Faults(drop=1.0)) as emulator:
        await verified(emulator, receiver)
        await emulator.emit(5)
        emulator.faults = Faults()
        uuids = await emulator.emit(5)
        await drained(emulator)
        assert sorted(receiver.uuids) == sorted(uuids)


# --- events about hooks


async def test_an_event_names_the_hooks_that_it_is_meant_for_in_both_shapes_even_if_it_never_arrives() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver, types=["user.session.start"])
        (delivered,) = await emulator.emit(1, ["user.session.start"])
        emulator.faults = Faults(drop=1.0)
        (dropped,) = await emulator.emit(1, ["user.session.start"])
        (other,) = await emulator.emit(1, ["user.session.end"])
        emulator.hooks.deactivate(hook.id)
        (later,) = await emulator.emit(1, ["user.session.start"])
        await drained(emulator)
        debug = {event["uuid"]: event["debugContext"]["debugData"] for event in logged(emulator)}
        named = {uuid: data.get("targetEventHookIds") for uuid, data in debug.items()}
        assert [named[uuid] for uuid in (delivered, dropped, other, later)] == [hook.id, hook.id, None, None]
        (event,) = receiver.posts[0].envelope["data"]["events"]
        assert event["debugContext"]["debugData"]["targetEventHookIds"] == hook.id


async def test_the_log_has_each_change_of_a_hook_and_no_hook_carries_it() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = emulator.add_hook(receiver.url, SECRET, name="my hook")
        receiver.echo = b"{}"
        with pytest.raises(OktaApiError):
            await emulator.verify(hook.id)
        receiver.echo = None
        await emulator.verify(hook.id)
        emulator.hooks.deactivate(hook.id)
        emulator.hooks.activate(hook.id)
        emulator.hooks.deactivate(hook.id)
        emulator.delete_hook(hook.id)
        await drained(emulator)
        reports = logged(emulator)
        steps = ["created", "verified", "verified", "deactivated", "activated", "deactivated", "deleted"]
        assert [event["eventType"] for event in reports] == [f"event_hook.{step}" for step in steps]
        assert {event["target"][0]["id"] for event in reports} == {hook.id}
        results = [event["outcome"]["result"] for event in reports]
        assert results == ["SUCCESS", "FAILURE", *["SUCCESS"] * 5]
        assert reports[1]["outcome"]["reason"] == 'Hook "my hook" execution failed'
        assert emulator.ledger().own == [event["uuid"] for event in reports]
        assert emulator.ledger().events == []
        assert receiver.posts == []


@pytest.mark.parametrize(("answers", "failures"), [((503, 503), 1), ((401,), 1), ((503, 200), 0), ((200,), 0)])
async def test_a_delivery_that_failed_for_good_is_in_the_log(answers: tuple[int, ...], failures: int) -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver)
        receiver.answers.extend(answers)
        await emulator.emit(1)
        await drained(emulator)
        reports = [event for event in logged(emulator) if event["eventType"] == "event_hook.delivery"]
        assert len(reports) == failures
        for event in reports:
            assert event["target"][0]["id"] == hook.id
            assert event["outcome"] == {"result": "FAILURE", "reason": f"HTTP status {answers[-1]}"}


async def test_events_come_into_the_log_late_and_not_in_the_order_in_which_they_happened() -> None:
    clock = ManualClock()
    async with org(clock, faults={"log": {"delay": "5s", "spread": "10s"}}) as emulator:
        uuids = []
        for _ in range(20):
            uuids += await emulator.emit(1)
            await clock.advance(0.1)
        assert logged(emulator) == []
        await clock.advance(15)
        read = [event["uuid"] for event in logged(emulator)]
        assert read != uuids
        assert sorted(read) == sorted(uuids)


async def test_past_events_are_in_the_log_and_no_hook_delivers_them() -> None:
    clock = ManualClock()
    async with HookReceiver() as receiver, org(clock) as emulator:
        await verified(emulator, receiver)
        hour = 3600 * 1_000_000
        (now,) = await emulator.emit(1)
        past = await emulator.emit_past(120, since=clock.now() - hour)
        await drained(emulator)
        assert receiver.uuids == [now]
        page = emulator.system_log.between(
            LogRange(clock.now() - hour // 2, clock.now() - 1_000_000), after=None, limit=1000
        )
        read = [json.loads(entry.body)["uuid"] for entry in page.entries]
        assert read == past[60:]
        with pytest.raises(OktaApiError):
            await emulator.emit_past(1, since=clock.now() + hour)


# --- the org


async def test_beyond_the_daily_quota_hooks_deliver_nothing_and_the_log_warns_before() -> None:
    clock = ManualClock()
    async with HookReceiver() as receiver, org(clock, quota=10, batch=1, in_flight=1) as emulator:
        hook = await verified(emulator, receiver)

        def warned() -> list[str]:
            types = [event["eventType"].rpartition(".")[2] for event in logged(emulator)]
            return [kind for kind in types if kind in {"warning", "violation"}]

        await emulator.emit(6, ["user.session.start"])
        await drained(emulator)
        assert warned() == []
        await emulator.emit(1, ["user.session.start"])
        await drained(emulator)
        assert warned() == ["warning"]
        uuids = await emulator.emit(5, ["user.session.start"])
        await drained(emulator)
        assert warned() == ["warning", "violation"]
        assert emulator.ledger().hooks[hook.id].dropped == uuids[3:]
        assert len(receiver.uuids) == 10
        await clock.advance(86_400)
        (fresh,) = await emulator.emit(1, ["user.session.start"])
        await drained(emulator)
        assert receiver.uuids[10:] == [fresh]
        warning = next(event for event in logged(emulator) if event["eventType"].endswith("warning"))
        assert warning["debugContext"]["debugData"]["operationRateLimitType"] == "event_hook_delivery"


async def test_a_preview_looks_unlike_a_delivery_and_needs_no_verified_hook() -> None:
    async with HookReceiver() as receiver, org(ManualClock()) as emulator:
        hook = emulator.add_hook(receiver.url, SECRET, types=["user.session.start"])
        previewed = await emulator.preview(hook.id)
        assert previewed.delivered
        (call,) = receiver.posts
        (event,) = call.envelope["data"]["events"]
        assert event["uuid"] == previewed.event
        assert UUID(event["uuid"]).version == 4
        assert event["outcome"]["result"] == "Success"
        assert event["target"] is event["debugContext"] is event["client"]["ipChain"] is None
        assert call.envelope["eventTime"] == "2026-01-01T12:00:00.000000Z"
        assert call.headers["authorization"] == SECRET
        assert previewed.event not in emulator.ledger().events
        receiver.otherwise = 401
        assert not (await emulator.preview(hook.id)).delivered


async def test_a_preview_of_a_logged_event_delivers_it_again() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        hook = await verified(emulator, receiver, types=["user.session.start"])
        (other,) = await emulator.emit(1, ["user.session.end"])
        await emulator.preview(hook.id, other)
        (event,) = receiver.posts[0].envelope["data"]["events"]
        assert (event["uuid"], event["eventType"]) == (other, "user.session.end")
        with pytest.raises(OktaApiError, match="E0000007"):
            await emulator.preview(hook.id, "no-such-event")


@pytest.mark.long
async def test_the_same_seed_makes_the_same_events_and_drops_the_same_of_them() -> None:
    ledgers = []
    for _ in range(2):
        clock = ManualClock()
        async with HookReceiver() as receiver, org(clock, faults=Faults(drop=0.5)) as emulator:
            await verified(emulator, receiver)
            await emulator.emit(400)
            await drained(emulator)
            (hook,) = emulator.ledger().hooks.values()
            ledgers.append((emulator.ledger().events, hook.dropped))
        assert 150 < len(hook.dropped) < 250
    assert ledgers[0] == ledgers[1]


@pytest.mark.long
async def test_types_take_turns() -> None:
    async with org() as emulator:
        await emulator.emit(len(HOOK_TYPES) * 2, HOOK_TYPES)
        assert Counter(event["eventType"] for event in logged(emulator)) == dict.fromkeys(HOOK_TYPES, 2)


async def test_a_type_that_okta_does_not_have_is_refused_and_nothing_happens() -> None:
    async with org() as emulator:
        with pytest.raises(OktaApiError, match="made\\.up"):
            await emulator.emit(3, ["user.session.start", "made.up"])
        assert emulator.ledger().events == []


async def test_the_org_emits_events_at_the_rate() -> None:
    clock = ManualClock()
    async with org(clock, rate=20) as emulator:
        await clock.asleep()
        await clock.advance(3)
        assert len(emulator.ledger().events) == pytest.approx(60, abs=2)


async def test_leaving_drops_what_waits_and_ends_at_once() -> None:
    async with HookReceiver() as receiver:
        async with org(ManualClock(), rate=5, faults=Faults(delay="1h")) as emulator:
            hook = await verified(emulator, receiver)
            uuids = await emulator.emit(3)
        assert emulator.waiting == 0
        assert set(uuids) <= set(emulator.ledger().hooks[hook.id].dropped)
        assert receiver.posts == []


async def test_an_error_inside_the_context_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with org(rate=5):
            raise LookupError


async def test_a_hook_delivers_what_the_system_log_has() -> None:
    async with HookReceiver() as receiver, org() as emulator:
        await verified(emulator, receiver)
        await emulator.emit(20)
        await drained(emulator)
        twins = {event["uuid"]: event for event in happened(emulator)}
        delivered = [event for call in receiver.posts for event in call.envelope["data"]["events"]]
        assert len(delivered) == len(twins) == 20
        for event in delivered:
            twin = twins[event["uuid"]]
            assert event["eventType"] == twin["eventType"]
            assert len(event["client"]["ipChain"]) == len(twin["request"]["ipChain"])
