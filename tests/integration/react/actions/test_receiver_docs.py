"""The code in docs/reactions-receivers.md verifies what the forwarder sends."""

import asyncio
import base64
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from forwarder.core.action import ActionTarget
from forwarder.react.actions.security_event import Risk, SecurityEvents
from forwarder.react.actions.webhook import Webhooks
from forwarder.react.settings.receivers import JWKS_PATH
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.signing_keys import key_set, signing_key
from forwarder.settings import read
from tests.fakes.clock import ManualClock
from tests.fakes.keys import pem, rsa_key
from tests.fakes.receivers import Receiver, Reply

PAGE = (Path(__file__).parents[4] / "docs" / "reactions-receivers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def code(name: str) -> Any:
    (text,) = (text for language, text in BLOCKS if language == "python" and f"def {name}" in text)
    names: dict[str, Any] = {}
    exec(text, names)  # it is our own page
    return names[name]


class MachineClock(ManualClock):
    """The real clock, because the code of the page compares with it."""

    def __init__(self, seconds_ago: float = 0) -> None:
        super().__init__(round((time.time() - seconds_ago) * 1_000_000))


async def accept(_: object) -> Reply:
    return Reply()


async def test_the_code_for_webhooks_accepts_only_a_genuine_webhook(tmp_path: Path) -> None:
    is_genuine = code("is_genuine")
    (made,) = (text for language, text in BLOCKS if language == "sh" and "whsec_" in text)
    subprocess.run(["bash", "-c", made], cwd=tmp_path, check=True)
    assert (tmp_path / "soc-webhook").stat().st_mode & 0o077 == 0
    secret = (tmp_path / "soc-webhook").read_text().strip()
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    async with Receiver(accept) as server:
        settings = ReactionsSettings(
            webhooks={"soc": {"url": server.url, "secret": secret, "previous_secret": "the-old-secret-of-soc"}}
        ).webhooks
        for ago in (0, 400):
            webhooks = Webhooks(settings, MachineClock(ago))
            await webhooks.send("soc", "id-1", b'{"eventType": "forwarder.alert"}')
            await webhooks.close()
        call, old = server.calls
    assert is_genuine(call.headers, call.body, secret)
    assert not is_genuine(call.headers, call.body + b" ", secret)
    assert not is_genuine(call.headers | {"webhook-id": "id-2"}, call.body, secret)
    assert not is_genuine(call.headers, call.body, "whsec_b3RoZXI=")
    assert not is_genuine(old.headers, old.body, secret)


@pytest.mark.long
async def test_the_code_for_risk_events_accepts_only_a_genuine_token() -> None:
    risk_event = code("risk_event")

    async def check(call: Any) -> Reply:
        json = {"Content-Type": "application/json"}
        return Reply(200, json, key_set([pem(rsa_key())])) if call.method == "GET" else Reply()

    async with Receiver(check) as server:
        keys = jwt.PyJWKClient(server.url)
        user = ActionTarget("user", "00u1", "ada@corp.example")
        risk = Risk("key-of-the-action", "acme", user, "high", "Push fatigue", MachineClock().now())
        for key in ("first", "other"):
            settings = ReactionsSettings(
                receivers={"risk": {"url": server.url, "audience": "risk"}},
                set={"issuer": "https://fw.acme.com", "key": pem(rsa_key(key))},
            )
            events = SecurityEvents(settings, {}, MachineClock())
            claims = events.claims("risk", risk)
            assert claims is not None
            await events.send("risk", claims)
            await events.close()
        genuine, foreign = (call.body.decode() for call in server.calls)
        found = await asyncio.to_thread(risk_event, genuine, "risk", keys)
        assert (found["current_level"], found["email"]) == ("HIGH", "ada@corp.example")
        with pytest.raises(jwt.InvalidAudienceError):
            await asyncio.to_thread(risk_event, genuine, "other", keys)
        with pytest.raises(jwt.PyJWKClientError):
            await asyncio.to_thread(risk_event, foreign, "risk", keys)


@pytest.mark.long
def test_the_configuration_and_the_key_of_the_page_are_accepted(tmp_path: Path) -> None:
    (text,) = (text for language, text in BLOCKS if language == "yaml")
    (command,) = re.findall(r"`(openssl genpkey [^`]*)`", PAGE)
    subprocess.run(command.replace("set.pem", str(tmp_path / "set.pem")).split(), check=True, capture_output=True)
    (tmp_path / "soc-webhook").write_text("whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=\n")
    tree = {
        "orgs": {"acme": {"secrets": ["s"], "url": "https://acme.okta.com"}},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "x.ndjson")}},
    }
    settings = read(tree | yaml.safe_load(text.replace("/run/secrets", str(tmp_path)))).reactions
    assert settings.set is not None
    assert settings.set.jwks_url in PAGE
    assert JWKS_PATH in settings.public_documents
    assert signing_key(settings.set.key.reveal()).private.key_size == 2048
