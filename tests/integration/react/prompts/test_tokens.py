"""Only an id_token that proves who approved is an approval, and no token is kept, logged or shown."""

import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import jwt
import msgspec
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options
from msgspec.structs import replace

from forwarder.core.action import Action
from forwarder.core.redaction import redact
from forwarder.core.time import SECOND
from forwarder.react.ports import Answer
from forwarder.react.prompts.asking import Prompts
from forwarder.react.prompts.oauth import CibaApp
from forwarder.react.prompts.results import Handle, PromptProgress
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.hook_receiver import Call
from tests.fakes.keys import pem, rsa_key
from tests.fakes.receivers import Receiver, Reply
from tests.unit.react.prompts.rows import ask, prompt

USER, APP = "00u1", "0oaciba"
ACCESS_TOKEN = "planted-access-token-9d1c77"
NOW = NOON // SECOND + 5


class Users:
    """An org's API with one user; also the `Okta` port that returns it."""

    def org(self, _name: str) -> "Users":
        return self

    async def ready(self, method: str, path: str) -> None:
        """Return at once."""

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        assert (method, path, query, body) == ("GET", f"/api/v1/users/{USER}", None, None)
        return Answer(200, {"id": USER, "profile": {"login": "jane@corp.example"}})


class Server:
    """An authorization server whose id_token a test chooses."""

    def __init__(self, token: Callable[[dict[str, Any]], Any]) -> None:
        self.token = token
        self.url = ""
        self.keys = [{**RSAAlgorithm.to_jwk(rsa_key("okta").public_key(), as_dict=True), "kid": "k1", "use": "sig"}]
        self.forms: list[dict[str, str]] = []
        self.claims: list[dict[str, Any]] = []
        self.issued = ""
        self.replies: dict[str, Reply] = {}

    async def answer(self, call: Call) -> Reply:
        path = call.path.removeprefix("/oauth2/aus1/v1/")
        if path in self.replies:
            return self.replies[path]
        if path == "keys":
            return Reply(200, body=json.dumps({"keys": self.keys}).encode())
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        self.forms.append(form)
        key = rsa_key().public_key()
        checks: Options = {"verify_exp": False, "verify_iat": False}
        url = self.url + call.path
        self.claims.append(jwt.decode(form["client_assertion"], key, ["RS256"], checks, audience=url))
        if path == "bc/authorize":
            return Reply(200, body=b'{"auth_req_id":"ft.planted_1-x","expires_in":300,"interval":5}')
        issuer = f"{self.url}/oauth2/aus1"
        claims = {"iss": issuer, "aud": APP, "sub": USER, "iat": NOW, "exp": NOW + 3600, "jti": "1"}
        made = self.token(claims)
        self.issued = made if isinstance(made, str) else ""
        tokens = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600, "scope": "openid"}
        return Reply(200, body=json.dumps(tokens | ({} if made is None else {"id_token": made})).encode())


def signed(claims: dict[str, Any], *, by: str = "okta", kid: Any = "k1", algorithm: str = "RS256") -> str:
    return jwt.encode(claims, rsa_key(by), algorithm, headers={"kid": kid})


@asynccontextmanager
async def asked(
    token: Callable[[dict[str, Any]], Any] = signed,
) -> AsyncIterator[tuple[Server, Prompts, Action, ManualClock]]:
    """Return a prompt that waits for an answer, five seconds after it was sent."""
    server, clock = Server(token), ManualClock()
    async with Receiver(server.answer) as http:
        server.url = http.url.removesuffix("/events")
        app = CibaApp(server.url, APP, pem(rsa_key()), server="aus1")
        prompts = Prompts(Users(), {"acme": app}, clock)
        row = prompt(USER, settings={"by": "ciba"}, called_at=NOON)
        try:
            sent = await ask(prompts, row)
            await clock.advance(5)
            yield server, prompts, _with(row, sent), clock
        finally:
            await prompts.close()


def _with(row: Action, progress: PromptProgress) -> Action:
    return replace(row, handle=progress.handle)


@pytest.mark.long
async def test_a_token_that_names_org_app_and_user_is_an_approval() -> None:
    async with asked() as (server, prompts, row, _):
        assert (await prompts.poll(row)).answer == "approved"
    ask, poll = server.forms
    assert ask["login_hint"] == "jane@corp.example"
    assert (ask["scope"], ask["request_expiry"]) == ("openid", "300")
    assert (poll["grant_type"], poll["auth_req_id"]) == ("urn:openid:params:grant-type:ciba", "ft.planted_1-x")
    assert poll.keys() == {"grant_type", "auth_req_id", "client_assertion_type", "client_assertion"}
    assert {claims["iss"] for claims in server.claims} == {claims["sub"] for claims in server.claims} == {APP}
    assert len({claims["jti"] for claims in server.claims}) == 2


