"""Okta's own client, used directly, drives the emulated org as it drives Okta."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from okta.client import Client
from okta.models.event_hook import EventHook
from okta.models.log_event import LogEvent
from okta.pagination import PaginationHelper, paginate_all

from forwarder.core.time import to_datetime
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.settings import Faults
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_org import TOKEN, okta_org

APP = "0oaplanted0app000000"
SCOPES = ["okta.eventHooks.read", "okta.eventHooks.manage", "okta.logs.read"]
TYPES = ["user.session.start", "user.session.end", "user.account.lock"]


@dataclass(frozen=True)
class App:
    """A service app's key, in the forms that the client and the org take."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def private(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def public(self) -> str:
        return (
            self.key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )


@pytest.fixture(autouse=True)
def _plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_TESTING_TESTINGDISABLEHTTPSCHECK", "true")  # the client has no other way to be told


@pytest.fixture(scope="module")
def key() -> App:
    return App()


@asynccontextmanager
async def served(key: App, **changes: Any) -> AsyncIterator[Emulator]:
    clients = {APP: {"keys": [key.public], "scopes": SCOPES, **changes.pop("app", {})}}
    async with okta_org(clients=clients, **{"edge_case_share": 0} | changes) as org:
        yield org


def client(org: Emulator, way: str, key: App, **changes: Any) -> Any:
    """Okta's client, with one of the three kinds of credentials. `Any`, because its annotations say that a call gives a
    model, and it gives a tuple of model, response and error."""
    common = {"orgUrl": org.settings.url, "rateLimit": {"maxRetries": 2}}
    if way == "token":
        return Client(common | {"token": TOKEN} | changes)
    service = {"authorizationMode": "PrivateKey", "clientId": APP, "privateKey": key.private, "scopes": SCOPES}
    return Client(common | service | {"dpopEnabled": way == "dpop"} | changes)


@pytest.fixture(params=["token", "dpop", "bearer"])
async def there(request: pytest.FixtureRequest, key: App) -> AsyncIterator[tuple[Any, Emulator]]:
    async with served(key, app={"dpop": request.param == "dpop"}) as org:
        yield client(org, request.param, key), org


def spec(uri: str, **changes: Any) -> EventHook:
    auth = {"type": "HEADER", "key": "Authorization", "value": "the-secret"}
    config = {"uri": uri, "authScheme": auth, "headers": [{"key": "X-Team", "value": "blue"}]}
    tree = {
        "name": "from the client",
        "events": {"type": "EVENT_TYPE", "items": TYPES},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": config},
    }
    made = EventHook.from_dict(tree | changes)
    assert made is not None
    return made


def taken(answer: tuple[Any, ...]) -> Any:
    """What the client gives, which must be no error."""
    data, response, error = answer
    assert error is None, error
    assert response is not None
    return data


def refused(answer: tuple[Any, ...], status: int, code: str) -> str:
    """What Okta says of a call that it refuses."""
    error = answer[-1]
    assert (error.status, error.error_code) == (status, code)
    return str(error.error_summary)


async def test_the_client_drives_every_operation_of_event_hooks(there: tuple[Any, Emulator]) -> None:
    okta, org = there
    async with HookReceiver() as receiver:
        made = taken(await okta.create_event_hook(spec(receiver.url)))
        assert (made.status, made.verification_status) == ("ACTIVE", "UNVERIFIED")
        assert set(made.events.items) == set(TYPES)
        assert [hook.id for hook in taken(await okta.list_event_hooks())] == [made.id]
        assert taken(await okta.get_event_hook(made.id)).name == "from the client"

        verified = taken(await okta.verify_event_hook(made.id))
        assert verified.verification_status == "VERIFIED"
        (challenge,) = receiver.calls
        assert (challenge.headers["authorization"], challenge.headers["x-team"]) == ("the-secret", "blue")

        moved = taken(await okta.replace_event_hook(made.id, spec(receiver.url + "?moved", name="renamed")))
        assert (moved.name, moved.verification_status, moved.status) == ("renamed", "UNVERIFIED", "ACTIVE")
        taken(await okta.verify_event_hook(made.id))
        uuids = await org.emit(2, TYPES[:2])
        async with asyncio.timeout(10):
            await org.drain()
        assert sorted(receiver.uuids) == sorted(uuids)

        assert refused(await okta.delete_event_hook(made.id), 403, "E0000006")
        stopped = taken(await okta.deactivate_event_hook(made.id))
        assert (stopped.status, stopped.verification_status) == ("INACTIVE", "VERIFIED")
        assert taken(await okta.activate_event_hook(made.id)).status == "ACTIVE"
        taken(await okta.deactivate_event_hook(made.id))
        assert (await okta.delete_event_hook(made.id))[-1] is None
        refused(await okta.get_event_hook(made.id), 404, "E0000007")
        assert taken(await okta.list_event_hooks()) == []


