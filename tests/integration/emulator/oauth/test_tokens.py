"""Access tokens and proofs, with a client that makes them itself and so can make them wrong."""

import base64
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from forwarder.core.ports import Clock
from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import HOOKS, LOGS, assert_error, running

APP = "0oaplanted0app000000"
NOW = 1_767_268_800
_numbers = itertools.count()


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """A key of its own for each name."""
    return ec.generate_private_key(ec.SECP256R1())


def jwk(name: str, *, private: bool = False) -> dict[str, Any]:
    pair = key(name)
    tree: dict[str, Any] = ECAlgorithm.to_jwk(pair if private else pair.public_key(), as_dict=True)
    return tree


def pem(name: str) -> str:
    public = key(name).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def sign(claims: dict[str, Any], name: str, **header: Any) -> str:
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key(name), "ES256", header)


@dataclass
class Caller:
    """A service app.

    Attributes:
        client: of HTTP, without credentials.
        url: the org's.
        clock: the org's.
    """

    client: httpx.AsyncClient
    url: str
    clock: ManualClock
    nonce: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def now(self) -> int:
        return self.clock.now() // 1_000_000

    def assertion(self, name: str = "app", **changes: Any) -> str:
        claims = {
            "iss": APP,
            "sub": APP,
            "aud": f"{self.url}/oauth2/v1/token",
            "iat": self.now,
            "exp": self.now + 3000,
            "jti": f"assertion {next(_numbers)}",
        }
        return sign(claims | changes, name)

    def proof(
        self,
        method: str = "POST",
        path: str = "/oauth2/v1/token",
        *,
        name: str = "proof",
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        claims = {
            "htm": method,
            "htu": self.url + path,
            "iat": self.now,
            "jti": f"proof {next(_numbers)}",
            "nonce": self.nonce,
        }
        return sign(claims | changes, name, **{"typ": "dpop+jwt", "jwk": jwk(name)} | (header or {}))

    def form(self, **changes: Any) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "scope": "okta.logs.read okta.eventHooks.read",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(),
        } | changes

    async def ask(self, proof: str | None, **changes: Any) -> httpx.Response:
        headers = {"DPoP": proof} if proof else {}
        return await self.client.post("/oauth2/v1/token", data=self.form(**changes), headers=headers)

    async def token(self, **changes: Any) -> str:
        """A token that is bound to the key `proof`."""
        if self.nonce is None:
            self.nonce = (await self.ask(self.proof())).headers["dpop-nonce"]
        answer = await self.ask(self.proof(), **changes)
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "DPoP"
        text: str = answer.json()["access_token"]
        return text

    async def get(self, path: str, token: str, proof: str | None) -> httpx.Response:
        headers = {"Authorization": f"DPoP {token}"} | ({"DPoP": proof} if proof else {})
        return await self.client.get(path, headers=headers)

    def api_proof(self, token: str, path: str = LOGS, **changes: Any) -> str:
        ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
        return self.proof("GET", path, **{"ath": ath, "nonce": None} | changes)


@asynccontextmanager
async def calling(clock: Clock | None = None, **app_changes: Any) -> AsyncIterator[Caller]:
    at = clock or ManualClock()
    assert isinstance(at, ManualClock)
    keys = [pem("old"), json.dumps(jwk("app"))]
    async with (
        running(at, clients={APP: {"keys": keys, **app_changes}}) as service,
        httpx.AsyncClient(base_url=service.org.settings.url, trust_env=False, verify=False) as client,
    ):
        yield Caller(client, service.org.settings.url, at)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as caller:
        yield caller


def assert_oauth(answer: httpx.Response, status: int, code: str, reason: str = "") -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert reason in answer.json()["error_description"]


# --- the token endpoint


async def test_a_first_proof_is_answered_with_a_nonce_and_the_second_with_a_token(caller: Caller) -> None:
    first = await caller.ask(caller.proof())
    assert_oauth(first, 400, "use_dpop_nonce")
    caller.nonce = first.headers["dpop-nonce"]
    second = (await caller.ask(caller.proof())).json()
    assert (second["token_type"], second["expires_in"]) == ("DPoP", 3600)
    assert set(second["scope"].split()) == {"okta.logs.read", "okta.eventHooks.read"}


async def test_an_app_without_dpop_gets_a_bearers_token() -> None:
    async with calling(dpop=False) as caller:
        answer = (await caller.ask(None)).json()
        assert answer["token_type"] == "Bearer"
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert (await caller.client.get(LOGS, headers=headers)).json() == []