EC = ec.generate_private_key(ec.SECP256R1())
FORGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "none at all": (lambda _: None, "the response has no id_token"),
    "a number": (lambda _: 7, "the response has no id_token"),
    "no token": (lambda _: "x.y.z", "cannot be read"),
    "other issuer": (lambda claims: signed(claims | {"iss": "https://evil.example"}), "another issuer"),
    "other server of the org": (
        lambda claims: signed(claims | {"iss": claims["iss"].removesuffix("aus1") + "default"}),
        "another issuer",
    ),
    "other app": (lambda claims: signed(claims | {"aud": "0oaother"}), "another app"),
    "other user": (lambda claims: signed(claims | {"sub": "00u2"}), "another user"),
    "old": (lambda claims: signed(claims | {"iat": NOW - 600}), "issued before"),
    "of the future": (lambda claims: signed(claims | {"iat": NOW + 600}), "issued before"),
    "expired": (lambda claims: signed(claims | {"exp": NOW - 61}), "expired"),
    "other key": (lambda claims: signed(claims, by="evil"), "signature"),
    "unknown key": (lambda claims: signed(claims, kid="k2"), "does not publish"),
    "no key": (lambda claims: jwt.encode(claims, rsa_key("okta"), "RS256"), "does not publish"),
    "unsigned": (lambda claims: jwt.encode(claims, "", "none", headers={"kid": "k1"}), "not signed with RS256"),
    "other algorithm": (lambda claims: jwt.encode(claims, EC, "ES256", headers={"kid": "k1"}), "not signed with RS256"),
    "iat is a text": (lambda claims: signed(claims | {"iat": "now"}), ""),
    "no exp": (lambda claims: signed({k: v for k, v in claims.items() if k != "exp"}), "lacks a claim"),
    "no sub": (lambda claims: signed({k: v for k, v in claims.items() if k != "sub"}), "lacks a claim"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", FORGED)
async def test_any_other_token_leaves_the_answer_unknown(case: str) -> None:
    token, why = FORGED[case]
    async with asked(token) as (_, prompts, row, _):
        progress = await prompts.poll(row)
    assert progress.answer == "unknown"
    assert "does not prove" in progress.detail
    assert why in progress.detail


@pytest.mark.long
async def test_a_key_that_the_server_has_changed_is_fetched() -> None:
    async with asked(lambda claims: signed(claims, by="new", kid="k2")) as (server, prompts, row, clock):
        tokens = server.replies
        tokens["token"] = Reply(400, body=b'{"error":"authorization_pending"}')
        assert (await prompts.poll(row)).handle
        del tokens["token"]
        server.keys = [{**RSAAlgorithm.to_jwk(rsa_key("new").public_key(), as_dict=True), "kid": "k2"}]
        await clock.advance(5)
        assert (await prompts.poll(row)).answer == "approved"


@pytest.mark.parametrize("more", [{"d": "_" * 40_000}, {"d": "AQ", "p": 5}, {"d": "AQ", "oth": [{}]}])
async def test_only_the_public_part_of_a_published_key_is_read(more: dict[str, Any]) -> None:
    async with asked() as (server, prompts, row, _):
        server.keys = [key | more for key in server.keys]
        before = time.process_time()
        assert (await prompts.poll(row)).answer == "approved"
        assert time.process_time() - before < 0.5


async def test_nothing_is_polled_while_an_approval_could_not_be_checked() -> None:
    async with asked() as (server, prompts, row, clock):
        for reply in (Reply(503), Reply(200, body=b"{}"), Reply(200, body=b'{"keys":[{"kid":"k1","kty":"RSA"}]}')):
            server.replies["keys"] = reply
            progress = await prompts.poll(row)
            assert progress.handle
            assert "could not be checked" in progress.detail
            assert len(server.forms) == 1
            await clock.advance(5)
        del server.replies["keys"]
        assert (await prompts.poll(row)).answer == "approved"


@pytest.mark.parametrize(
    ("reply", "answer", "failed"),
    [
        (Reply(401, body=b'{"error":"invalid_client","error_description":"no"}'), None, True),
        (Reply(400, body=b'{"error":"invalid_scope"}'), None, True),
        (Reply(400, body=b'{"error":"unauthorized_client"}'), None, True),
        (Reply(302, {"location": "https://evil.example"}), None, True),
        (Reply(404, body=b"<html>"), None, True),
        (Reply(400, body=b'{"errorCode":"E0000214","errorSummary":"no enrolment"}'), "unreachable", False),
        (Reply(400, body=b'{"error":"unknown_user_id"}'), "unreachable", False),
        (Reply(200, body=b"{}"), "unknown", False),
        (Reply(200, body=b'{"auth_req_id":"a b\\u0000"}'), "unknown", False),
        (Reply(200, body=b"<html>"), "unknown", False),
        (Reply(500, body=b"oops"), "unknown", False),
        (Reply(504), "unknown", False),
        (Reply(429, {"retry-after": "7"}), None, False),
    ],
)
async def test_each_answer_to_the_call_that_asks_has_its_meaning(
    reply: Reply, answer: str | None, *, failed: bool
) -> None:
    async with asked() as (server, prompts, row, clock):
        server.replies["bc/authorize"] = reply
        progress = await ask(prompts, row)
        assert (progress.answer, progress.failed, progress.handle) == (answer, failed, "")
        assert progress.detail
        if answer is None and not failed:
            assert progress.due == clock.now() + 7 * SECOND


@pytest.mark.parametrize("odd", ["1e300", "1" + "0" * 400, "-1", "0", '"300"', "null", "[300]", "true", "1e-300"])
async def test_an_odd_time_in_the_answer_is_replaced_or_bounded(odd: str) -> None:
    async with asked() as (server, prompts, row, clock):
        body = f'{{"auth_req_id":"ft.1","expires_in":{odd},"interval":{odd}}}'
        server.replies["bc/authorize"] = Reply(200, body=body.encode())
        progress = await ask(prompts, row)
        assert progress.due is not None
        assert clock.now() + SECOND <= progress.due <= clock.now() + 300 * SECOND
        assert msgspec.json.decode(progress.handle, type=Handle).expires <= clock.now() + 3600 * SECOND


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply(403, body=b'{"error":"access_denied"}'), "denied"),
        (Reply(400, body=b'{"error":"access_denied"}'), "denied"),
        (Reply(400, body=b'{"error":"expired_token"}'), "timeout"),
        (Reply(400, body=b'{"error":"invalid_grant"}'), "timeout"),
        (Reply(401, body=b'{"error":"invalid_client"}'), "unknown"),
        (Reply(400, body=b'{"error":"slow_down"}'), None),
        (Reply(503, {"retry-after": "30"}), None),
    ],
)
async def test_each_answer_to_a_poll_has_its_meaning(reply: Reply, answer: str | None) -> None:
    async with asked() as (server, prompts, row, clock):
        server.replies["token"] = reply
        progress = await prompts.poll(row)
        assert progress.answer == answer
        if answer is None:
            assert progress.due == clock.now() + (30 if reply.headers else 10) * SECOND


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 407, 451, 503])
@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"message":"blocked"}'])
async def test_the_page_of_a_proxy_in_place_of_an_answer_does_not_end_the_prompt(status: int, body: bytes) -> None:
    async with asked() as (server, prompts, row, clock):
        server.replies["token"] = Reply(status, body=body)
        progress = await prompts.poll(row)
        if (status, body[:1]) == (200, b"{"):  # an object without an id_token is an answer that proves nothing
            assert progress.answer == "unknown"
            return
        assert (progress.answer, progress.due) == (None, clock.now() + 5 * SECOND)
        assert progress.detail
        del server.replies["token"]
        await clock.advance(5)
        assert (await prompts.poll(_with(row, progress))).answer == "approved"