async def test_the_client_is_told_why_a_hook_is_refused(there: tuple[Any, Emulator]) -> None:
    okta, _ = there
    async with HookReceiver(echo=b"{}") as receiver:
        made = taken(await okta.create_event_hook(spec(receiver.url)))
        answer = await okta.verify_event_hook(made.id)
        assert refused(answer, 400, "E0000001") == "Api validation failed: eventHook"
        told = "Unable to verify event hook. Hook from the client execution failed"
        assert answer[-1].error_causes == [{"errorSummary": told}]
    bad = spec("https://receiver.example.com/", events={"type": "EVENT_TYPE", "items": ["zone.create"]})
    refused(await okta.create_event_hook(bad), 400, "E0000001")


async def test_the_client_pages_through_the_system_log(there: tuple[Any, Emulator]) -> None:
    okta, org = there
    uuids = await org.emit(45)
    read: list[str] = []
    cursor = None
    for _ in range(4):
        page, response, error = await okta.list_log_events(limit=20, after=cursor)
        assert error is None, error
        assert all(isinstance(event, LogEvent) for event in page)
        read += [event.uuid for event in page]
        cursor = PaginationHelper.extract_next_cursor(response.headers)
    assert read == uuids
    (late,) = await org.emit(1)
    assert [event.uuid for event in taken(await okta.list_log_events(limit=20, after=cursor))] == [late]


async def test_the_client_reads_whole_pages_of_edge_cases(key: App) -> None:
    async with served(key, edge_case_share=1) as org:
        uuids = await org.emit(200)
        page = taken(await client(org, "token", key).list_log_events(limit=1000))
        assert [event.uuid for event in page] == uuids


async def test_the_clients_own_paging_reads_a_bounded_part_to_its_end(there: tuple[Any, Emulator]) -> None:
    okta, org = there
    now = org.clock.now()
    uuids = await org.emit(30, TYPES)
    ends = org.clock.now() + 2000
    query: dict[str, Any] = {"since": to_datetime(now - 1000).isoformat(), "until": to_datetime(ends).isoformat()}
    while org.clock.now() < ends + 1000:
        await asyncio.sleep(0)
    await org.emit(1)
    pages = paginate_all(okta.list_log_events, limit=7, filter=f'eventType ne "{TYPES[0]}"', **query)
    async with asyncio.timeout(20):
        read = [event async for event in pages]
    assert [event.uuid for event in read] == [uuid for number, uuid in enumerate(uuids) if number % 3]


async def test_the_client_comes_again_when_the_limit_is_spent(key: App) -> None:
    async with served(key) as org:
        uuids = await org.emit(3)
        org.faults = Faults.model_validate({"log": {"rate_limited": 0.5, "reset": "0s"}})
        for _ in range(3):
            page = await client(org, "token", key, rateLimit={"maxRetries": 20}).list_log_events()
            assert [event.uuid for event in taken(page)] == uuids


# --- service apps


async def test_a_first_call_with_dpop_is_answered_with_a_nonce_and_the_next_with_a_bound_token(key: App) -> None:
    async with served(key) as org:
        okta = client(org, "dpop", key)
        assert taken(await okta.list_event_hooks()) == []
        text, kind = okta.get_request_executor()._oauth.get_current_token()
        assert kind == "DPoP"
        async with httpx.AsyncClient(base_url=org.settings.url, trust_env=False, verify=False) as thief:
            for scheme in ("Bearer", "DPoP"):
                stolen = await thief.get("/api/v1/logs", headers={"Authorization": f"{scheme} {text}"})
                assert stolen.status_code in {400, 401}


async def test_an_app_that_lacks_the_scope_is_refused(key: App) -> None:
    async with served(key, app={"dpop": False}) as org:
        okta = client(org, "bearer", key, scopes=["okta.eventHooks.read"])
        assert taken(await okta.list_event_hooks()) == []
        refused(await okta.list_log_events(), 403, "E0000006")
        refused(await okta.create_event_hook(spec("https://receiver.example.com/")), 403, "E0000006")


async def test_an_app_without_an_admin_role_is_refused(key: App) -> None:
    async with served(key, app={"admin": False, "dpop": False}) as org:
        refused(await client(org, "bearer", key).list_event_hooks(), 403, "E0000006")


async def test_an_app_with_another_key_or_another_name_or_no_proof_gets_no_token(key: App) -> None:
    async with served(key) as org:
        for okta, told in (
            (client(org, "bearer", App()), "invalid_client"),
            (client(org, "bearer", key, clientId="0oanobody0000000000a"), "invalid_client"),
            (client(org, "bearer", key), "invalid_dpop_proof"),
        ):
            assert told in str((await okta.list_event_hooks())[-1])