async def test_an_app_may_send_its_parameters_in_the_query_as_oktas_go_client_does() -> None:
    async with calling(dpop=False) as caller:
        form = caller.form()
        answer = await caller.client.post("/oauth2/v1/token", params=form)
        assert answer.json()["token_type"] == "Bearer"
        form = caller.form(login_hint="nobody@example.com")
        assert_oauth(await caller.client.post("/oauth2/v1/bc/authorize", params=form), 401, "invalid_client")
        (call,) = (await caller.client.get("/emulator/calls")).json()
        assert "login_hint=nobody%40example.com" in call["path"]
        assert form["client_assertion"] not in json.dumps(call)


async def test_an_app_with_dpop_gets_nothing_without_a_proof(caller: Caller) -> None:
    assert_oauth(await caller.ask(None), 400, "invalid_dpop_proof", "header is missing")


async def test_a_nonce_is_new_each_day_and_good_for_three(caller: Caller) -> None:
    nonces = []
    for _ in range(4):
        caller.nonce = None
        nonces.append((await caller.ask(caller.proof())).headers["dpop-nonce"])
        caller.nonce = nonces[0]
        worked = (await caller.ask(caller.proof())).status_code
        assert worked == (200 if len(nonces) < 4 else 400)
        await caller.clock.advance(86_401)
    assert len(set(nonces)) == 4


async def test_every_key_of_an_app_counts(caller: Caller) -> None:
    for name in ("old", "app"):
        await caller.token(client_assertion=caller.assertion(name))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "strange"}, "signature"),
        ({"sub": "0oaother"}, "sub"),
        ({"iss": "0oaother"}, "client_id"),
        ({"iss": None}, "client_id"),
        ({"aud": "https://elsewhere.example.com/oauth2/v1/token"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {"x": "y"}}, "aud"),
        ({"exp": NOW - 100}, "expired"),
        ({"exp": None}, "seconds since epoch"),
        ({"exp": NOW + 7200}, "too far"),
    ],
)
async def test_an_assertion_that_does_not_hold_gets_no_token(
    caller: Caller, changes: dict[str, Any], reason: str
) -> None:
    answer = await caller.ask(caller.proof(), client_assertion=caller.assertion(**changes))
    assert_oauth(answer, 401, "invalid_client", reason)


async def test_an_assertion_is_used_up_by_a_call_that_only_gets_a_nonce(caller: Caller) -> None:
    once = caller.assertion()
    answer = await caller.ask(caller.proof(), client_assertion=once)
    caller.nonce = answer.headers["dpop-nonce"]
    again = await caller.ask(caller.proof(), client_assertion=once)
    assert_oauth(again, 401, "invalid_client", "already been used")


@pytest.mark.parametrize("wrong", ["", "x", "a.b.c", "e30.e30.e30"])
async def test_what_is_no_assertion_or_no_proof_is_refused(caller: Caller, wrong: str) -> None:
    answer = await caller.ask(caller.proof(), client_assertion=wrong)
    assert_oauth(answer, 401, "invalid_client")
    if wrong:
        assert_oauth(await caller.ask(wrong), 400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"client_assertion_type": "x"}, 401, "invalid_client"),
        ({"scope": "okta.apps.manage"}, 400, "invalid_scope"),
        ({"scope": ""}, 400, "invalid_scope"),
    ],
)
async def test_what_okta_does_not_give_is_refused(
    caller: Caller, changes: dict[str, str], status: int, code: str
) -> None:
    await caller.token()
    assert_oauth(await caller.ask(caller.proof(), **changes), status, code)


PROOFS: list[tuple[dict[str, Any], str]] = [
    ({"htm": "PUT"}, "htm"),
    ({"htu": "https://elsewhere.example.com/"}, "htu"),
    ({"htu": ["x"]}, "htu"),
    ({"iat": NOW - 600}, "iat"),
    ({"iat": NOW + 600}, "iat"),
    ({"iat": None}, "iat"),
    ({"iat": 10**400}, "iat"),
    ({"iat": -(10**400)}, "iat"),
    ({"jti": None}, "jti"),
    ({"header": {"typ": "JWT"}}, "typ"),
    ({"header": {"jwk": None}}, "jwk"),
    ({"header": {"jwk": {"kty": "oct"}}}, "malformed"),
    ({"header": {"jwk": jwk("proof") | {"alg": "none"}}}, "malformed"),
    ({"header": {"jwk": jwk("proof", private=True)}}, "jwk"),
    ({"header": {"jwk": jwk("strange")}}, "signature"),
]


@pytest.mark.parametrize(("changes", "reason"), PROOFS)
async def test_a_proof_that_does_not_hold_gets_no_token(caller: Caller, changes: dict[str, Any], reason: str) -> None:
    await caller.token()
    assert_oauth(await caller.ask(caller.proof(**changes)), 400, "invalid_dpop_proof", reason)


# --- the API


async def test_a_bound_token_opens_the_api_with_a_new_proof_for_each_call(caller: Caller) -> None:
    token = await caller.token()
    for path in (f"{LOGS}?limit=3", HOOKS):
        proof = caller.api_proof(token, path.partition("?")[0])
        assert (await caller.get(path, token, proof)).status_code == 200
        assert_oauth(await caller.get(path, token, proof), 400, "invalid_dpop_proof", "already been used")