@pytest.mark.long
async def test_a_call_to_a_server_that_is_down_counts_as_not_sent() -> None:
    async with asked() as (_, _, row, clock):
        app = CibaApp("http://127.0.0.1:1", APP, pem(rsa_key()))
        prompts = Prompts(Users(), {"acme": app}, clock)
        progress = await ask(prompts, row)
        assert (progress.answer, progress.failed, progress.handle, progress.due) == (None, False, "", None)
        assert "nothing listens" in progress.detail
        await prompts.close()


@pytest.mark.long
@pytest.mark.parametrize("case", [None, *FORGED])
async def test_no_token_assertion_or_key_is_in_a_row_a_log_or_an_object(
    case: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        async with asked(FORGED[case][0] if case else signed) as (server, prompts, row, _):
            try:
                progress = await prompts.poll(row)
            except Exception:  # noqa: BLE001  # none may come; and if, then without a secret
                progress = PromptProgress(detail=traceback.format_exc())
            kept = repr((row, progress, prompts, vars(prompts))) + str(lines) + caplog.text
            kept += "".join(repr(vars(each)) for each in (*prompts._servers.values(), *prompts._tokens.values()))
    secrets = [ACCESS_TOKEN, *(form["client_assertion"] for form in server.forms), pem(rsa_key())[100:160]]
    secrets += [part for part in server.issued.split(".") if len(part) > 5]
    assert [secret for secret in secrets if secret in kept] == []
    assert redact(kept) == kept
