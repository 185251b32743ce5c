"""The clients of the orgs, across a reload."""

import asyncio
from pathlib import Path
from typing import Any

from forwarder.clock import SystemClock
from forwarder.metrics import Metrics
from forwarder.okta_orgs import OktaOrgs
from forwarder.settings import Settings, read
from tests.fakes.okta_org import TOKEN, okta_org
from tests.integration.store.helpers import opened


def settings(folder: Path, url: str, **reconcile: Any) -> Settings:
    org = {"url": url, "secrets": ["the-secret-of-the-org"], "api": {"token": TOKEN}}
    sinks = {"archive": {"kind": "file", "path": str(folder / "events.ndjson")}}
    store = {"path": str(folder / "store.db")}
    return read({"orgs": {"acme": org}, "sinks": sinks, "store": store, "reconcile": reconcile})


async def test_an_org_has_a_client_at_each_moment_of_a_reload(tmp_path: Path) -> None:
    async def no_backlog() -> str | None:
        return None

    clock = SystemClock()
    async with okta_org() as org, opened(tmp_path / "store.db", clock) as store:
        orgs = OktaOrgs(store, Metrics(), clock, no_backlog)
        first, second = (settings(tmp_path, org.settings.url, poll=poll) for poll in ("1s", "2s"))
        await orgs.apply(first, orgs.build(first))
        await asyncio.sleep(0.05)
        before = orgs.client("acme")
        reload = asyncio.create_task(orgs.apply(second, orgs.build(second)))
        while not reload.done():
            assert orgs.client("acme") is not None
            await asyncio.sleep(0)
        await reload
        assert orgs.client("acme") not in {None, before}
        await orgs.stop()
        assert orgs.client("acme") is None
