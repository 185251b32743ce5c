"""Filters of a running forwarder: what each sink gets, and that the ledger adds up, also after a reload."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.settings import read
from tests.e2e.okta import changed, envelope, happenings

SECRET = "a-secret-of-the-hook"
TYPES = ("user.session.start", "user.session.end", "system.api_token.create")


def config(directory: Path, **sinks: dict[str, Any]) -> dict[str, Any]:
    """A configuration with these file sinks, in the format `raw`."""
    return {
        "orgs": {"acme": {"secrets": [SECRET]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "store": {"path": str(directory / "store.db")},
        "sinks": {
            name: {"kind": "file", "path": str(directory / f"{name}.ndjson"), "format": "raw", **more}
            for name, more in sinks.items()
        },
    }


@asynccontextmanager
async def running(tree: dict[str, Any]) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(read(tree), SystemClock())
    await forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop(grace=5)


async def post(forwarder: Forwarder, types: Iterable[str], seed: int = 1) -> None:
    types = list(types)
    bodies = [
        changed(event, eventType=event_type)[1]
        for event, event_type in zip(happenings(len(types), seed=seed), types, strict=True)
    ]
    async with httpx.AsyncClient(trust_env=False) as client:
        url, headers = f"http://{forwarder.server.address}/okta/events", {"Authorization": SECRET}
        response = await client.post(url, content=envelope(bodies), headers=headers)
    assert response.status_code == 200


async def settled(forwarder: Forwarder) -> dict[str, Any]:
    """The sinks of the status, once nothing waits."""

    async def look() -> dict[str, Any]:
        status = await forwarder.status.gather()
        assert status["balanced"]
        return dict(status["sinks"])

    sinks = await look()
    async with asyncio.timeout(20):
        while any(sink["waiting"] for sink in sinks.values()):
            await asyncio.sleep(0.02)
            sinks = await look()
    return sinks


def written(directory: Path, sink: str) -> Counter[str]:
    lines = (directory / f"{sink}.ndjson").read_bytes().splitlines()
    return Counter(msgspec.json.decode(line)["eventType"] for line in lines)


@pytest.mark.long
async def test_each_sink_gets_its_own_types_and_the_ledger_adds_up(tmp_path: Path) -> None:
    tree = config(
        tmp_path,
        all={},
        sessions={"only": ["user.session.*"]},
        tokens={"except": ["user.*"]},
        none={"only": ["zone.create"]},
    )
    async with running(tree) as forwarder:
        await post(forwarder, TYPES * 20)
        sinks = await settled(forwarder)
        places = {name: (sink["delivered"], sink["filtered"], sink["dead"]) for name, sink in sinks.items()}
        assert places == {"all": (60, 0, 0), "sessions": (40, 20, 0), "tokens": (20, 40, 0), "none": (0, 60, 0)}
        await forwarder.status.refresh_gauges()
        scrape = forwarder.metrics.render("")[0].decode()
        assert 'forwarder_ledger_events{place="filtered",sink="sessions"} 20.0' in scrape
    assert written(tmp_path, "all") == dict.fromkeys(TYPES, 20)
    assert written(tmp_path, "sessions") == dict.fromkeys(TYPES[:2], 20)
    assert written(tmp_path, "tokens") == {TYPES[2]: 20}
    assert not written(tmp_path, "none")
    (tmp_path / "forwarder.yaml").write_text(json.dumps(tree))
    printed = CliRunner().invoke(main, ["stats", "--json", "-c", str(tmp_path / "forwarder.yaml")])
    assert printed.exit_code == 0
    ledger = json.loads(printed.stdout)
    assert ledger["sinks"]["none"] == {
        "delivered": 0,
        "dead": 0,
        "discarded": 0,
        "skipped": 0,
        "filtered": 60,
        "waiting": 0,
    }


@pytest.mark.long
async def test_a_reload_changes_the_filter_and_the_redaction_of_later_events(tmp_path: Path) -> None:
    async with running(config(tmp_path, siem={"only": ["user.session.start"]})) as forwarder:
        await post(forwarder, TYPES, seed=1)
        await settled(forwarder)
        await forwarder.reload(read(config(tmp_path, siem={"except": [TYPES[0]], "redact": ["actor"]})))
        await post(forwarder, TYPES, seed=2)
        sink = (await settled(forwarder))["siem"]
        assert (sink["delivered"], sink["filtered"]) == (3, 3)
    assert written(tmp_path, "siem") == dict.fromkeys(TYPES, 1)
    first, *later = map(msgspec.json.decode, (tmp_path / "siem.ndjson").read_bytes().splitlines())
    assert isinstance(first["actor"], dict)
    assert [event["actor"] for event in later] == ["[redacted]"] * 2
