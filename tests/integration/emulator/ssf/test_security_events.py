"""Security Event Tokens that the emulated org receives: checked as Okta does, and silent on what it ignores."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from forwarder.emulator.users.directory import EmulatedUser
from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import HookReceiver
from tests.integration.emulator.helpers import Service, assert_error, running

PROVIDERS = "/api/v1/security-events-providers"
RISK = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change"
REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
JSON = "application/json; charset=utf-8"
ISSUER = "https://fw.example"
KEY, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def jwks(key: rsa.RSAPrivateKey, kid: str = "k1") -> bytes:
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return json.dumps({"keys": [public | {"kid": kid, "use": "sig", "alg": "RS256"}]}).encode()


@dataclass
class Sender:
    """A registered provider, and the server of its keys."""

    service: Service
    keys: HookReceiver
    id: str

    def claims(self, user: EmulatedUser, **event: Any) -> dict[str, Any]:
        said = {
            "event_timestamp": 1_767_268_800,
            "subject": {"user": {"format": "email", "email": user.login}},
            "current_level": "high",
            "previous_level": "low",
            "reason_admin": {"en": "Sign-in from Lagos"},
        }
        url = self.service.org.settings.url
        return {"iss": ISSUER, "aud": url, "jti": "j1", "iat": 1_767_268_800, "events": {RISK: said | event}}

    async def send(
        self,
        claims: dict[str, Any],
        key: Any = KEY,
        kind: str = "application/secevent+jwt",
        alg: str = "RS256",
        **header: str,
    ) -> httpx.Response:
        text = jwt.encode(claims, key, alg, {"typ": "secevent+jwt", "kid": "k1"} | header)
        url = f"{self.service.org.settings.url}/security/api/v1/security-events"
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(url, content=text, headers={"content-type": kind})


@asynccontextmanager
async def sender(**settings: Any) -> AsyncIterator[tuple[Sender, EmulatedUser]]:
    async with running(ManualClock()) as service, HookReceiver(echo=jwks(KEY), content_type=JSON) as keys:
        body = {"name": "fw", "type": "okta-forwarder", "settings": {"issuer": ISSUER, "jwks_url": keys.url}}
        answer = await service.client.post(PROVIDERS, json=body | settings)
        assert answer.status_code == 200, answer.text
        user = next(user for user in service.org.users.all() if not user.roles)
        yield Sender(service, keys, answer.json()["id"]), user


def accepted(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.content) == (202, b"")


async def logged(service: Service) -> list[tuple[str, str]]:
    events = (await service.client.get("/api/v1/logs")).json()
    return [
        (event["eventType"], event["actor"]["type"])
        for event in events
        if event["eventType"] != "security.events.provider.create"
    ]


async def test_a_risk_that_a_provider_reports_is_the_user_s() -> None:
    async with sender() as (sends, user):
        accepted(await sends.send(sends.claims(user)))
        assert user.risk is not None
        assert user.risk[0] == "HIGH"
        assert await logged(sends.service) == [
            ("security.events.provider.receive_event", "SecurityEventsProvider"),
            ("user.risk.change", "SystemPrincipal"),
        ]
        (call,) = [call for call in sends.service.org.calls if call.path.startswith("/security")]
        assert (call.caller, call.status, call.effect) == (sends.id, 202, True)


async def test_a_repeated_token_and_an_unknown_user_are_ignored_without_a_word() -> None:
    async with sender() as (sends, user):
        accepted(await sends.send(sends.claims(user)))
        accepted(await sends.send(sends.claims(user, current_level="low")))
        stranger = EmulatedUser("00u", "nobody@example.com", "N", 0, 0)
        accepted(await sends.send(sends.claims(stranger) | {"jti": "j2"}))
        assert user.risk is not None
        assert user.risk[0] == "HIGH"
        assert len(await logged(sends.service)) == 2
        shown = (await sends.service.client.get("/emulator/state")).json()
        assert [each["result"] for each in shown["sets"]] == ["accepted", "duplicate", "unknown_subject"]
        assert [provider["id"] for provider in shown["providers"]] == [sends.id]
        calls = [call for call in sends.service.org.calls if call.path.startswith("/security")]
        assert [call.effect for call in calls] == [True, False, False]


@pytest.mark.parametrize(
    ("subject", "known"),
    [
        (lambda user: {"user": {"format": "opaque", "id": user.id}}, True),
        (lambda user: {"format": "email", "email": user.login}, True),
        (lambda user: {"user": {"format": "iss_sub", "iss": "x", "sub": user.id}}, True),
        (lambda user: {"user": {"format": "phone_number", "phone_number": "1"}}, False),
    ],
)
async def test_a_subject_is_found_in_the_formats_that_okta_knows(subject: Any, *, known: bool) -> None:
    async with sender() as (sends, user):
        accepted(await sends.send(sends.claims(user, subject=subject(user))))
        assert (user.risk is not None) is known


async def test_a_revoked_session_is_logged_and_changes_no_risk() -> None:
    async with sender() as (sends, user):
        claims = sends.claims(user)
        claims["events"] = {REVOKED: claims["events"][RISK]}
        accepted(await sends.send(claims))
        assert user.risk is None
        assert [kind for kind, _ in await logged(sends.service)] == ["security.events.provider.receive_event"]


@pytest.mark.parametrize(
    ("change", "err"),
    [
        ({"iss": "https://other.example"}, "invalid_issuer"),
        ({"aud": "https://other.example"}, "invalid_audience"),
        ({"jti": None}, "invalid_request"),
        ({"iat": None}, "invalid_request"),
        ({"events": {}}, "invalid_request"),
        ({"events": {RISK: {}, REVOKED: {}}}, "invalid_request"),
        ({"events": {"https://schemas.example/unknown": {}}}, "invalid_request"),
        ({"events": {RISK: {"event_timestamp": 1}}}, "invalid_request"),
        ({"events": {RISK: {"event_timestamp": 1, "initiating_entity": ["admin"]}}}, "invalid_request"),
    ],
)
async def test_a_token_that_breaks_a_rule_is_refused_with_its_word(change: dict[str, Any], err: str) -> None:
    async with sender() as (sends, user):
        answer = await sends.send(
            {key: value for key, value in (sends.claims(user) | change).items() if value is not None}
        )
        assert (answer.status_code, answer.json()["err"]) == (400, err)
        assert answer.json().keys() == {"err", "description"}
        assert user.risk is None


@pytest.mark.long
async def test_a_signature_counts_only_if_a_published_key_made_it() -> None:
    async with sender() as (sends, user):
        claims = sends.claims(user)
        for changes, err in (
            ({"key": OTHER}, "authentication_failed"),
            ({"kid": "k2"}, "invalid_key"),
            ({"key": "x" * 32, "alg": "HS256"}, "invalid_key"),
            ({"typ": "JWT"}, "invalid_request"),
            ({"kind": "application/json"}, "invalid_request"),
        ):
            answer = await sends.send(claims, **changes)
            assert (answer.status_code, answer.json()["err"]) == (400, err), changes
        sends.keys.otherwise = 500
        assert (await sends.send(claims)).json()["err"] == "invalid_key"
        sends.keys.otherwise, sends.keys.content_type = 200, "text/html"
        assert (await sends.send(claims)).json()["err"] == "invalid_key"
        sends.keys.content_type = JSON
        accepted(await sends.send(claims))


async def test_both_keys_of_a_rotation_count() -> None:
    async with sender() as (sends, user):
        both = json.loads(jwks(KEY))["keys"] + json.loads(jwks(OTHER, "k2"))["keys"]
        sends.keys.echo = json.dumps({"keys": both}).encode()
        accepted(await sends.send(sends.claims(user)))
        accepted(await sends.send(sends.claims(user) | {"jti": "j2"}, key=OTHER, kid="k2"))
        assert [each.result for each in sends.service.org.security_events.all()] == ["accepted"] * 2


async def test_an_inactive_provider_is_unknown() -> None:
    async with sender() as (sends, user):
        path = f"{PROVIDERS}/{sends.id}"
        shown = (await sends.service.client.post(f"{path}/lifecycle/deactivate")).json()
        assert shown["status"] == "INACTIVE"
        assert (await sends.send(sends.claims(user))).json()["err"] == "invalid_issuer"
        await sends.service.client.post(f"{path}/lifecycle/activate")
        accepted(await sends.send(sends.claims(user)))


async def test_a_provider_is_made_shown_replaced_and_deleted() -> None:
    async with sender() as (sends, _):
        client, path = sends.service.client, f"{PROVIDERS}/{sends.id}"
        body = {"name": "fw", "type": "okta-forwarder", "settings": {"well_known_url": f"{ISSUER}/ssf"}}
        assert (await client.put(path, json=body)).json()["settings"] == body["settings"]
        assert [each["id"] for each in (await client.get(PROVIDERS)).json()] == [sends.id]
        assert_error(await client.delete(path), 403, "E0000006")
        await client.post(f"{path}/lifecycle/deactivate")
        assert (await client.delete(path)).status_code == 204
        assert_error(await client.get(path), 404, "E0000007")
        events = (await client.get("/api/v1/logs")).json()
        steps = [event["eventType"].removeprefix("security.events.provider.") for event in events]
        assert steps == ["create", "update", "deactivate", "delete"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"type": "x" * 256},
        {"settings": {}},
        {"settings": {"issuer": ISSUER}},
        {"settings": {"issuer": "x" * 701, "jwks_url": "https://x"}},
        {"settings": {"issuer": ISSUER, "jwks_url": "https://x", "well_known_url": "https://x"}},
        {"name": "fw"},
    ],
)
async def test_a_provider_that_breaks_a_rule_is_refused(wrong: dict[str, Any]) -> None:
    async with sender() as (sends, _):
        body = {"name": "second", "type": "t", "settings": {"well_known_url": f"{ISSUER}/ssf"}}
        assert_error(await sends.service.client.post(PROVIDERS, json=body | wrong), 400, "E0000001")


async def test_a_well_known_document_names_issuer_and_keys() -> None:
    async with (
        HookReceiver(content_type=JSON) as document,
        sender(settings={"well_known_url": document.url}) as (sends, user),
    ):
        document.echo = json.dumps({"issuer": ISSUER, "jwks_uri": sends.keys.url}).encode()
        accepted(await sends.send(sends.claims(user)))
        assert user.risk is not None
