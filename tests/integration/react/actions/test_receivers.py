"""The requests to webhooks and receivers, over real sockets, and the consequence of each response."""

import gzip
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from forwarder.config.types import Secret
from forwarder.core.action import ActionTarget
from forwarder.core.errors import SettingsError
from forwarder.react.actions.security_event import CAEP_EVENT, OKTA_EVENT, OKTA_PATH, Risk, SecurityEvents
from forwarder.react.actions.webhook import Webhooks
from forwarder.react.ports import Answer
from forwarder.react.settings.receivers import WebhookSettings
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.signing_keys import key_set
from tests.certificates import make_certificate
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.keys import pem, rsa_key
from tests.fakes.receivers import Receiver, Reply, risk_receiver, verified, webhook_receiver

ALERT = b'{"uuid":"a1","eventType":"forwarder.alert","forwarder":{"alert":{}}}'
ISSUER = "https://fw.example"
KEY, OTHER = pem(rsa_key()), pem(rsa_key("other"))
RISK = Risk("key-of-the-action", "acme", ActionTarget("user", "00u1", "ada@corp.example"), "high", "Push fatigue", NOON)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment must not change where webhooks go; Okta's receiver uses it, as Okta's API does."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class RealTime(ManualClock):
    """The real clock, because the library of Standard Webhooks compares with it."""

    def __init__(self) -> None:
        import time  # noqa: PLC0415

        super().__init__(round(time.time() * 1_000_000))


async def notify(url: str, secret: str = "planted-soc-secret", body: bytes = ALERT, **options: Any) -> Answer:
    webhooks = Webhooks({"soc": WebhookSettings(url=url, secret=secret, **options)}, RealTime())
    try:
        return await webhooks.send("soc", "id-1", body)
    finally:
        await webhooks.close()


def keys_of(*keys: str) -> Any:
    async def keys_now() -> bytes:
        return key_set(keys)

    return keys_now


def risk_settings(receiver: dict[str, Any], key: str = KEY) -> ReactionsSettings:
    return ReactionsSettings(receivers={"it": receiver}, set={"issuer": ISSUER, "key": key})


async def report(settings: ReactionsSettings, org_url: str = "https://acme.okta.com", risk: Risk = RISK) -> Answer:
    events = SecurityEvents(settings, {"acme": org_url}, ManualClock())
    try:
        claims = events.claims("it", risk)
        assert claims is not None
        return await events.send("it", claims)
    finally:
        await events.close()


# --- webhooks


async def test_a_webhook_is_accepted_by_a_receiver_that_checks_it() -> None:
    async with webhook_receiver(b"planted-soc-secret") as receiver:
        answer = await notify(receiver.url)
        assert (answer.status, answer.ok, answer.text) == (204, True, "")
        (call,) = receiver.calls
        assert call.body == ALERT
        assert call.headers["content-type"] == "application/json"
        assert call.headers["webhook-id"] == "id-1"
        assert "planted" not in str(call.headers)


async def test_a_wrong_secret_is_an_error_with_a_hint() -> None:
    async with webhook_receiver(b"other-secret") as receiver:
        answer = await notify(receiver.url)
        assert (answer.status, answer.is_retryable) == (401, False)
        assert answer.text == (
            f"{receiver.url} answers 401: No matching signature found; compare `secret` on both sides, and both clocks: "
            "a receiver refuses webhooks older than 5 minutes"
        )


async def test_both_secrets_of_a_rotation_are_accepted() -> None:
    for known in (b"new-secret-of-soc", b"planted-soc-secret"):
        async with webhook_receiver(known) as receiver:
            answer = await notify(receiver.url, "new-secret-of-soc", previous_secret="planted-soc-secret")
            assert answer.ok


async def test_a_repetition_has_the_same_id() -> None:
    async with webhook_receiver(b"planted-soc-secret") as receiver:
        receiver.replies.append(Reply(503))
        assert (await notify(receiver.url)).is_retryable
        assert (await notify(receiver.url)).ok
        assert [call.headers["webhook-id"] for call in receiver.calls] == ["id-1", "id-1"]


