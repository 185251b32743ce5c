"""A running forwarder with rules."""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import structlog

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.event import Event, Source
from forwarder.core.time import SECOND, iso
from forwarder.settings import Settings, read
from tests import waiting
from tests.e2e.okta import envelope
from tests.unit.rules.days import RULES, made


def settings(directory: Path, rules: str | None = RULES, **more: Any) -> Settings:
    (directory / "rules").mkdir(exist_ok=True)
    if rules is not None:
        (directory / "rules" / "rules.yml").write_text(rules)
    return read(
        {
            "orgs": {
                "acme": {"secrets": ["the-secret"]},
                "other": {"secrets": ["another-secret"], "path": "/other/events"},
            },
            "receiver": {"listen": "127.0.0.1:0"},
            "ops": {"listen": "127.0.0.1:0"},
            "store": {"path": str(directory / "store.db")},
            "sinks": {"archive": {"kind": "file", "path": str(directory / "archive.ndjson")}},
            "rules": {"files": [str(directory / "rules")], **more},
        }
    )


@asynccontextmanager
async def running(wanted: Settings) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(wanted, SystemClock())
    with structlog.testing.capture_logs():
        await forwarder.start()
        try:
            yield forwarder
        finally:
            await forwarder.stop(grace=5)


async def post(forwarder: Forwarder, events: Iterable[Event]) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(
            f"http://{forwarder.server.address}/okta/events",
            content=envelope([event.body for event in events]),
            headers={"Authorization": "the-secret", "Content-Type": "application/json"},
        )
    assert response.status_code == 200


def shifted(events: Iterable[Event]) -> list[Event]:
    """Return the events of a day, moved so that the day ends now."""
    events = list(events)
    by = time.time_ns() // 1000 - max(event.published for event in events) - 60 * SECOND
    moved = []
    for event in events:
        body = msgspec.json.decode(event.body)
        body["published"] = iso(event.published + by, "milliseconds")
        at = event.published + by
        moved.append(msgspec.structs.replace(event, body=json.dumps(body).encode(), published=at))
    return moved


async def stored(forwarder: Forwarder) -> list[Event]:
    """Return all alerts in the store."""
    events = await forwarder.store.view.events(0, limit=100_000, max_bytes=10**9)
    return [one.event for one in events if one.event.source is Source.ALERT]


def pairs(alerts: Iterable[Event]) -> set[tuple[str, str]]:
    found = [json.loads(alert.body)["forwarder"]["alert"] for alert in alerts]
    return {(about["rule"]["id"], *about["group"].values()) for about in found}


until = partial(waiting.until, seconds=30)


async def evaluated(forwarder: Forwarder) -> None:
    """Wait until the rules have evaluated every stored event."""
    await until(lambda: forwarder._rules.position == forwarder.store.view.newest)


def burst(actor: str = "u1", first: int = 0, count: int = 4) -> list[Event]:
    return shifted([made(first + n, n * SECOND, "alpha", actor, f"192.0.2.{first + n}") for n in range(count)])


def content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
