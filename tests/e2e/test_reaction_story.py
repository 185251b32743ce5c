"""docs/reactions-story.md, run: from a sign-in in a listed country to the last undo."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.action import Action, ActionState, End, Outcome, Waits
from forwarder.core.event import Source
from forwarder.core.time import SECOND, Micros
from forwarder.emulator.emulator import Emulator
from forwarder.settings import Settings, read
from tests.e2e.streams import Stream
from tests.fakes.keys import pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.receivers import risk_receiver
from tests.integration.reaction_runner.scene import TREES, command, running, until
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.process import ROOT

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

USERS = [f"{name}@corp.example" for name in ("ada", "bea", "cleo", "dora", "elsa")]
"""Each signs in from an address of her own, one after the other until one is answered in time: this machine may be busy."""

ALERT_WITHIN, REVOKED_WITHIN = 1.0, 2.0
"""Seconds from the sign-in, as the page promises."""


class NextDayClock(SystemClock):
    """A day and a minute ahead."""

    def now(self) -> Micros:
        return super().now() + (86_400 + 60) * SECOND


def settings(folder: Path, org: Emulator, receiver: str, elasticsearch: Elasticsearch, namespace: str) -> Settings:
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
        "sinks": {
            "siem": {
                "kind": "elasticsearch",
                "hosts": [elasticsearch.url],
                "namespace": namespace,
                **elasticsearch.credentials,
            }
        },
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
    """Let the org have the users, the groups, an exempt zone with this machine, and a hook that posts to the forwarder."""
    async with httpx.AsyncClient(base_url=org.settings.url, trust_env=False) as client:
        for group in ("Step-up", "Break-glass"):
            assert (await client.post("/emulator/groups", json={"name": group})).status_code == 200
        for login in USERS:
            assert (await client.post("/emulator/users", json={"login": login})).status_code == 200
        headers = {"Authorization": f"SSWS {TOKEN}"}
        zones = (await client.get("/api/v1/zones", headers=headers)).json()
        exempt = next(zone for zone in zones if zone["name"] == "DefaultExemptIpZone")
        body = exempt | {"gateways": [{"type": "CIDR", "value": "127.0.0.1/32"}], "useAsExemptList": True}
        answer = await client.put(f"/api/v1/zones/{exempt['id']}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    hook = org.add_hook(f"http://{forwarder.server.address}/okta/events", "the-secret-of-the-story")
    await org.verify(hook.id)


async def sign_in(org: Emulator, login: str, address: str) -> None:
    place = {"country": "North Korea", "city": "Pyongyang"}
    fields = {
        "outcome": {"result": "SUCCESS"},
        "client": {"ipAddress": address, "geographicalContext": place},
        "securityContext": {"isProxy": False},
    }
    order = {"types": ["user.session.start"], "user": login, "fields": fields}
    async with httpx.AsyncClient(base_url=org.settings.url, trust_env=False) as client:
        assert (await client.post("/emulator/events", json=order)).status_code == 200


async def test_a_sign_in_from_a_listed_country_is_answered_and_all_is_undone_in_time(
    tmp_path: Path, prepared_elasticsearch: Elasticsearch
) -> None:
    stream = Stream(prepared_elasticsearch)
    held: dict[str, Any] = {}

    async def keys() -> bytes:
        document: bytes = held["settings"].reactions.set.key_set()
        return document

    async with okta_org() as org, risk_receiver("https://fw.example", "risk", keys) as receiver:
        wanted = held["settings"] = await asyncio.to_thread(
            settings, tmp_path, org, receiver.url, prepared_elasticsearch, stream.namespace
        )
        async with running(wanted) as forwarder:
            await prepare(org, forwarder)
            user, address = await first_in_time(org, forwarder)
            rows = await until(lambda found: done(of(found, user), "risk_event"), forwarder)
            assert done(of(rows, user), "risk_event")[0].outcome is Outcome.ACCEPTED
            assert receiver.calls[-1].headers["content-type"] == "application/secevent+jwt"
            await until(lambda found: done(of(found, user), "add_to_group"), forwarder)
            assert user in org.groups.named("Step-up").members
            rows = await until(lambda found: waiting(found, address), forwarder)
            (block,) = waiting(rows, address)
            await command(wanted, "approve", block.id)
            await until(lambda found: done(found, "block_ip"), forwarder)
            assert address in listed(org)
        async with running(wanted, NextDayClock()) as forwarder:
            rows = await until(lambda found: [one for one in found if one.end] == effects(found), forwarder)
            assert {one.end for one in effects(rows)} == {End.UNDONE}
            assert user not in org.groups.named("Step-up").members
            assert address not in listed(org)
    found = await asyncio.to_thread(documents, prepared_elasticsearch, stream.namespace)
    assert found["alert"] >= 1
    assert found["action"] >= 7  # four outcomes, one that waited for a human, two undone


async def first_in_time(org: Emulator, forwarder: Forwarder) -> tuple[str, str]:
    """Let users sign in until one is answered in time. Return her id and her address."""
    taken: list[tuple[float, float]] = []
    for number, login in enumerate(USERS, 9):
        user, address = org.users.find(login).id, f"175.45.176.{number}"
        began = time.monotonic()
        await sign_in(org, login, address)
        alerted = await alert(forwarder, number - 8) - began
        await until(revoked(user), forwarder)
        taken.append((alerted, time.monotonic() - began))
        if taken[-1][0] <= ALERT_WITHIN and taken[-1][1] <= REVOKED_WITHIN:
            return user, address
    raise AssertionError(f"seconds until the alert, and until the sessions ended: {taken}")


async def alert(forwarder: Forwarder, count: int) -> float:
    """Return when the store had so many alerts, by the monotonic clock."""
    position, alerts = 0, 0
    gives_up = time.monotonic() + 10
    while time.monotonic() < gives_up:
        for stored in await forwarder.store.view.events(position, limit=100, max_bytes=10**6):
            position = stored.seq
            alerts += stored.event.source is Source.ALERT
        if alerts >= count:
            return time.monotonic()
        await asyncio.sleep(0.02)
    raise AssertionError("no alert")


def revoked(user: str) -> Callable[[list[Action]], list[Action]]:
    return lambda found: done(of(found, user), "revoke_sessions")


def of(rows: list[Action], user: str) -> list[Action]:
    return [one for one in rows if one.target.id == user]


def waiting(rows: list[Action], address: str) -> list[Action]:
    return [one for one in of(rows, address) if (one.name, one.waits_for) == ("block_ip", Waits.APPROVAL)]


def done(rows: list[Action], name: str) -> list[Action]:
    good = {Outcome.DONE, Outcome.ACCEPTED}
    return [one for one in rows if one.name == name and one.outcome in good]


def effects(rows: list[Action]) -> list[Action]:
    return [one for one in rows if one.name in {"add_to_group", "block_ip"} and one.state is not ActionState.WAITING]


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