@pytest.mark.parametrize(
    ("reply", "again", "text"),
    [
        (Reply(200), False, ""),
        (Reply(202), False, ""),
        (Reply(301, {"Location": "http://127.0.0.1:1/x?token=y"}), False, "answers 301: redirect to http://127.0.0.1:1/x; redirects are not followed; write the right address in reactions.webhooks.soc.url"),
        (Reply(403), False, "answers 403; compare `secret` on both sides"),
        (Reply(404), False, "answers 404; check the path of reactions.webhooks.soc.url"),
        (Reply(410), False, "answers 410; the server no longer accepts anything at this URL; correct or remove reactions.webhooks.soc.url"),
        (Reply(422, body=b'{"detail": "no such field"}'), False, "answers 422: no such field; ask the operators of the server"),
        (Reply(408), True, "answers 408; the request is tried again"),
        (Reply(425), True, "answers 425; the request is tried again"),
        (Reply(429), True, "answers 429; the request is tried again"),
        (Reply(500, body=b"<h1>Oops</h1>"), True, "answers 500: <h1>Oops</h1>; the request is tried again"),
        (Reply(503, body=b"planted-soc-secret\n\x1b[2J"), True, r"answers 503: ***\n\x1b[2J; the request is tried again"),
        (Reply(500, body=b"x" * 100_000), True, "answers 500; the request is tried again"),
        (Reply(500, {"Content-Encoding": "gzip"}, gzip.compress(b"too bad")), True, "answers 500: too bad; the request is"),
        (Reply(500, {"Content-Encoding": "br"}, b"?"), True, "answers 500; the request is tried again"),
        (Reply(400, body=b"[" * 60_000), False, "answers 400: [[["),
    ],
)  # fmt: skip
async def test_each_status_has_its_consequence(reply: Reply, *, again: bool, text: str) -> None:
    async with webhook_receiver(b"other") as receiver:
        receiver.replies.append(reply)
        answer = await notify(receiver.url)
        assert (answer.status, answer.is_retryable, answer.sent) == (reply.status, again, True)
        assert text in answer.text
        assert answer.ok == (not text)
        assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("soon", None),
        ("-1", None),
        ("99999999999999999999", 3600),
        ("Thu, 01 Jan 9998 12:00:30 GMT", 3600),
    ],
)
async def test_retry_after_is_followed_up_to_an_hour(value: str, seconds: int | None) -> None:
    async with risk_receiver(ISSUER, "risk", keys_of(KEY)) as receiver:
        receiver.replies.append(Reply(429, {"Retry-After": value}))
        answer = await report(risk_settings({"url": receiver.url, "audience": "risk"}))
        assert answer.retry_at == (None if seconds is None else NOON + seconds * 1_000_000)


async def test_a_secret_url_is_used_and_only_its_host_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with webhook_receiver(b"planted-soc-secret") as receiver:
        monkeypatch.setenv("SOC_URL", f"{receiver.url}/planted-path?sig=planted-query")
        answer = await notify({"env": "SOC_URL"})  # type: ignore[arg-type]
        assert answer.ok
        assert receiver.calls[0].path == "/events/planted-path?sig=planted-query"
        receiver.replies.append(Reply(404))
        answer = await notify({"env": "SOC_URL"})  # type: ignore[arg-type]
    host = receiver.url.removesuffix("/events")
    assert answer.text == f"{host}/*** answers 404; check the path of reactions.webhooks.soc.url"
    gone = await notify({"env": "SOC_URL"})  # type: ignore[arg-type]
    assert gone.text.startswith(f"{host}/***: nothing listens there")


@pytest.mark.long
async def test_a_silent_server_may_have_received_it() -> None:
    async with webhook_receiver(b"x") as receiver:
        receiver.replies.append(Reply(None))
        answer = await notify(receiver.url, timeout="300ms")
        assert (answer.status, answer.sent, answer.is_retryable) == (0, True, True)
        assert answer.text.endswith(
            "no response in time; check reactions.webhooks.soc.url, and the firewalls on the way"
        )


async def test_a_server_that_is_not_there_has_not_received_it() -> None:
    answer = await notify("http://127.0.0.1:1/x")
    assert (answer.status, answer.sent, answer.is_retryable) == (0, False, True)
    assert "nothing listens there (connection refused); check reactions.webhooks.soc.url" in answer.text


async def test_only_a_trusted_server_gets_anything(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.cert, made.key)
    async with webhook_receiver(b"planted-soc-secret", tls=context) as receiver:
        answer = await notify(receiver.url)
        assert "set reactions.webhooks.soc.ca_file to the PEM file of its CA" in answer.text
        assert (answer.sent, receiver.calls) == (False, [])
        assert (await notify(receiver.url, ca_file=made.cert)).ok


def test_a_broken_ca_file_is_a_problem_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("broken")
    settings = WebhookSettings(url="https://soc.example", secret="s", ca_file=tmp_path / "ca.pem")
    with pytest.raises(
        SettingsError, match=r"^reactions\.webhooks\.soc\.ca_file: .*ca.pem is not PEM; write the certificate"
    ):
        Webhooks({"soc": settings}, ManualClock())


async def test_a_webhook_that_is_no_longer_configured_is_not_sent() -> None:
    webhooks = Webhooks({}, ManualClock())
    answer = await webhooks.send("soc", "id-1", ALERT)
    assert (answer.ok, answer.sent) == (False, False)
    assert "reactions.webhooks has no soc any more" in answer.text


async def test_a_host_name_that_does_not_exist_is_an_error_answer() -> None:
    answer = await notify("https://nowhere.invalid/")
    assert answer.status == 0
    assert "check reactions.webhooks.soc.url" in answer.text


async def test_a_client_that_a_reload_closes_returns_an_answer() -> None:
    webhooks = Webhooks({"soc": WebhookSettings(url="http://127.0.0.1:1", secret="s")}, ManualClock())
    await webhooks.close()
    answer = await webhooks.send("soc", "id-1", ALERT)
    assert (answer.status, answer.is_retryable) == (0, True)


