"""The API client as a service app: private_key_jwt and DPoP, checked by a server that has only the public key."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from forwarder.config.types import Secret
from forwarder.core.errors import OktaError, OktaRefusedError, OktaUnreachableError
from forwarder.okta.api.client import OktaClient
from forwarder.okta.api.errors import NoResponseError
from forwarder.okta.settings import ApiSettings
from tests.fakes.okta_client import HOOKS, LOGS, PATIENCE, app_client, clock_of, key_pair, passing
from tests.fakes.okta_server import CLIENT_ID, NONCE, OktaServer, Reply, oauth_refusal, refusal

KEY, PUBLIC = key_pair()
_, OTHER_PUBLIC = key_pair(2)


def _jwk() -> dict[str, Any]:
    key = load_pem_private_key(KEY.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"}


@pytest.fixture
async def server() -> AsyncIterator[OktaServer]:
    async with OktaServer(public_key=PUBLIC, dpop=False) as server:
        yield server


@pytest.fixture
async def client(server: OktaServer) -> AsyncIterator[OktaClient]:
    """Without DPoP, whose key the SDK takes seconds to make."""
    client = app_client(server, KEY, dpop=False)
    yield client
    await client.close()


@pytest.fixture
async def bound(server: OktaServer) -> AsyncIterator[OktaClient]:
    """With DPoP."""
    server.dpop = True
    client = app_client(server, KEY)
    yield client
    await client.close()


@pytest.mark.long
async def test_a_token_is_bound_by_dpop_with_the_servers_nonce(server: OktaServer, bound: OktaClient) -> None:
    await bound.call("GET", LOGS, query={"limit": "1"})
    await bound.call("POST", f"{HOOKS}/who1/lifecycle/verify")
    # The first ask is answered with the nonce; the token serves both calls.
    assert [call.path for call in server.calls] == ["/oauth2/v1/token"] * 2 + [LOGS, f"{HOOKS}/who1/lifecycle/verify"]
    assert server.token_calls[0].form["scope"] == "okta.eventHooks.read okta.eventHooks.manage okta.logs.read"
    proofs = [jwt.decode(call.headers["dpop"], options={"verify_signature": False}) for call in server.calls[1:]]
    assert proofs[0]["nonce"] == NONCE
    assert len({proof["jti"] for proof in proofs}) == 3
    assert all(call.headers["authorization"].startswith("DPoP ") for call in server.api_calls)

    # An API that wants a nonce of its own gets it.
    server.answers.append(oauth_refusal(401, "use_dpop_nonce", "nonce", ("dpop-nonce", "the-apis-own")))
    assert (await bound.call("GET", LOGS)).status == 200
    proof = jwt.decode(server.calls[-1].headers["dpop"], options={"verify_signature": False})
    assert proof["nonce"] == "the-apis-own"


@pytest.mark.long
async def test_a_jwk_is_accepted_and_its_kid_is_sent(server: OktaServer) -> None:
    jwk = _jwk() | {"kid": "key-7", "key_ops": ["sign"], "ext": True}
    client = app_client(server, json.dumps(jwk), dpop=False)
    await client.call("GET", LOGS)
    await client.close()
    assert jwt.get_unverified_header(server.token_calls[0].form["client_assertion"])["kid"] == "key-7"


@pytest.mark.long
async def test_a_pem_key_is_sent_with_the_configured_kid(server: OktaServer) -> None:
    settings = ApiSettings(client_id=CLIENT_ID, private_key=Secret(KEY), key_id="key-8", dpop=False)
    client = OktaClient(server.url, settings, 1.0, server.clock)
    await client.call("GET", LOGS)
    await client.close()
    assert jwt.get_unverified_header(server.token_calls[0].form["client_assertion"])["kid"] == "key-8"


@pytest.mark.long
async def test_without_dpop_the_token_is_a_bearers(server: OktaServer, client: OktaClient) -> None:
    await client.call("GET", LOGS)
    assert len(server.token_calls) == 1
    assert server.api_calls[0].headers["authorization"].startswith("Bearer ")
    assert "dpop" not in server.api_calls[0].headers


@pytest.mark.long
async def test_a_token_near_its_end_is_replaced(server: OktaServer, client: OktaClient) -> None:
    server.expires_in = 299  # less than the five minutes that a token must have left
    for _ in range(3):
        await client.call("GET", LOGS)
    assert server.tokens == 3


@pytest.mark.long
async def test_a_revoked_token_is_replaced_at_once(server: OktaServer, client: OktaClient) -> None:
    await client.call("GET", LOGS)
    server.revoke()
    await client.call("GET", LOGS)
    assert server.tokens == 2


@pytest.mark.long
async def test_a_call_fails_if_every_access_token_is_refused(server: OktaServer, client: OktaClient) -> None:
    server.otherwise = refusal(401, "E0000011", "Invalid token provided")
    with pytest.raises(OktaRefusedError, match=r"service app.*still active"):
        await client.call("GET", LOGS)
    assert len(server.api_calls) == 2


@pytest.mark.long
async def test_a_token_endpoint_with_an_error_is_asked_again(server: OktaServer, client: OktaClient) -> None:
    server.token_answers.extend(
        [refusal(503, "E0000009", "Internal Server Error"), Reply(429, b"<html>", content_type="text/html")]
    )
    # Even for what creates: the call itself has not gone out.
    await passing(clock_of(server), client.call("POST", HOOKS, body={"name": "x"}))
    assert len(server.api_calls) == 1


@pytest.mark.parametrize("status", [200, 201, 299])
async def test_a_call_that_got_no_token_does_not_count_as_carried_out(
    server: OktaServer, client: OktaClient, status: int
) -> None:
    server.token_answers.append(Reply(status, b'{"error":"invalid_client","error_description":"no"}'))
    result = await client.send_once("DELETE", "/api/v1/users/00u1/sessions")
    assert isinstance(result, NoResponseError)
    assert (result.sent, server.api_calls) == (False, [])
    assert f"answers {status} with the error invalid_client: no" in str(result)


@pytest.mark.long
@pytest.mark.parametrize(
    "answer",
    [
        Reply(hang_up=True),
        Reply(200, b"<html>welcome</html>", content_type="text/html"),
        Reply(200, b"[]"),
        Reply(200, b"{", content_type="application/json"),
        Reply(200, b'{"token_type":"DPoP"}'),
        Reply(200, b'{"error":"invalid_client","error_description":"no"}'),
        Reply(201, b'{"errorCode":"E0000011","errorSummary":"no"}'),
    ],
)
async def test_a_token_endpoint_that_returns_no_token_is_an_error(
    server: OktaServer, client: OktaClient, answer: Reply
) -> None:
    server.token_answers.extend([answer] * PATIENCE.attempts)
    with pytest.raises(OktaUnreachableError, match=f"GET {server.url}{LOGS}: .*; 3 attempts"):
        await passing(clock_of(server), client.call("GET", LOGS))
    assert server.api_calls == []


@pytest.mark.long
async def test_an_app_that_requires_dpop_and_gets_none_is_an_error_with_a_hint(
    server: OktaServer, client: OktaClient
) -> None:
    server.dpop = True
    with pytest.raises(OktaRefusedError, match=r"proof JWT header is missing.*`api\.dpop` is true") as caught:
        await client.call("GET", LOGS)
    assert caught.value.code == "invalid_dpop_proof"


@pytest.mark.long
async def test_a_scope_that_is_not_granted_is_an_error_with_a_hint(server: OktaServer, client: OktaClient) -> None:
    server.scopes = frozenset({"okta.logs.read"})
    with pytest.raises(
        OktaRefusedError, match=r"invalid_scope.*Okta API Scopes.*remove it from `api\.scopes`"
    ) as caught:
        await client.call("GET", LOGS)
    assert (caught.value.status, caught.value.code) == (400, "invalid_scope")


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "hint"),
    [("consent_required", "Okta API Scopes"), ("access_denied", "Okta API Scopes"), ("odd_error", "odd words")],
)
async def test_the_error_has_the_text_of_the_token_endpoint(
    server: OktaServer, client: OktaClient, code: str, hint: str
) -> None:
    server.token_answers.append(oauth_refusal(400, code, "odd words"))
    with pytest.raises(OktaRefusedError, match=f"POST {server.url}/oauth2/v1/token .400 {code}.*{hint}"):
        await client.call("GET", LOGS)


@pytest.mark.long
async def test_an_error_about_dpop_has_our_hint_not_the_advice_of_the_sdk(
    server: OktaServer, bound: OktaClient
) -> None:
    server.token_answers.append(oauth_refusal(400, "invalid_dpop_proof", "iat is off"))
    with pytest.raises(OktaRefusedError, match=r"invalid_dpop_proof: iat is off\).*the clock") as caught:
        await bound.call("GET", LOGS)
    assert "SDK" not in str(caught.value)


@pytest.mark.long
async def test_a_wrong_key_is_an_error_with_a_hint(server: OktaServer, client: OktaClient) -> None:
    server.public_key = OTHER_PUBLIC
    with pytest.raises(OktaRefusedError, match=r"invalid_client.*`api\.client_id`.*`api\.private_key`"):
        await client.call("GET", LOGS)


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PRIVATE KEY-----\nplanted0garbage0\n-----END PRIVATE KEY-----",
        '{"kty": "RSA", "n": "planted0garbage0"}',
        "{planted0garbage0",
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode(),
        load_pem_private_key(KEY.encode(), None)
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"planted"))
        .decode(),
    ],
    ids=["no PEM", "half a JWK", "no JSON", "EC", "with a password"],
)
async def test_a_key_that_cannot_sign_is_an_error_that_does_not_show_the_key(server: OktaServer, key: str) -> None:
    settings = ApiSettings.model_construct(client_id=CLIENT_ID, private_key=Secret(key))
    client = OktaClient(server.url, settings, 1.0, server.clock)
    with pytest.raises(OktaError, match=r"cannot use api\.private_key") as caught:
        await client.call("GET", LOGS)
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert server.calls == []


@pytest.mark.long
async def test_signing_a_call_costs_little(server: OktaServer, bound: OktaClient) -> None:
    await bound.call("GET", LOGS)
    before = time.process_time()  # not of the wall: other processes must not matter
    for _ in range(10):
        await bound.call("GET", LOGS)
    # The SDK by itself reads its key again for each call: 120 ms or more, in which nobody else is answered.
    assert time.process_time() - before < 0.6


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "[" * 5_000 + "]" * 5_000),
        (400, "[" * 5_000 + "]" * 5_000),
        (200, json.dumps({"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer", "expires_in": 3600})),
        (200, json.dumps({"access_token": "a\x00b", "token_type": "Bearer", "expires_in": 3600})),
    ],
)
async def test_a_token_that_cannot_be_read_or_sent_is_an_okta_error(
    server: OktaServer, client: OktaClient, status: int, body: str
) -> None:
    server.token_answers.extend([Reply(status, body.encode())] * 10)
    with pytest.raises(OktaUnreachableError) as caught:
        await passing(clock_of(server), client.call("GET", LOGS))
    assert "X-Evil" not in str(caught.value)
    assert server.api_calls == []
