"""`forwarder backfill` as an operator uses it, against the emulated org, beside a running forwarder's store and without."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.emulator.org import Emulator
from forwarder.metrics import Metrics
from forwarder.store.ledger import read_ledger
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.okta_org import TOKEN, okta_org


@dataclass
class Scene:
    """An org in which something has happened, and a configuration with it."""

    org: Emulator
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "s.db"

    async def run(self, *words: str, orgs: dict[str, Any] | None = None) -> tuple[int, str]:
        """The exit code and the output of the command, in a thread, so that the org can answer."""
        acme = {"url": self.org.settings.url, "secrets": ["first-secret"], "api": {"token": TOKEN}}
        tree = {
            "orgs": {"acme": acme} if orgs is None else orgs,
            "store": {"path": str(self.store)},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "x.ndjson")}},
        }
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(tree))
        done = await asyncio.to_thread(CliRunner().invoke, main, ["backfill", "-c", str(config), *words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, " ".join(done.output.split())

    async def open(self) -> SqliteStore:
        settings = StoreSettings.model_validate({"path": str(self.store)})
        return await SqliteStore.open(settings, SystemClock(), Metrics())


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Scene]:
    async with okta_org(log_only_share=0.5) as org:
        await org.emit(1203)
        scene = Scene(org, tmp_path)
        await (await scene.open()).close()
        yield scene


async def test_a_span_is_fetched_beside_a_running_forwarder_and_without_one(there: Scene) -> None:
    code, said = await there.run("--since", "1h")
    assert code == 0, said
    assert "1,203 events, 1,203 of them new" in said
    assert read_ledger(there.store).stored == 1203
    await there.org.emit(4)
    store = await there.open()
    try:
        code, said = await there.run("--since", "1h", "--org", "acme")
        assert code == 0, said
        assert "1,207 events, 4 of them new" in said
        log, _ = await store.log("siem", "oldest")
        held = await log.read(0, limit=2000, max_bytes=10**9)
        assert sorted(one.event.uuid for one in held) == sorted(there.org.ledger().events)
    finally:
        await store.close()


async def test_a_dry_run_says_how_much_it_is_and_fetches_nothing(there: Scene) -> None:
    code, said = await there.run("--since", "1h", "--dry-run", "--rate-share", "0.3")
    assert code == 0, said
    assert "events in" in said
    assert "300 a minute by our share of Okta's rate limit: less than a minute." in said
    assert read_ledger(there.store).stored == 0


async def test_what_the_forwarders_own_polling_will_bring_is_left_to_it(there: Scene) -> None:
    store = await there.open()
    now = SystemClock().now()
    await store.set_cursor("log:acme", f'{{"next":"","polled":{now - 7200_000_000},"newest":0}}')
    await store.close()
    code, said = await there.run("--since", "1h")
    assert (code, "There is nothing to fetch." in said) == (0, True)
    assert "own polling brings" in said


async def test_a_refusal_of_okta_ends_with_1_and_its_reason(there: Scene) -> None:
    url = there.org.settings.url
    orgs = {"acme": {"url": url, "secrets": ["first-secret"], "api": {"token": "00wrong0token"}}}
    code, said = await there.run("--since", "1h", orgs=orgs)
    assert (code, "E0000011" in said) == (1, True), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--since", "yesterday"], "is no time"),
        (["--since", "1h", "--until", "2h"], "--since must be before --until"),
        (["--since", "200d", "--until", "100d"], "Okta keeps 90 days"),
        (["--since", "1h", "--org", "other"], "there is no other"),
        (["--since", "1h", "--rate-share", "0"], "rate-share"),
        ([], "--since"),
    ],
)
async def test_wrong_usage_ends_with_2(there: Scene, words: list[str], told: str) -> None:
    code, said = await there.run(*words)
    assert (code, told in said) == (2, True), said


async def test_an_org_without_credentials_cannot_be_asked(there: Scene) -> None:
    code, said = await there.run("--since", "1h", orgs={"acme": {"secrets": ["first-secret"]}})
    assert (code, "`url` and `api` are needed" in said) == (2, True), said
