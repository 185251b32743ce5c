"""Risk events to an emulated org, from the registration as in the docs to a change of the key. The org fetches the keys from
the running forwarder."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.action import ActionTarget
from forwarder.okta.api.client import OktaClient
from forwarder.okta.settings import ApiSettings
from forwarder.react.actions.receiver_checks import PROVIDERS_PATH, check_jwks, check_provider
from forwarder.react.actions.security_event import Risk, SecurityEvents
from forwarder.react.ports import Answer
from forwarder.react.settings.receivers import SetSettings
from forwarder.reaction_runner.okta_calls import OktaCalls
from forwarder.settings import Settings, read
from tests.fakes.keys import pem, rsa_key
from tests.fakes.okta_org import TOKEN
from tests.integration.emulator.helpers import Service, running

PAGE = (Path(__file__).parents[4] / "docs" / "reactions-receivers.md").read_text(encoding="utf-8")
OLD, NEW = pem(rsa_key()), pem(rsa_key("other"))
ISSUER = "https://fw.acme.com"


class Scene:
    """An org and a forwarder that serves its keys."""

    def __init__(self, service: Service, forwarder: Forwarder, here: Path) -> None:
        self.org = service.org
        self.client = service.client
        self.forwarder = forwarder
        self.user = service.org.users.all()[0]
        self._here = here

    def settings(self, **changes: Any) -> Settings:
        """Return the settings of the docs, with the address where the test serves the keys."""
        jwks = f"http://{self.forwarder.server.address}/.well-known/jwks.json"
        return settings(self._here, self.org.settings.url, **changes, issuer=ISSUER, jwks=jwks)

    def registration(self) -> dict[str, Any]:
        """Return the request body of the command in the docs."""
        (text,) = re.findall(r"-d '({.*?})'", PAGE, re.DOTALL)
        body: dict[str, Any] = json.loads(text)
        assert body["settings"]["issuer"] == ISSUER
        host = f"http://{self.forwarder.server.address}"
        body["settings"]["jwks_url"] = body["settings"]["jwks_url"].replace(ISSUER, host)
        return body

    async def send(self, risk: Risk, key: str = OLD) -> Answer:
        reactions = self.settings(key=key).reactions
        events = SecurityEvents(reactions, {"acme": self.org.settings.url}, SystemClock())
        try:
            claims = events.claims("okta", risk)
            assert claims is not None
            return await events.send("okta", claims)
        finally:
            await events.close()

    async def problems(self) -> list[str]:
        chosen = self.settings(key=OLD).reactions.set
        assert isinstance(chosen, SetSettings)
        api = OktaClient(self.org.settings.url, ApiSettings(token=TOKEN), 1.0, SystemClock())
        calls = OktaCalls({"acme": api}.get, SystemClock()).org("acme")
        assert calls is not None
        try:
            return [*await check_jwks(chosen), *await check_provider("okta", "acme", chosen, calls)]
        finally:
            await api.close()

    def risk(self, **changes: Any) -> Risk:
        target = ActionTarget("user", self.user.id, self.user.login)
        risk = Risk("key-1", "acme", target, "high", "Push fatigue", SystemClock().now())
        return replace(risk, **changes)

    def received(self) -> list[str]:
        return [token.result for token in self.org.security_events.all()]


def settings(here: Path, org_url: str, **of_set: Any) -> Settings:
    return read(
        {
            "orgs": {"acme": {"secrets": ["hook-secret"], "url": org_url}},
            "receiver": {"listen": "127.0.0.1:0"},
            "ops": {"listen": "127.0.0.1:0"},
            "store": {"path": str(here / "store.db")},
            "sinks": {"archive": {"kind": "file", "path": str(here / "archive.ndjson")}},
            "reactions": {"receivers": {"okta": {"org": "acme"}}, "set": of_set},
        }
    )


@asynccontextmanager
async def scene(here: Path) -> AsyncIterator[Scene]:
    async with running() as service:
        served = settings(here, service.org.settings.url, issuer=ISSUER, key=OLD, jwks="serve")
        forwarder = Forwarder(served, SystemClock())
        await forwarder.start()
        try:
            yield Scene(service, forwarder, here)
        finally:
            await forwarder.stop(grace=0)


@pytest.mark.long
async def test_a_repeated_risk_event_counts_once_and_only_after_the_registration(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        (line,) = await there.problems()
        assert "acme has no security events provider with the issuer https://fw.acme.com; register it" in line
        answer = await there.send(there.risk())
        assert (answer.status, answer.code) == (400, "invalid_issuer")
        assert "write the same issuer there and in reactions.set.issuer" in answer.text

        assert (await there.client.post(PROVIDERS_PATH, json=there.registration())).status_code == 200
        assert await there.problems() == []
        for _ in range(3):
            assert (await there.send(there.risk())).status == 202
        assert there.received() == ["invalid_issuer", "accepted", "duplicate", "duplicate"]
        assert there.user.risk is not None
        assert there.user.risk[0] == "HIGH"
        assert (await there.send(there.risk(id="key-2", level="low"))).status == 202
        assert there.user.risk[0] == "LOW"


@pytest.mark.long
async def test_the_org_accepts_a_risk_event_about_an_unknown_user(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        await there.client.post(PROVIDERS_PATH, json=there.registration())
        stranger = ActionTarget("user", "00u0", "stranger@elsewhere.example")
        assert (await there.send(there.risk(user=stranger))).status == 202
        by_id = ActionTarget("user", there.user.id, "no address")
        assert (await there.send(there.risk(id="key-2", user=by_id))).status == 202
        assert there.received() == ["unknown_subject", "accepted"]


@pytest.mark.long
async def test_a_change_of_the_key_as_in_the_docs_loses_no_event(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        await there.client.post(PROVIDERS_PATH, json=there.registration())
        url = there.org.settings.url

        async def publish(**keys: str) -> None:
            await there.forwarder.reload(settings(tmp_path, url, issuer=ISSUER, jwks="serve", **keys))

        assert (await there.send(there.risk(id="1"), OLD)).ok
        refused = await there.send(there.risk(id="2"), NEW)
        assert (refused.code, refused.is_retryable) == ("invalid_key", False)
        await publish(key=OLD, previous_key=NEW)
        assert (await there.send(there.risk(id="2"), OLD)).ok
        await publish(key=NEW, previous_key=OLD)
        assert (await there.send(there.risk(id="3"), NEW)).ok
        assert (await there.send(there.risk(id="4"), OLD)).ok  # signed before the reload
        await publish(key=NEW)
        assert (await there.send(there.risk(id="5"), NEW)).ok
        assert there.received().count("accepted") == 5


@pytest.mark.long
async def test_differences_in_the_org_are_found(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        body = there.registration()
        body["settings"]["jwks_url"] += "?old"
        made = (await there.client.post(PROVIDERS_PATH, json=body)).json()
        await there.client.post(f"{PROVIDERS_PATH}/{made['id']}/lifecycle/deactivate")
        inactive, elsewhere = await there.problems()
        assert "the provider 'okta-forwarder' of acme is not active" in inactive
        assert "/.well-known/jwks.json?old, but they are at http" in elsewhere
