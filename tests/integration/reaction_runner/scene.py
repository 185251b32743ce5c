"""A running forwarder with reactions, an emulated org, and the commands of the forwarder."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.action import Action
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.emulator.emulator import Emulator
from forwarder.settings import Settings, read
from tests.fakes.okta_org import TOKEN

RULE = """
title: A sign-in
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0001
status: test
level: high
logsource: {product: okta, service: okta}
detection: {selection: {eventType: user.session.start}, condition: selection}
"""


TREES: dict[Path, Any] = {}


def settings(folder: Path, org: Emulator, do: list[Any], **reactions: Any) -> Settings:
    (folder / "rule.yml").write_text(RULE)
    tree: dict[str, Any] = {
        "orgs": {"acme": {"url": org.settings.url, "secrets": ["the-secret"], "api": {"token": TOKEN}}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "reconcile": {"poll": "1s", "rate_share": 1},
        "store": {"path": str(folder / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(folder / "archive.ndjson")}},
        "rules": {"files": [str(folder / "rule.yml")], "again": "1s"},
        "reactions": {
            "mode": "enforce",
            "protect": {"groups": ["Break-glass"], "users": ["breakglass@example.com"]},
            "on": [{"level": "high", "do": do}],
            **reactions,
        },
    }
    made = read(tree)
    TREES[made.store.path] = tree
    return made


class LaterClock(SystemClock):
    """A clock that is two minutes ahead."""

    def now(self) -> Micros:
        return super().now() + 120 * SECOND


@asynccontextmanager
async def running(wanted: Settings, clock: Clock | None = None) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(wanted, clock or SystemClock())
    with structlog.testing.capture_logs():
        await forwarder.start()
        try:
            yield forwarder
        finally:
            await forwarder.stop(grace=5)


async def command(wanted: Settings, *arguments: str, fails: bool = False) -> str:
    """Run `forwarder reactions …` beside the running forwarder, and return what it prints."""
    file = wanted.store.path.with_name("config.json")
    file.write_text(json.dumps(TREES[wanted.store.path]))
    name, *rest = arguments
    full = ["reactions", name, "-c", str(file), *rest]
    result = await asyncio.to_thread(CliRunner().invoke, main, full)
    assert (result.exit_code != 0) == fails, result.output
    return result.output + (str(result.exception) if result.exception else "")


async def rows(forwarder: Forwarder) -> list[Action]:
    return await forwarder.store.load_actions(0)


async def until(found: Callable[[list[Action]], Any], forwarder: Forwarder) -> list[Action]:
    for _ in range(400):
        if found(now := await rows(forwarder)):
            return now
        await asyncio.sleep(0.05)
    raise AssertionError([(one.name, one.state, one.outcome, one.reason, one.detail) for one in now])


def ended(count: int) -> Callable[[list[Action]], bool]:
    return lambda found: len([one for one in found if one.outcome is not None]) >= count
