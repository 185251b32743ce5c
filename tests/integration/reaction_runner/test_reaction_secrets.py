"""Servers echo the secrets of reactions that they get: no row, export, event or log line contains a secret."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.action import Outcome, Waits
from tests.fakes.hook_receiver import Call
from tests.fakes.keys import pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.receivers import Receiver, Reply
from tests.integration.reaction_runner.scene import TREES, settings, until

pytestmark = pytest.mark.timeout(120)

SOC = base64.b64encode(b"planted secret of the soc").decode()
BEARER = "planted-token-of-the-risk-engine"
KEY = pem(rsa_key())
PLANTED = (SOC.rstrip("="), BEARER, TOKEN, *(line for line in KEY.splitlines() if "-----" not in line))


async def echo(call: Call) -> Reply:
    """Refuse a call with a text that contains the whole request and the shared secret."""
    told = {"error": "invalid_request", "description": f"got {call.headers} {call.body.decode()} {SOC}"}
    return Reply(400, {"content-type": "application/json"}, json.dumps(told).encode())


@pytest.mark.long
async def test_an_echoed_secret_is_in_no_row_export_event_or_log_line(tmp_path: Path) -> None:
    async with okta_org() as org, Receiver(echo) as server:
        do: list[Any] = [{"notify": "soc"}, {"risk_event": "risk"}, {"suspend": {"for": "1h"}}]
        wanted = settings(
            tmp_path,
            org,
            do,
            webhooks={"soc": {"url": server.url, "secret": f"whsec_{SOC}"}},
            receivers={"risk": {"url": server.url, "audience": "risk", "authorization": f"Bearer {BEARER}"}},
            set={"issuer": "https://fw.example", "key": KEY},
        )
        forwarder = Forwarder(wanted, SystemClock())
        with structlog.testing.capture_logs() as lines:
            await forwarder.start()
            try:
                await org.emit(1, ["user.session.start"])
                rows = await until(
                    lambda rows: (
                        len([one for one in rows if one.outcome is Outcome.FAILED]) >= 2
                        and [one for one in rows if one.waits_for is Waits.APPROVAL]
                    ),
                    forwarder,
                )
                assert any("got " in row.detail for row in rows)  # what the server said is there
                archive = tmp_path / "archive.ndjson"
                async with asyncio.timeout(10):
                    while archive.read_bytes().count(b"okta_forwarder.action") < len(rows):
                        await asyncio.sleep(0.05)
                file = tmp_path / "config.json"
                file.write_text(json.dumps(TREES[wanted.store.path]))
                shown = [
                    (await asyncio.to_thread(CliRunner().invoke, main, ["reactions", *words, "-c", str(file)])).output
                    for words in (["list"], ["list", "--json"], ["export"], *(["show", row.id] for row in rows))
                ]
            finally:
                await forwarder.stop(grace=5)
    assert rows[0].id in shown[0]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*") if path.is_file())
    everything = "\n".join([*shown, archive.read_text(), str(lines), stored.decode("latin-1")])
    assert [secret for secret in PLANTED if secret in everything] == []
