"""The signature of a webhook, verified by the library of Standard Webhooks, and the body."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from forwarder.config.types import Secret
from forwarder.core.time import to_micros
from forwarder.react.actions.webhook import payload, signed
from forwarder.react.settings.receivers import webhook_keys

ALERT = b'{"uuid":"a1","eventType":"forwarder.alert","forwarder":{"alert":{"rule":{"id":"r"}}}}'


def now() -> int:
    return to_micros(datetime.now(UTC))  # the library compares with the clock of the machine


def test_the_signature_is_that_of_the_specification() -> None:
    """The values are the example in the libraries of the specification."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = 1_614_265_330_000_000
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', webhook_keys(secret))
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.long
@given(st.binary(min_size=1, max_size=64), st.text(max_size=200))
def test_the_library_accepts_each_webhook(key: bytes, text: str) -> None:
    body = json.dumps({"text": text}, ensure_ascii=False).encode()
    secret = Secret("whsec_" + base64.b64encode(key).decode())
    Webhook(key).verify(body, signed("id", now(), body, webhook_keys(secret)))


@pytest.mark.parametrize("secret", ["c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIzNA==", "whsec_c2VjcmV0LXNlY3JldA=="])
def test_a_receiver_that_decodes_the_secret_accepts_it(secret: str) -> None:
    Webhook(secret).verify(ALERT, signed("id", now(), ALERT, webhook_keys(Secret(secret))))


@pytest.mark.parametrize("secret", ["c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIzNA==", "any text, even this one!"])
def test_a_receiver_that_takes_the_secret_as_it_stands_accepts_it(secret: str) -> None:
    Webhook(secret.encode()).verify(ALERT, signed("id", now(), ALERT, webhook_keys(Secret(secret))))


@pytest.mark.parametrize("wrong", ["id", "timestamp", "body", "key"])
def test_a_webhook_that_was_changed_is_refused(wrong: str) -> None:
    headers = signed("id", now(), ALERT, [b"key"])
    if wrong == "id":
        headers["webhook-id"] = "other"
    if wrong == "timestamp":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"other" if wrong == "key" else b"key").verify(ALERT + b" " * (wrong == "body"), headers)


def test_two_secrets_are_valid_during_a_rotation() -> None:
    headers = signed("id", now(), ALERT, [b"new", b"old"])
    for key in (b"new", b"old"):
        Webhook(key).verify(ALERT, headers)


def test_the_body_is_the_alert_as_it_is_stored() -> None:
    assert payload(ALERT) == ALERT


def test_later_facts_are_added_to_the_alert() -> None:
    approval = {"id": "1", "link": "https://ops.example/approve/1"}
    body = json.loads(payload(ALERT, {"approvals": [approval]}))
    assert body["forwarder"] == {"alert": {"rule": {"id": "r"}}, "approvals": [approval]}
    assert body["uuid"] == "a1"
