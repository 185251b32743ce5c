"""Servers that echo the whole request: no secret comes back to the log, the status or a dead letter."""

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from forwarder import logs
from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError
from forwarder.core.ports import DeadLetterSelection
from forwarder.settings import read
from forwarder.store.interface import open_commands
from tests.e2e.okta import HEADERS, envelope, happenings

KEY = "Q2ZHY0JDZGJrU0ZX"
PASSWORD = 'pass"w&rd-1é'
TOKEN = "a-token-of-the-collector-1"
HOOK = "the-secret-of-the-hook"
PLANTED = (
    KEY,
    "an-id:",
    PASSWORD,
    json.dumps(PASSWORD)[1:-1],
    base64.b64encode(f"elastic:{PASSWORD}".encode()).decode().rstrip("="),
    base64.b64encode(f"an-id:{KEY}".encode()).decode().rstrip("="),
    TOKEN,
    HOOK,
)


class EchoServer:
    """Answers each request with what it got: as a refusal of the request, or of each event."""

    def __init__(self, *, of_events: bool) -> None:
        self._of_events = of_events
        self.requests = 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line)
        await reader.readexactly(length)
        self.requests += 1
        error = {"type": "echo", "reason": f"{' ' * 900}got {head} {PASSWORD} and {json.dumps(PASSWORD)}"}
        answer: Any = {"error": error}
        if self._of_events and "_bulk" in head:
            answer = {"errors": True, "items": [{"create": {"status": 400, "error": error}}]}
        body = json.dumps(answer, ensure_ascii=False).encode()
        status = "200 OK" if "items" in answer else "400 Bad Request" if self._of_events else "401 Unauthorized"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()


@pytest.fixture
def _logging_as_it_was(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:  # first: lines go there
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.long
@pytest.mark.usefixtures("_logging_as_it_was")
@pytest.mark.parametrize("of_events", [False, True])
async def test_a_server_that_echoes_the_request_puts_no_secret_into_log_status_and_dead_letters(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], *, of_events: bool
) -> None:
    logs.setup(json=True)
    async with EchoServer(of_events=of_events) as url:
        auth = {"username": "elastic", "password": PASSWORD}
        settings = read(
            {
                "orgs": {"acme": {"secrets": [HOOK]}},
                "receiver": {"listen": "127.0.0.1:0"},
                "ops": {"listen": "127.0.0.1:0"},
                "store": {"path": str(tmp_path / "store.db")},
                "sinks": {
                    "by_key": {"kind": "elasticsearch", "hosts": [url], "api_key": f"an-id:{KEY}"},
                    "by_password": {"kind": "elasticsearch", "hosts": [url], "basic_auth": auth},
                    "traces": {"kind": "otlp", "endpoint": url, "headers": {"x-key": TOKEN}},
                },
            }
        )
        forwarder = Forwarder(settings, SystemClock())
        await forwarder.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(
                f"http://{forwarder.server.address}/okta/events",
                content=envelope([next(happenings(1))[1]]),
                headers={**HEADERS, "Authorization": HOOK},
            )
            async with asyncio.timeout(20):
                while True:
                    status = await client.get(f"http://{forwarder.ops.address}/api/status")
                    sinks = status.json()["sinks"].values()
                    if all(sink["dead"] if of_events else sink["last_error"] for sink in sinks):
                        break
                    await asyncio.sleep(0.05)
        letters = open_commands(settings.store, SystemClock()).dead_letters(DeadLetterSelection(), limit=10)
        await forwarder.stop(grace=0)
    shown = [capfd.readouterr().err, status.text, *(msgspec.json.encode(letter).decode() for letter in letters)]
    assert len(letters) == (3 if of_events else 0)
    assert all("got" in str(sink["last_error"]) or of_events for sink in status.json()["sinks"].values())
    for text in shown:
        assert not [planted for planted in PLANTED if planted in text], text


@pytest.mark.usefixtures("_logging_as_it_was")
def test_an_exception_with_a_secret_is_logged_without_it(capfd: pytest.CaptureFixture[str]) -> None:
    read({"orgs": {"acme": {"secrets": [HOOK]}}, "sinks": {"archive": {"kind": "file", "path": "x"}}})
    logs.setup(json=True)
    error = ForwarderError(f"the request {HOOK!r} failed")
    logs.get("app").error("it failed", action="failed", error=error, data={"of": [HOOK, error]}, exc_info=error)
    logging.getLogger("library").error("sent %s", HOOK)
    lines = capfd.readouterr().err
    assert HOOK not in lines
    assert lines.count("***") >= 4
