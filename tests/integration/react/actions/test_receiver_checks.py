"""The checks of webhooks and receivers before the first alert."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.react.actions.receiver_checks import check_jwks, check_provider
from forwarder.react.actions.security_event import SecurityEvents
from forwarder.react.actions.webhook import Webhooks
from forwarder.react.ports import Answer
from forwarder.react.settings.receivers import SetSettings
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.signing_keys import key_set, public_jwk
from forwarder.settings import read
from tests.fakes.clock import ManualClock
from tests.fakes.keys import pem, rsa_key
from tests.fakes.receivers import Receiver, Reply

KEY, OTHER = pem(rsa_key()), pem(rsa_key("other"))
JSON = {"Content-Type": "application/json"}
KID = public_jwk(KEY)["kid"]


async def checked(reply: Reply, **changes: Any) -> list[str]:
    """Return the problems of the keys that a server at `jwks` publishes; the texts have no address."""

    async def check(_: object) -> Reply:
        return reply

    async with Receiver(check) as server:
        settings = SetSettings(**{"issuer": "https://fw.example", "key": KEY, "jwks": server.url} | changes)
        return [line.replace(server.url, "URL") for line in await check_jwks(settings)]


def leaky() -> bytes:
    return json.dumps({"keys": [RSAAlgorithm.to_jwk(rsa_key(), as_dict=True) | {"kid": KID}]}).encode()


async def test_published_keys_without_a_difference_have_no_problem() -> None:
    assert await checked(Reply(200, JSON, key_set([KEY]))) == []
    assert await checked(Reply(200, JSON, key_set([OTHER, KEY]))) == []
    assert await checked(Reply(200, JSON, key_set([KEY, OTHER])), previous_key=OTHER) == []
    assert await checked(Reply(200, {"Content-Type": "Application/JSON; charset=utf-8"}, key_set([KEY]))) == []


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(404), "URL answers 404 instead of the keys; publish there the output of: forwarder reactions jwks"),
        (Reply(302, {"Location": "/x"}), "URL answers 302 instead of the keys; publish there"),
        (Reply(200, JSON, key_set([OTHER])), f"URL lacks the key {KID}; publish there"),
        (Reply(200, JSON, b"<html>"), "URL holds no set of keys (JWKS); publish there"),
        (Reply(200, JSON, b'{"keys": {}}'), f"URL lacks the key {KID}; publish there"),
        (Reply(200, JSON, b'{"keys": ["x"]}'), "URL holds no set of keys (JWKS); publish there"),
        (Reply(200, {"Content-Type": "text/plain"}, key_set([KEY])), "URL has the content type text/plain, but Okta accepts only application/json; publish"),
        (Reply(200, {}, key_set([KEY])), "URL has the content type nothing, but Okta"),
        (Reply(200, JSON, leaky()), f"URL publishes the private key {KID}; others can sign as you: replace this key now"),
        (Reply(200, JSON, json.dumps({"keys": [public_jwk(OTHER) | {"kid": KID}]}).encode()), f"URL has another key with the id {KID}; publish"),
    ],
    ids=["absent", "redirect", "another", "page", "odd set", "odd key", "type", "no type", "private", "same id"],  # the keys differ in each run
)  # fmt: skip
async def test_wrong_published_keys_are_problems_with_a_hint(reply: Reply, problem: str) -> None:
    (line,) = await checked(reply)
    assert line.startswith(f"reactions.set.jwks: {problem}")


async def test_keys_that_nobody_serves_are_a_problem() -> None:
    settings = SetSettings(issuer="http://127.0.0.1:1", key=KEY)
    (line,) = await check_jwks(settings)
    assert line.startswith(
        "reactions.set.issuer: http://127.0.0.1:1/.well-known/jwks.json: nothing listens there (connection refused); check"
    )


@pytest.mark.long
async def test_a_running_forwarder_serves_what_the_check_expects(tmp_path: Any) -> None:
    tree = {
        "orgs": {"acme": {"secrets": ["hook-secret"]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "archive.ndjson")}},
        "reactions": {"set": {"issuer": "https://fw.example", "key": KEY, "jwks": "serve"}},
    }
    forwarder = Forwarder(read(tree), SystemClock())
    await forwarder.start()
    try:
        issuer = f"http://{forwarder.server.address}"
        assert await check_jwks(SetSettings(issuer=issuer, key=KEY, jwks="serve")) == []
        (line,) = await check_jwks(SetSettings(issuer=issuer, key=OTHER, jwks="serve"))
        assert "lacks the key" in line
        (line,) = await check_jwks(SetSettings(issuer=f"{issuer}/elsewhere", key=KEY, jwks="serve"))
        assert (
            "answers 404 instead of the keys; let the proxy in front of `receiver.listen` pass /.well-known/jwks.json"
            in line
        )
    finally:
        await forwarder.stop(grace=0)


async def test_a_receiver_is_reachable_if_it_responds_with_any_status() -> None:
    async def check(_: object) -> Reply:
        return Reply(405)

    async with Receiver(check) as server:
        settings = ReactionsSettings(
            webhooks={"soc": {"url": server.url, "secret": "s"}, "gone": {"url": "http://127.0.0.1:1", "secret": "s"}},
            receivers={"risk": {"url": server.url, "audience": "a"}, "lost": {"url": "http://127.0.0.1:1", "audience": "a"}},
            set={"issuer": "https://fw.example", "key": KEY},
        )  # fmt: skip
        webhooks, events = (Webhooks(settings.webhooks, ManualClock()), SecurityEvents(settings, {}, ManualClock()))
        (gone,), (lost,) = await webhooks.problems(), await events.problems()
        await webhooks.close()
        await events.close()
        assert {(call.method, call.body) for call in server.calls} == {("OPTIONS", b"")}
    assert gone.startswith("reactions.webhooks.gone.url: http://127.0.0.1:1: nothing listens there")
    assert lost.startswith("reactions.receivers.lost.url: http://127.0.0.1:1: nothing listens there")


class Org:
    """An org that returns a list of its providers."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def ready(self, method: str, path: str) -> None:
        assert (method, path) == ("GET", "/api/v1/security-events-providers")

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        return self._answer