@pytest.mark.parametrize(("changes", "reason"), [*PROOFS, ({"ath": None}, "ath"), ({"ath": "x"}, "ath")])
async def test_a_proof_that_does_not_hold_opens_nothing(caller: Caller, changes: dict[str, Any], reason: str) -> None:
    token = await caller.token()
    answer = await caller.get(LOGS, token, caller.api_proof(token, **changes))
    assert_oauth(answer, 400, "invalid_dpop_proof", reason)


async def test_a_proof_for_the_url_with_its_query_opens_nothing(caller: Caller) -> None:
    token = await caller.token()
    answer = await caller.get(f"{LOGS}?limit=3", token, caller.api_proof(token, f"{LOGS}?limit=3"))
    assert_oauth(answer, 400, "invalid_dpop_proof", "htu")


@pytest.mark.parametrize("login", ["user01%40example.com", "user01@example.com", "user01%40example%2ecom"])
async def test_a_proof_for_a_path_with_escapes_opens_the_api(caller: Caller, login: str) -> None:
    token, path = await caller.token(scope="okta.users.read"), f"/api/v1/users/{login}"
    assert (await caller.get(path, token, caller.api_proof(token, path))).status_code == 200


async def test_a_proof_by_another_key_opens_nothing(caller: Caller) -> None:
    token = await caller.token()
    answer = await caller.get(LOGS, token, caller.api_proof(token, name="strange"))
    assert_oauth(answer, 401, "invalid_dpop_key_binding")


async def test_a_bound_token_opens_nothing_without_its_proof_or_as_a_bearers(caller: Caller) -> None:
    token = await caller.token()
    assert_oauth(await caller.get(LOGS, token, None), 400, "invalid_dpop_proof")
    answer = await caller.client.get(LOGS, headers={"Authorization": f"Bearer {token}"})
    assert_error(answer, 401, "E0000011")


async def test_a_token_ends_after_an_hour(caller: Caller) -> None:
    token = await caller.token()
    await caller.clock.advance(3599)
    assert (await caller.get(LOGS, token, caller.api_proof(token))).status_code == 200
    await caller.clock.advance(1)
    answer = await caller.get(LOGS, token, caller.api_proof(token))
    assert_error(answer, 401, "E0000011")
    assert "invalid_token" in answer.headers["www-authenticate"]


async def test_a_token_opens_what_its_scopes_name(caller: Caller) -> None:
    token = await caller.token(scope="okta.eventHooks.read")
    assert (await caller.get(HOOKS, token, caller.api_proof(token, HOOKS))).status_code == 200
    answer = await caller.get(LOGS, token, caller.api_proof(token))
    assert_error(answer, 403, "E0000006")
    assert "insufficient_scope" in answer.headers["www-authenticate"]


async def test_users_me_needs_its_own_scope() -> None:
    async with calling(scopes=["okta.users.read", "okta.logs.read"]) as caller:
        path = "/api/v1/users/me"
        token = await caller.token(scope="okta.users.read")
        assert (await caller.get(path, token, caller.api_proof(token, path))).status_code == 200
        other = await caller.token(scope="okta.logs.read")
        answer = await caller.get(path, other, caller.api_proof(other, path))
        assert_error(answer, 403, "E0000006")


async def test_the_audience_may_be_one_of_several_and_in_another_spelling(caller: Caller) -> None:
    endpoint = f"{caller.url}/oauth2/v1/token"
    caller.nonce = (await caller.ask(caller.proof())).headers["dpop-nonce"]
    for audience in (endpoint.replace("http", "HTTP"), ["https://elsewhere.example.com", endpoint]):
        answer = await caller.ask(caller.proof(), client_assertion=caller.assertion(aud=audience))
        assert answer.status_code == 200, answer.text


async def test_scopes_help_nothing_without_an_admin_role() -> None:
    async with calling(admin=False) as caller:
        token = await caller.token()
        answer = await caller.get(LOGS, token, caller.api_proof(token))
        assert_error(answer, 403, "E0000006")
        assert "www-authenticate" not in answer.headers


async def test_each_app_has_its_half_of_the_limit() -> None:
    clock = ManualClock()
    apps = {APP: {"keys": [pem("app")], "dpop": False}}
    async with (
        running(clock, clients=apps, logs_per_minute=4) as service,
        httpx.AsyncClient(base_url=service.org.settings.url, trust_env=False, verify=False) as client,
    ):
        text = (await Caller(client, service.org.settings.url, clock).ask(None)).json()["access_token"]
        headers = {"Authorization": f"Bearer {text}"}
        codes = [(await client.get(LOGS, headers=headers)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        assert (await service.client.get(LOGS)).status_code == 200
