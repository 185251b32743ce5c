"""docs/reactions-story.md, run: from a sign-in in a listed country to the last undo."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.action import Action, End, Outcome, State, Waits
from forwarder.core.event import Source
from forwarder.core.time import SECOND, Micros
from forwarder.emulator.org import Emulator
from forwarder.settings import Settings, read
from tests.e2e import prepared
from tests.e2e.streams import Stream
from tests.fakes.keys import pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.receivers import risk_receiver
from tests.integration.reactions.scene import TREES, command, running, until
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.process import ROOT

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

ADA, ADDRESS = "ada@corp.example", "175.45.176.9"


class NextDayClock(SystemClock):
    """A day and a minute ahead."""

    def now(self) -> Micros:
        return super().now() + (86_400 + 60) * SECOND


def settings(
    folder: Path, org: Emulator, receiver: str, elasticsearch: Elasticsearch, namespace: str
) -> Settings:
    tree: dict[str, Any] = {
        "orgs": {
            "acme": {
                "url": org.settings.url,
                "secrets": ["the-secret-of-the-story"],
                "api": {"token": TOKEN},
                "blocklist": {"activate": True},
            }
        },
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "reconcile": {"poll": "1s", "rate_share": 1},
        "store": {"path": str(folder / "store.db")},
        "sinks": {"siem": {"kind": "elasticsearch", "hosts": [elasticsearch.url], "namespace": namespace}},
        "rules": {"files": [str(ROOT / "config/rules/listed_country.yml")], "lists": {"embargo": ["KP"]}},
        "reactions": {
            "mode": "enforce",
            "protect": {"groups": ["Break-glass"]},
            "receivers": {"risk": {"url": receiver, "audience": "risk"}},
            "set": {"issuer": "https://fw.example", "key": pem(rsa_key())},
            "on": [
                {
                    "rule": "sign_in_from_listed_country",
                    "do": [
                        "revoke_sessions",
                        {"add_to_group": {"group": "Step-up", "for": "24h"}},
                        {"risk_event": "risk"},
                        {"block_ip": {"for": "24h"}},
                    ],
                }
            ],
        },
    }
    made = read(tree)
    TREES[made.store.path] = tree
    return made


async def prepare(org: Emulator, forwarder: Forwarder) -> None:
    """Let the org have Ada, the groups, an exempt zone with this machine, and a hook that posts to the forwarder."""
    async with httpx.AsyncClient(base_url=org.settings.url, trust_env=False) as client:
        for group in ("Step-up", "Break-glass"):
            assert (await client.post("/emulator/groups", json={"name": group})).status_code == 200
        assert (await client.post("/emulator/users", json={"login": ADA})).status_code == 200
        headers = {"Authorization": f"SSWS {TOKEN}"}
        zones = (await client.get("/api/v1/zones", headers=headers)).json()
        exempt = next(zone for zone in zones if zone["name"] == "DefaultExemptIpZone")
        body = exempt | {"gateways": [{"type": "CIDR", "value": "127.0.0.1/32"}], "useAsExemptList": True}
        answer = await client.put(f"/api/v1/zones/{exempt['id']}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    hook = org.add_hook(f"http://{forwarder.server.address}/okta/events", "the-secret-of-the-story")
    await org.verify(hook.id)


async def sign_in(org: Emulator) -> None:
    place = {"country": "North Korea", "city": "Pyongyang"}
    fields = {
        "outcome": {"result": "SUCCESS"},
        "client": {"ipAddress": ADDRESS, "geographicalContext": place},
        "securityContext": {"isProxy": False},
    }
    order = {"types": ["user.session.start"], "user": ADA, "fields": fields}
    async with httpx.AsyncClient(base_url=org.settings.url, trust_env=False) as client:
        assert (await client.post("/emulator/events", json=order)).status_code == 200


async def test_a_sign_in_from_a_listed_country_is_answered_and_all_is_undone_in_time(
    tmp_path: Path, elasticsearch: Elasticsearch
) -> None:
    assert (await prepared.prepare(elasticsearch)).fine
    stream = Stream(elasticsearch)
    held: dict[str, Any] = {}

    async def keys() -> bytes:
        document: bytes = held["settings"].reactions.set.key_set()
        return document

    async with okta_org() as org, risk_receiver("https://fw.example", "risk", keys) as receiver:
        wanted = held["settings"] = await asyncio.to_thread(
            settings, tmp_path, org, receiver.url, elasticsearch, stream.namespace
        )
        async with running(wanted) as forwarder:
            await prepare(org, forwarder)
            began = time.monotonic()
            await sign_in(org)
            await alert(forwarder, began)
            rows = await until(lambda found: done(found, "revoke_sessions"), forwarder)
            assert time.monotonic() - began < 6  # 2 s on a machine that does nothing else
            rows = await until(lambda found: done(found, "risk_event"), forwarder)
            (call,) = receiver.calls
            assert done(rows, "risk_event")[0].outcome is Outcome.ACCEPTED
            assert call.headers["content-type"] == "application/secevent+jwt"
            rows = await until(lambda found: done(found, "add_to_group"), forwarder)
            ada = org.users.find(ADA)
            assert ada.id in org.groups.named("Step-up").members
            rows = await until(
                lambda found: [one for one in found if one.waits_for is Waits.APPROVAL], forwarder
            )
            (block,) = (one for one in rows if one.waits_for is Waits.APPROVAL)
            assert (block.name, block.target.id) == ("block_ip", ADDRESS)
            await command(wanted, "approve", block.id)
            await until(lambda found: done(found, "block_ip"), forwarder)
            assert ADDRESS in listed(org)
        async with running(wanted, NextDayClock()) as forwarder:
            rows = await until(lambda found: [one for one in found if one.end] == effects(found), forwarder)
            assert {one.end for one in effects(rows)} == {End.UNDONE}
            assert ada.id not in org.groups.named("Step-up").members
            assert ADDRESS not in listed(org)
    found = await asyncio.to_thread(documents, elasticsearch, stream.namespace)
    assert found["alert"] == 1
    assert found["action"] >= 7  # four outcomes, one that waited for a human, two undone


async def alert(forwarder: Forwarder, began: float) -> None:
    position = 0
    while time.monotonic() - began < 10:
        for stored in await forwarder.store.view.events(position, limit=100, max_bytes=10**6):
            position = stored.seq
            if stored.event.source is Source.ALERT:
                assert time.monotonic() - began < 4  # 1 s on a machine that does nothing else
                return
        await asyncio.sleep(0.02)
    raise AssertionError("no alert")


def done(rows: list[Action], name: str) -> list[Action]:
    good = {Outcome.DONE, Outcome.ACCEPTED}
    return [one for one in rows if one.name == name and one.outcome in good]


def effects(rows: list[Action]) -> list[Action]:
    return [
        one for one in rows if one.name in {"add_to_group", "block_ip"} and one.state is not State.WAITING
    ]


def listed(org: Emulator) -> str:
    views = [zone.view("") for zone in org.zones.all()]
    return str([view for view in views if view["name"] == "forwarder-blocklist"])


def documents(elasticsearch: Elasticsearch, namespace: str) -> dict[str, int]:
    """Count what is in the two streams, once it is there."""
    found: dict[str, int] = {}
    for _ in range(100):
        for kind in ("alert", "action"):
            index = f"/logs-okta_forwarder.{kind}-{namespace}"
            elasticsearch.call("POST", f"{index}/_refresh?ignore_unavailable=true")
            found[kind] = elasticsearch.call("GET", f"{index}/_count?ignore_unavailable=true")["count"]
        if found["alert"] and found["action"] >= 7:
            break
        time.sleep(0.2)
    return found
