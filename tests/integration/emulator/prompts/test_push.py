"""A factor push of the emulated org: asked, polled to its end, and what the System Log shows of it."""

from typing import Any

import httpx
import pytest

from forwarder.emulator.users.directory import EmulatedUser
from forwarder.emulator.users.factors import factor_of
from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running


def somebody(service: Service) -> EmulatedUser:
    return next(user for user in service.org.users.all() if not user.roles)


async def answers(service: Service, **order: Any) -> None:
    answer = await service.client.post("/emulator/answers", json=order)
    assert answer.status_code == 200, answer.text


async def push_url(service: Service, user: EmulatedUser) -> str:
    factors = (await service.client.get(f"/api/v1/users/{user.id}/factors")).json()
    (push,) = [factor for factor in factors if factor["factorType"] == "push"]
    url: str = push["_links"]["verify"]["href"]
    return url


async def send(service: Service, user: EmulatedUser, **body: Any) -> dict[str, Any]:
    answer = await service.client.post(await push_url(service, user), json=body or None)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    assert shown["factorResult"] == "WAITING"
    return shown


async def poll(service: Service, sent: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.get(sent["_links"]["poll"]["href"])
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def logged(service: Service, event_type: str) -> list[dict[str, Any]]:
    events = (await service.client.get("/api/v1/logs")).json()
    return [event for event in events if event["eventType"] == event_type]


@pytest.mark.long
@pytest.mark.parametrize(
    ("answer", "result", "outcome", "reason"),
    [("approve", "SUCCESS", "SUCCESS", None), ("deny", "REJECTED", "FAILURE", "INVALID_CREDENTIALS")],
)
async def test_an_answer_ends_the_wait_and_its_event_is_the_users(
    answer: str, result: str, outcome: str, reason: str | None
) -> None:
    clock = ManualClock()
    async with running(clock) as service:
        user = somebody(service)
        await answers(service, user=user.login, answer=answer, after="2s")
        sent = await send(service, user)
        assert sent["expiresAt"] == "2026-01-01T12:05:00.000Z"
        await clock.advance(1.9)
        assert (await poll(service, sent))["factorResult"] == "WAITING"
        assert await logged(service, "user.authentication.auth_via_mfa") == []
        await clock.advance(0.1)
        (event,) = await logged(service, "user.authentication.auth_via_mfa")
        assert event["outcome"] == {"result": outcome, "reason": reason}
        assert event["actor"]["id"] == user.id
        assert event["transaction"]["detail"] == {}
        assert event["published"] == "2026-01-01T12:00:02.000Z"
        assert {target["type"] for target in event["target"]} == {"User", "AuthenticatorEnrollment"}
        assert [each["actor"]["id"] for each in await logged(service, "system.push.send_factor_verify_push")] == [
            user.id
        ]
        for _ in range(2):
            assert (await poll(service, sent))["factorResult"] == result


async def test_without_an_answer_the_push_times_out_and_nothing_is_logged() -> None:
    clock = ManualClock()
    async with running(clock, push_lifetime="60s") as service:
        sent = await send(service, somebody(service))
        await clock.advance(60)
        assert await poll(service, sent) == {"factorResult": "TIMEOUT"}
        assert await logged(service, "user.authentication.auth_via_mfa") == []


async def test_an_answer_may_be_set_while_the_push_waits() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        user = somebody(service)
        sent = await send(service, user)
        await clock.advance(100)
        await answers(service, answer="deny", after=1)
        await clock.advance(1)
        assert (await poll(service, sent))["factorResult"] == "REJECTED"


async def test_a_cancelled_push_has_no_answer() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        user = somebody(service)
        await answers(service, user=user.id, answer="approve", after="5s")
        sent = await send(service, user)
        answer = await service.client.delete(sent["_links"]["cancel"]["href"])
        assert (answer.status_code, answer.content) == (204, b"")
        await clock.advance(10)
        assert (await poll(service, sent))["factorResult"] == "CANCELLED"
        assert await logged(service, "user.authentication.auth_via_mfa") == []
        assert [prompt.result for prompt in service.org.prompts.all()] == ["CANCELLED"]


async def test_the_right_number_is_in_the_answer_and_in_every_poll() -> None:
    async with running(ManualClock()) as service:
        user = somebody(service)
        sent = await send(service, user, useNumberMatchingChallenge=True)
        number = sent["_embedded"]["challenge"]["correctAnswer"]
        assert 10 <= number <= 99
        assert (await poll(service, sent))["_embedded"] == sent["_embedded"]
        assert "_embedded" not in await send(service, user)


@pytest.mark.parametrize(
    ("status", "factor", "fault", "expected"),
    [
        ("LOCKED_OUT", {}, "", (403, "E0000069")),
        ("SUSPENDED", {}, "", (423, "E0000155")),
        ("ACTIVE", {"suspended": True}, "", (423, "E0000180")),
        ("ACTIVE", {"status": "INACTIVE"}, "", (410, "E0000154")),
        ("ACTIVE", {}, "service_error", (504, "E0000067")),
    ],
)
async def test_a_factor_that_cannot_be_asked_is_refused_with_its_own_code(
    status: str, factor: dict[str, Any], fault: str, expected: tuple[int, str]
) -> None:
    async with running(ManualClock()) as service:
        user = somebody(service)
        url = await push_url(service, user)
        user.status, user.factors = status, [factor_of(user.id, "push", **factor)]
        await answers(service, user=user.id, fault=fault)
        assert_error(await service.client.post(url), *expected)
        assert service.org.prompts.all() == ()


async def test_codes_cannot_be_pushed_and_a_user_may_have_no_push() -> None:
    async with running(ManualClock()) as service:
        user = somebody(service)
        url = await push_url(service, user)
        user.factors = [factor_of(user.id, "token:software:totp")]
        (shown,) = (await service.client.get(f"/api/v1/users/{user.id}/factors")).json()
        assert shown["factorType"] == "token:software:totp"
        assert_error(await service.client.post(url), 404, "E0000007")
        assert_error(await service.client.post(shown["_links"]["verify"]["href"]), 403, "E0000068")


async def test_a_push_without_a_user_agent_is_refused() -> None:
    async with running(ManualClock()) as service:
        url = await push_url(service, somebody(service))
        request = service.client.build_request("POST", url)
        del request.headers["user-agent"]
        assert_error(await service.client.send(request), 400, "E0000001")


@pytest.mark.parametrize("fault", ["rate_limited", "error_before"])
async def test_faults_of_polls_are_apart_from_those_of_changes(fault: str) -> None:
    async with running(ManualClock()) as service:
        user = somebody(service)
        faults = {"polls": {fault: 1.0, "reset": "20s", "retry_after": "7s"}}
        await service.client.put("/emulator/faults", json=faults)
        sent = await send(service, user)
        answer: httpx.Response = await service.client.get(sent["_links"]["poll"]["href"])
        if fault == "rate_limited":
            assert_error(answer, 429, "E0000047")
            assert answer.headers["x-rate-limit-reset"] == "1767268820"
        else:
            assert_error(answer, 503, "E0000010")
            assert answer.headers["retry-after"] == "7"


async def test_the_state_shows_each_prompt_with_its_polls() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        user = somebody(service)
        sent = await send(service, user)
        await clock.advance(4)
        await poll(service, sent)
        (prompt,) = (await service.client.get("/emulator/state")).json()["prompts"]
        assert (prompt["by"], prompt["user"], prompt["result"]) == ("push", user.id, "WAITING")
        assert prompt["polls"] == [prompt["asked"] + 4_000_000]
        (call,) = service.org.calls
        assert (call.method, call.path.endswith("/verify"), call.effect) == ("POST", True, True)
