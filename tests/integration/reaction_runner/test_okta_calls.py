"""One call of Okta's API for a reaction: sent once, and its result is returned, not raised."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from forwarder.clock import SystemClock
from forwarder.core.errors import OktaError
from forwarder.core.time import SECOND, iso
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.settings import ChangeFaults, Faults
from forwarder.emulator.system_log.log import LogEntry
from forwarder.okta.api.client import OktaClient, RetryPolicy
from forwarder.okta.settings import ApiSettings
from forwarder.reaction_runner.okta_calls import OktaCalls, OrgCalls
from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import Call
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.receivers import Receiver, Reply


@asynccontextmanager
async def scene(token: str = TOKEN, timeout: float = 5.0, **faults: Any) -> AsyncIterator[tuple[Emulator, OrgCalls]]:
    async with okta_org(query_timeout="1s", faults=Faults(changes=ChangeFaults(**faults))) as org:
        client = OktaClient(
            org.settings.url, ApiSettings(token=token), 1.0, SystemClock(), retry=RetryPolicy(timeout=timeout)
        )
        calls = OktaCalls({"acme": client}.get, SystemClock()).org("acme")
        assert calls is not None
        try:
            yield org, calls
        finally:
            await client.close()


def suspend(org: Emulator) -> tuple[str, str]:
    user = next(user for user in org.users.all() if not user.roles)
    return "POST", f"/api/v1/users/{user.id}/lifecycle/suspend"


async def test_a_call_that_is_carried_out_returns_its_body_and_oktas_request_id() -> None:
    async with scene() as (org, calls):
        user = org.users.all()[-1]
        answer = await calls.call("GET", f"/api/v1/users/{user.id}")
    assert (answer.ok, answer.status, answer.body["id"]) == (True, 200, user.id)
    assert answer.request_id


async def test_half_of_a_surrogate_pair_in_an_event_hides_no_event_of_the_system_log() -> None:
    at = SystemClock().now()
    head = f'"uuid": "u-1", "eventType": "user.session.start", "published": "{iso(at)}"'
    body = ("{" + head + r', "actor": {"alternateId": "jane \ud83d"}}').encode()
    async with scene() as (org, calls):
        org.system_log.append([LogEntry(at, body)], at=at)
        answer = await calls.call("GET", "/api/v1/logs", query={"since": iso(at - SECOND)})
    actors = [event["actor"] for event in answer.body if event["uuid"] == "u-1"]
    assert actors == [{"alternateId": "jane \ufffd"}]


async def test_a_refusal_says_why_with_oktas_error_id_and_what_to_do() -> None:
    async with scene() as (org, calls):
        await calls.call(*suspend(org))
        answer = await calls.call(*suspend(org))
    assert (answer.status, answer.code, answer.is_retryable) == (400, "E0000001", False)
    assert answer.error_id
    assert "lifecycle/suspend" in answer.text


async def test_a_refusal_of_a_link_names_its_host_once() -> None:
    async with scene() as (org, calls):
        method, path = suspend(org)
        await calls.call(method, path)
        answer = await calls.call(method, f"{org.settings.url}{path}")
    assert f"{method} {org.settings.url}{path} (" in answer.text


async def test_a_call_over_the_rate_limit_is_sent_once_and_has_a_time_to_retry() -> None:
    async with scene(rate_limited=1.0, reset="30s") as (org, calls):
        before = SystemClock().now()
        answer = await calls.call(*suspend(org))
        assert len(org.calls) == 1
    assert (answer.status, answer.is_retryable) == (429, True)
    assert answer.retry_at is not None
    assert 29 <= (answer.retry_at - before) / SECOND <= 33


async def test_an_error_of_okta_after_the_effect_is_not_repeated_and_honours_retry_after() -> None:
    async with scene(error_after=1.0, retry_after="7s") as (org, calls):
        before = SystemClock().now()
        answer = await calls.call(*suspend(org))
        assert [call.effect for call in org.calls] == [True]
    assert (answer.status, answer.sent, answer.is_retryable) == (503, True, True)
    assert answer.retry_at is not None
    assert 6 <= (answer.retry_at - before) / SECOND <= 9


@pytest.mark.long
async def test_a_call_whose_response_was_lost_may_have_been_carried_out() -> None:
    async with scene(timeout=0.3, no_response=1.0) as (org, calls):
        answer = await calls.call(*suspend(org))
        assert len(org.calls) == 1
    assert (answer.status, answer.sent, answer.is_retryable) == (0, True, True)


async def test_no_connection_means_that_nothing_was_sent() -> None:
    client = OktaClient("http://127.0.0.1:9", ApiSettings(token=TOKEN), 1.0, SystemClock())
    answer = await OrgCalls(client, SystemClock()).call("GET", "/api/v1/users/x")
    await client.close()
    assert (answer.status, answer.sent) == (0, False)
    assert "no connection to 127.0.0.1:9" in answer.text


async def test_credentials_go_to_no_other_host() -> None:
    async with scene() as (_, calls):
        await calls.ready("GET", "https://elsewhere.example/api/v1/users/x")
        answer = await calls.call("GET", "https://elsewhere.example/api/v1/users/x")
    assert (answer.ok, answer.sent) == (False, False)
    assert "elsewhere.example" in answer.text


async def test_a_wrong_token_is_a_refusal_with_a_hint() -> None:
    async with scene(token="00wrong") as (org, calls):
        answer = await calls.call(*suspend(org))
    assert (answer.status, answer.code) == (401, "E0000011")
    assert "API token is wrong" in answer.text


@pytest.mark.long
async def test_a_change_that_waited_long_for_its_turn_is_not_sent() -> None:
    clock = ManualClock()
    faults = Faults(changes=ChangeFaults(no_response=1.0))
    async with okta_org(query_timeout="1s", faults=faults) as org:
        client = OktaClient(org.settings.url, ApiSettings(token=TOKEN), 1.0, clock)
        calls = OrgCalls(client, clock)
        first = asyncio.create_task(calls.call(*suspend(org)))
        while not org.calls:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(calls.call(*suspend(org)))
        await asyncio.sleep(0)
        await clock.advance(6)
        answer = await second
        await first
        await client.close()
        assert len(org.calls) == 1
    assert (answer.status, answer.sent, answer.is_retryable) == (0, False, True)
    assert "had to wait" in answer.text


async def test_an_org_without_an_api_has_no_calls() -> None:
    assert OktaCalls(lambda _: None, SystemClock()).org("acme") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "999999"},
        {"retry-after": "Thu, 01 Jan 9998 12:00:30 GMT"},
        {"x-rate-limit-reset": "99999999999", "x-rate-limit-limit": "100", "x-rate-limit-remaining": "0"},
    ],
)
async def test_a_refused_call_may_be_repeated_within_an_hour(headers: dict[str, str]) -> None:
    async def limited(_: Call) -> Reply:
        return Reply(429, headers)

    async with Receiver(limited) as server:
        client = OktaClient(server.url.removesuffix("/events"), ApiSettings(token=TOKEN), 1.0, SystemClock())
        answer = await OrgCalls(client, SystemClock()).call("POST", "/api/v1/users/00u1/lifecycle/unsuspend")
        await client.close()
    assert answer.retry_at is not None
    assert answer.retry_at <= SystemClock().now() + 3600 * SECOND


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"\xff", b"[" * 100_000, b'{"id": '])
async def test_a_2xx_that_is_not_json_does_not_say_that_a_call_was_carried_out(body: bytes) -> None:
    async def page(_: Call) -> Reply:
        return Reply(200, body=body)

    async with Receiver(page) as server:
        client = OktaClient(server.url.removesuffix("/events"), ApiSettings(token=TOKEN), 1.0, SystemClock())
        answer = await OrgCalls(client, SystemClock()).call("POST", "/api/v1/users/00u1/lifecycle/suspend")
        with pytest.raises(OktaError, match="not JSON"):
            (await client.call("GET", "/api/v1/zones")).json()
        await client.close()
    assert (answer.ok, answer.sent, answer.is_retryable) == (False, True, True)
    assert "POST /api/v1/users/00u1/lifecycle/suspend cannot be read" in answer.text
