"""Events that say what a test wants: who acts, from where, and with which outcome."""

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import HookReceiver
from tests.integration.emulator.helpers import assert_error, running

LAGOS = {"city": "Lagos", "country": "Nigeria"}


async def test_an_event_has_the_user_and_the_fields_of_its_order() -> None:
    async with running() as service, HookReceiver() as receiver:
        hook = service.org.add_hook(receiver.url, "secret", types=["user.session.start"])
        await service.org.verify(hook.id)
        ada = service.org.users.create("ada@corp.example", "Ada Example")
        order: dict[str, Any] = {
            "types": ["user.session.start"],
            "user": "ada@corp.example",
            "fields": {
                "outcome": {"result": "SUCCESS", "reason": None},
                "client": {"ipAddress": "203.0.113.9", "geographicalContext": LAGOS},
            },
        }
        (uuid,) = (await service.client.post("/emulator/events", json=order)).json()["events"]
        async with asyncio.timeout(10):
            await service.org.drain()
        (shown,) = [event for event in (await service.client.get("/api/v1/logs")).json() if event["uuid"] == uuid]
        (carried,) = receiver.posts[-1].envelope["data"]["events"]
        for event in (shown, carried):
            assert event["actor"]["id"] == ada.id
            assert event["client"]["ipAddress"] == "203.0.113.9"
            assert event["client"]["geographicalContext"]["country"] == "Nigeria"
            assert event["client"]["userAgent"]["rawUserAgent"]
            assert event["outcome"]["result"] == "SUCCESS"
        assert [hop["ip"] for hop in shown["request"]["ipChain"]] == ["203.0.113.9"]
        assert [hop["ip"] for hop in carried["client"]["ipChain"]] == ["203.0.113.9"]


async def test_no_edge_case_replaces_the_user_and_the_fields_of_an_order() -> None:
    async with running(ManualClock(), edge_case_share=1, odd_types=True) as service:
        user = service.org.users.find("user09@example.com")
        fields = {"outcome": {"result": "FAILURE", "reason": "x"}, "client": {"ipAddress": "203.0.113.9"}}
        order = {"types": ["user.session.start"] * 50, "user": user.login, "fields": fields}
        await service.client.post("/emulator/events", json=order)
        events = (await service.client.get("/api/v1/logs")).json()
    found = {
        (event["actor"] and event["actor"]["id"], event["outcome"]["result"], event["client"]["ipAddress"])
        for event in events
    }
    assert found == {(user.id, "FAILURE", "203.0.113.9")}


async def test_the_user_of_an_event_is_its_target_too() -> None:
    async with running(ManualClock()) as service:
        user = service.org.users.find("user09@example.com")
        order = {"types": ["user.mfa.factor.deactivate"], "user": user.login}
        await service.client.post("/emulator/events", json=order)
        (event,) = (await service.client.get("/api/v1/logs")).json()
        assert [target["id"] for target in event["target"] if target["type"] == "User"] == [user.id]


async def test_an_unknown_user_emits_nothing() -> None:
    async with running(ManualClock()) as service:
        answer = await service.client.post("/emulator/events", json={"user": "nobody@corp.example"})
        assert_error(answer, 404, "E0000007")
        assert service.org.ledger().events == []


@pytest.mark.long
@pytest.mark.parametrize("value", [None, 5, "x", [], {}, {"ipAddress": 5}, {"ipChain": None}, "2017-09-31T01:00:00Z"])
async def test_odd_fields_are_taken_or_refused_and_never_a_bug(value: Any) -> None:
    async with running(ManualClock(), edge_case_share=0) as service:
        await service.org.emit(1, ["user.session.start"])
        (event,) = (await service.client.get("/api/v1/logs")).json()
        for key in event:
            answer = await service.client.post("/emulator/events", json={"fields": {key: value}})
            assert answer.status_code in {200, 400}, (key, answer.text)
        for key in ("uuid", "published", "client", "request", "debugContext"):
            answer = await service.client.post("/emulator/events", json={"fields": {key: None}})
            assert_error(answer, 400, "E0000001")
