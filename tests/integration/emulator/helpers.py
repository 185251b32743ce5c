"""A served org with a client of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from forwarder.core.ports import Clock
from forwarder.emulator.emulator import Emulator
from tests.fakes.okta_org import TOKEN, okta_org

HOOKS = "/api/v1/eventHooks"
LOGS = "/api/v1/logs"


@dataclass
class Service:
    """A running org and a client that shows its token."""

    org: Emulator
    client: httpx.AsyncClient

    async def create(self, uri: str = "https://receiver.example.com/", **changes: Any) -> dict[str, Any]:
        answer = await self.client.post(HOOKS, json=spec(uri, **changes))
        assert answer.status_code == 200, answer.text
        hook: dict[str, Any] = answer.json()
        return hook


def spec(uri: str = "https://receiver.example.com/", **changes: Any) -> dict[str, Any]:
    auth = {"type": "HEADER", "key": "Authorization", "value": "the-secret"}
    return {
        "name": "forwarder",
        "events": {"type": "EVENT_TYPE", "items": ["user.session.start", "user.session.end"]},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": uri, "authScheme": auth}},
    } | changes


@asynccontextmanager
async def running(clock: Clock | None = None, **changes: Any) -> AsyncIterator[Service]:
    async with (
        okta_org(clock, **changes) as org,
        httpx.AsyncClient(
            base_url=org.settings.url, headers={"Authorization": f"SSWS {TOKEN}"}, trust_env=False, verify=False
        ) as client,
    ):
        yield Service(org, client)


def links(answer: httpx.Response) -> dict[str, str]:
    """The links by their relation, each from a header line of its own."""
    lines = answer.headers.get_list("link")
    return {line.split('rel="')[1].rstrip('"'): line[1 : line.index(">")] for line in lines}


def assert_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    error: dict[str, Any] = answer.json()
    assert error.keys() == {"errorCode", "errorSummary", "errorLink", "errorId", "errorCauses"}
    assert error["errorCode"] == error["errorLink"] == code
    return error