def provider(**changes: Any) -> dict[str, Any]:
    settings = {"issuer": "https://fw.example", "jwks_url": "https://fw.example/.well-known/jwks.json"}
    return {"id": "sse1", "name": "okta-forwarder", "status": "ACTIVE", "settings": settings} | changes


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        (Answer(200, [{"settings": None}, provider()]), []),
        (Answer(200, []), ["acme has no security events provider with the issuer https://fw.example; register it: docs/"]),
        (Answer(200, [provider(status="INACTIVE")]), ["the provider 'okta-forwarder' of acme is not active, so its events"]),
        (
            Answer(200, [provider(settings={"issuer": "https://fw.example", "jwks_url": "https://old.example/keys"})]),
            ["the provider 'okta-forwarder' of acme fetches the keys from https://old.example/keys, but they are at https://fw.example/.well-known/jwks.json; correct"],
        ),
        (Answer(403, text="Okta refused it"), ["cannot be checked, because the providers of acme cannot be read: Okta refused it (this needs the scope okta.securityEventsProviders.read)"]),
        (Answer(0, text="no response"), ["cannot be checked, because the providers of acme cannot be read: no response"]),
        (Answer(200, {"odd": 1}), ["cannot be checked, because the providers of acme cannot be read: Okta answers 200"]),
    ],
)  # fmt: skip
async def test_the_provider_in_okta_is_compared_with_the_configuration(answer: Answer, problems: list[str]) -> None:
    settings = SetSettings(issuer="https://fw.example", key=KEY, jwks="serve")
    found = await check_provider("okta", "acme", settings, Org(answer))
    assert len(found) == len(problems)
    for line, problem in zip(found, problems, strict=True):
        assert line.startswith(f"reactions.receivers.okta.org: {problem}")
