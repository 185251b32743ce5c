"""The org's HTTP, called as a client of Okta calls it: over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from forwarder.emulator.settings import Faults
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_org import TOKEN
from tests.integration.emulator.helpers import HOOKS, Service, assert_error, running, spec


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.mark.parametrize("shown", [None, "SSWS wrong", f"Bearer {TOKEN}", TOKEN, "SSWS", "SSWS \u00e9"])
async def test_a_call_without_the_token_is_refused(service: Service, shown: str | None) -> None:
    for path in (HOOKS, "/api/v1/logs"):
        headers = [] if shown is None else [(b"authorization", shown.encode())]
        async with httpx.AsyncClient(base_url=service.client.base_url, trust_env=False, verify=False) as client:
            error = assert_error(await client.get(path, headers=headers), 401, "E0000011")
        assert error["errorSummary"] == "Invalid token provided"


async def test_the_life_of_a_hook(service: Service) -> None:
    client = service.client
    async with HookReceiver() as receiver:
        hook = await service.create(receiver.url)
        assert (hook["status"], hook["verificationStatus"]) == ("ACTIVE", "UNVERIFIED")
        assert receiver.calls == []
        assert (await client.get(hook["_links"]["self"]["href"])).json() == hook
        assert (await client.get(HOOKS)).json() == [hook]

        verified = (await client.post(hook["_links"]["verify"]["href"])).json()
        assert (verified["status"], verified["verificationStatus"]) == ("ACTIVE", "VERIFIED")
        (challenge,) = receiver.calls
        assert challenge.headers["authorization"] == "the-secret"

        again = (await client.put(f"{HOOKS}/{hook['id']}", json=spec(receiver.url + "?moved"))).json()
        assert (again["status"], again["verificationStatus"]) == ("ACTIVE", "UNVERIFIED")

        assert_error(await client.delete(f"{HOOKS}/{hook['id']}"), 403, "E0000006")
        inactive = (await client.post(again["_links"]["deactivate"]["href"])).json()
        assert inactive["status"] == "INACTIVE"
        active = (await client.post(inactive["_links"]["activate"]["href"])).json()
        assert active["status"] == "ACTIVE"
        await client.post(active["_links"]["deactivate"]["href"])
        deleted = await client.delete(inactive["_links"]["delete"]["href"])
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert_error(await client.get(f"{HOOKS}/{hook['id']}"), 404, "E0000007")


async def test_a_failed_challenge_has_oktas_error(service: Service) -> None:
    async with HookReceiver(echo=b"{}") as receiver:
        hook = await service.create(receiver.url, name="to nowhere")
        answer = await service.client.post(f"{HOOKS}/{hook['id']}/lifecycle/verify")
        error = assert_error(answer, 400, "E0000001")
        assert error["errorSummary"] == "Api validation failed: eventHook"
        cause = "Unable to verify event hook. Hook to nowhere execution failed"
        assert error["errorCauses"] == [{"errorSummary": cause}]


async def test_the_secret_is_in_no_answer(service: Service) -> None:
    hook = await service.create()
    answers = [
        await service.client.get(HOOKS),
        await service.client.get(f"{HOOKS}/{hook['id']}"),
        await service.client.put(f"{HOOKS}/{hook['id']}", json=spec()),
        await service.client.post(HOOKS, json=spec(events={})),
    ]
    assert all("the-secret" not in answer.text for answer in answers)


async def test_every_answer_has_oktas_headers(service: Service) -> None:
    for answer in (await service.client.get(HOOKS), await service.client.get(f"{HOOKS}/none")):
        assert answer.headers["x-rate-limit-limit"] == "1000"
        assert int(answer.headers["x-rate-limit-remaining"]) < 1000
        reset = int(answer.headers["x-rate-limit-reset"]) - datetime.now(UTC).timestamp()
        assert 0 < reset <= 61
        assert answer.headers["x-okta-request-id"]
        assert answer.headers["cache-control"] == "no-cache, no-store"
        assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/x-www-form-urlencoded", 400),
        ("text/plain; charset=utf-8", 400),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        (None, 200),
    ],
)
async def test_a_body_of_another_type_than_json_is_refused(service: Service, kind: str | None, status: int) -> None:
    headers = {"content-type": kind} if kind else {}
    body = json.dumps(spec("https://hooks.example.com/okta/events"))
    answer = await service.client.post(HOOKS, content=body, headers=headers)
    if status == 400:
        error = assert_error(answer, 400, "E0000021")
        assert "Content-Type" in error["errorSummary"]
    assert (answer.status_code, len((await service.client.get(HOOKS)).json())) == (status, status == 200)


async def test_a_call_without_a_body_may_have_any_type(service: Service) -> None:
    hook = await service.create("https://hooks.example.com/okta/events")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await service.client.post(hook["_links"]["deactivate"]["href"], headers=headers)
    assert answer.status_code == 200


async def test_when_the_minutes_calls_are_spent_okta_says_so() -> None:
    async with running(calls_per_minute=6) as service:
        remaining = [(await service.client.get(HOOKS)).headers["x-rate-limit-remaining"] for _ in range(3)]
        assert remaining == ["2", "1", "0"]
        refused = await service.client.get(HOOKS)
        assert_error(refused, 429, "E0000047")
        assert refused.headers["x-rate-limit-remaining"] == "0"
        assert (await service.client.get("/emulator/ledger")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "E0000007"),
        ("GET", f"{HOOKS}/who1/nothing", 404, "E0000007"),
        ("PATCH", HOOKS, 405, "E0000022"),
        ("GET", f"{HOOKS}/who1/lifecycle/verify", 405, "E0000022"),
        ("POST", f"{HOOKS}/who1/lifecycle/verify", 404, "E0000007"),
    ],
)
async def test_what_does_not_exist_is_refused_in_oktas_words(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    assert_error(await service.client.request(method, path), status, code)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
@pytest.mark.parametrize("path", [HOOKS, "/emulator/events"])
async def test_a_body_that_is_not_json_is_refused(service: Service, path: str, body: bytes) -> None:
    assert_error(await service.client.post(path, content=body), 400, "E0000003")


async def test_terraforms_provider_can_check_its_token(service: Service) -> None:
    answer = await service.client.get("/api/v1/users/me")
    assert answer.status_code == 200
    user = answer.json()
    assert user["status"] == "ACTIVE"
    assert user["profile"]["login"]
    hook = await service.create()
    assert hook["createdBy"] == user["id"]
    assert (await service.client.get(f"/api/v1/users/{user['id']}")).json() == user
    assert_error(await service.client.get("/api/v1/users/00unobody"), 404, "E0000007")
    wrong = {"Authorization": "SSWS wrong"}
    assert_error(await service.client.get("/api/v1/users/me", headers=wrong), 401, "E0000011")


async def test_terraforms_provider_can_ask_for_the_engine(service: Service) -> None:
    answer = await service.client.get("/.well-known/okta-organization", headers={"Authorization": ""})
    assert answer.json()["pipeline"] == "idx"


# --- /emulator


async def test_a_preview_is_delivered_on_demand(service: Service) -> None:
    async with HookReceiver() as receiver:
        hook = await service.create(receiver.url)
        previewed = (await service.client.post("/emulator/preview", json={"hook": hook["id"]})).json()
        assert previewed == {"event": receiver.uuids[0], "delivered": True}
    missing = await service.client.post("/emulator/preview", json={"hook": "who0"})
    assert_error(missing, 404, "E0000007")


async def test_events_happen_on_demand_and_the_ledger_accounts_for_them(service: Service) -> None:
    async with HookReceiver() as receiver:
        hook = await service.create(receiver.url)
        await service.client.post(f"{HOOKS}/{hook['id']}/lifecycle/verify")
        faults = {"drop": 0.5, "duplicate": 0.2, "reorder": False, "delay": "0s"}
        assert (await service.client.put("/emulator/faults", json=faults)).status_code == 200
        order = {"count": 60, "types": ["user.session.start", "user.session.end"]}
        uuids = (await service.client.post("/emulator/events", json=order)).json()["events"]
        async with asyncio.timeout(10):
            await service.org.drain()
        ledger = (await service.client.get("/emulator/ledger")).json()
        assert ledger.keys() == {"events", "own", "hooks"}
        assert ledger["events"] == uuids
        mine = ledger["hooks"][hook["id"]]
        assert mine.keys() == {"delivered", "dropped"}
        assert sorted(mine["delivered"] + mine["dropped"]) == sorted(uuids)
        assert set(receiver.uuids) == set(mine["delivered"])
        assert mine["dropped"]


async def test_events_of_the_past_can_be_ordered(service: Service) -> None:
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    order = {"count": 3, "since": since.isoformat()}
    uuids = (await service.client.post("/emulator/events", json=order)).json()["events"]
    query = {"since": since.isoformat(), "until": (since + timedelta(days=1)).isoformat()}
    logged = (await service.client.get("/api/v1/logs", params=query)).json()
    assert [event["uuid"] for event in logged] == uuids[:2]


async def test_faults_are_replaced_as_a_whole(service: Service) -> None:
    first = await service.client.put("/emulator/faults", json={"drop": 1, "delay": "2s"})
    plain = Faults().model_dump()
    assert first.json() == plain | {"drop": 1.0, "delay": 2.0}
    await service.client.put("/emulator/faults", json={"reorder": True})
    assert service.org.faults == Faults(reorder=True)


@pytest.mark.parametrize("wrong", [{"drop": 7}, {"lose": 1}, {"delay": "later"}, []])
async def test_a_fault_that_cannot_be_is_refused_and_changes_nothing(service: Service, wrong: object) -> None:
    await service.client.put("/emulator/faults", json={"drop": 0.25})
    assert_error(await service.client.put("/emulator/faults", json=wrong), 400, "E0000001")
    assert service.org.faults == Faults(drop=0.25)


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"count": "5"}, {"count": 10**9}, {"types": ["made.up"]}, {"number": 5}, []]
)
async def test_an_order_that_cannot_be_is_refused(service: Service, wrong: object) -> None:
    assert_error(await service.client.post("/emulator/events", json=wrong), 400, "E0000001")
    assert (await service.client.get("/emulator/ledger")).json()["events"] == []


@pytest.mark.long
async def test_a_big_order_does_not_hold_up_other_calls(service: Service) -> None:
    order = asyncio.create_task(service.client.post("/emulator/events", json={"count": 3000}))
    seen = 0
    while not order.done():
        seen = len((await service.client.get("/emulator/ledger")).json()["events"])
        if 0 < seen < 3000:
            break
    assert 0 < seen < 3000
    assert len(json.loads((await order).content)["events"]) == 3000