# --- risk events


@pytest.mark.long
async def test_a_receiver_that_checks_the_signature_accepts_a_risk_event() -> None:
    async with risk_receiver(ISSUER, "risk", keys_of(KEY)) as receiver:
        answer = await report(
            risk_settings({"url": receiver.url, "audience": "risk", "authorization": "Bearer of-risk-1"})
        )
        assert (answer.status, answer.text) == (202, "")
        (call,) = receiver.calls
        assert call.headers["authorization"] == "Bearer of-risk-1"
        assert call.headers["accept"] == "application/json"
        _, claims = verified(call.body, key_set([KEY]))
        assert claims["jti"] == RISK.id
        assert list(claims["events"]) == [CAEP_EVENT]


async def test_an_org_gets_its_event_at_its_own_path_without_credentials() -> None:
    receiver: Receiver
    async with risk_receiver(ISSUER, "", keys_of(KEY)) as receiver:
        receiver.replies.append(Reply())
        origin = receiver.url.removesuffix("/events")
        assert (await report(risk_settings({"org": "acme"}), origin)).status == 202
        (call,) = receiver.calls
        assert (call.method, call.path) == ("POST", OKTA_PATH)
        assert "authorization" not in call.headers
        _, claims = verified(call.body, key_set([KEY]))
        assert claims["aud"] == origin
        assert list(claims["events"]) == [OKTA_EVENT]


@pytest.mark.long
async def test_a_key_is_accepted_while_it_is_published_and_not_after() -> None:
    published = [KEY]

    async def keys_now() -> bytes:
        return key_set(published)

    async with risk_receiver(ISSUER, "risk", keys_now) as receiver:
        old, new = (risk_settings({"url": receiver.url, "audience": "risk"}, key) for key in (KEY, OTHER))
        assert (await report(old)).ok
        answer = await report(new)
        assert (answer.status, answer.code, answer.is_retryable) == (400, "invalid_key", False)
        assert "the receiver has no key with this `kid`; check that it can fetch" in answer.text
        published.append(OTHER)
        assert (await report(old)).ok
        assert (await report(new)).ok
        published.remove(KEY)
        assert (await report(new)).ok
        assert (await report(old)).code == "invalid_key"


@pytest.mark.parametrize(
    ("err", "hint"),
    [
        ("invalid_issuer", "the receiver expects another `iss`; write the same issuer there"),
        ("invalid_audience", "the receiver expects another `aud`"),
        ("invalid_key", "the receiver has no key with this `kid`"),
        ("authentication_failed", "the receiver does not accept the signature"),
        ("access_denied", "the receiver does not accept events from this issuer"),
        ("invalid_request", "the receiver could not read the token"),
        ("something_else", "reactions check"),
    ],
)
async def test_each_error_of_rfc_8935_has_a_hint(err: str, hint: str) -> None:
    async with risk_receiver(ISSUER, "risk", keys_of(KEY)) as receiver:
        receiver.replies.append(Reply(400, body=json.dumps({"err": err, "description": "Told so; twice"}).encode()))
        answer = await report(risk_settings({"url": receiver.url, "audience": "risk"}))
        assert (answer.code, answer.ok, answer.is_retryable) == (err, False, False)
        assert answer.text.startswith(f"{receiver.url} answers 400: {err} - Told so; twice; ")
        assert hint in answer.text


async def test_a_wrong_audience_and_a_wrong_issuer_have_different_hints() -> None:
    async with risk_receiver("https://other.example", "risk", keys_of(KEY)) as receiver:
        assert (await report(risk_settings({"url": receiver.url, "audience": "risk"}))).code == "invalid_issuer"
    async with risk_receiver(ISSUER, "other", keys_of(KEY)) as receiver:
        assert (await report(risk_settings({"url": receiver.url, "audience": "risk"}))).code == "invalid_audience"


async def test_a_receiver_that_is_no_longer_configured_gets_nothing() -> None:
    events = SecurityEvents(ReactionsSettings(), {}, ManualClock())
    answer = await events.send("it", {})
    assert (answer.ok, answer.sent) == (False, False)


# --- secrets


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.mark.long
async def test_a_server_that_echoes_everything_puts_no_secret_into_the_answer(lines: list[Any]) -> None:
    async def echo(call: Any) -> Reply:
        return Reply(400, body=json.dumps({"description": f"{call.headers} {call.body.decode()}"}).encode())

    secret = Secret("whsec_cGxhbnRlZC1zb2Mtc2VjcmV0LTEyMw==")
    async with Receiver(echo) as receiver:
        answers = [await notify(receiver.url, secret.reveal())]
        settings = risk_settings(
            {"url": receiver.url, "audience": "r", "authorization": "Bearer planted-token-of-risk"}
        )
        answers.append(await report(settings))
        token = receiver.calls[-1].body.decode()
    shown = f"{answers} {lines} {settings!r} {settings}"
    for planted in ("cGxhbnRlZC1zb2M", "planted-soc", "planted-token-of-risk", "PRIVATE", KEY[60:90], token[-40:]):
        assert planted not in shown
