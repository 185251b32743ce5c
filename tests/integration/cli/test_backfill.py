"""`forwarder backfill` as an operator uses it, against the emulated org, with a running forwarder and without one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.ports import Batch
from forwarder.emulator.emulator import Emulator
from forwarder.metrics import Metrics
from forwarder.settings import read
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.okta_org import TOKEN, okta_org
from tests.integration.store.helpers import commands


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
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(self.tree(orgs)))
        done = await asyncio.to_thread(CliRunner().invoke, main, ["backfill", "-c", str(config), *words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, " ".join(done.output.split())

    def tree(self, orgs: dict[str, Any] | None = None) -> dict[str, Any]:
        """The configuration. Polling starts now, so that it leaves earlier events to the backfill."""
        acme = {"url": self.org.settings.url, "secrets": ["first-secret"], "api": {"token": TOKEN}}
        return {
            "orgs": {"acme": acme} if orgs is None else orgs,
            "receiver": {"listen": "127.0.0.1:0"},
            "ops": {"listen": "127.0.0.1:0"},
            "store": {"path": str(self.store)},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "x.ndjson")}},
            "reconcile": {"lookback": "1ms"},
        }

    @asynccontextmanager
    async def forwarder(self, **changes: Any) -> AsyncIterator[Forwarder]:
        forwarder = Forwarder(read(self.tree() | changes), SystemClock())
        await forwarder.start()
        try:
            yield forwarder
        finally:
            await forwarder.stop(grace=0)

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


@pytest.mark.long
async def test_a_time_range_is_fetched_with_a_running_forwarder_and_without_one(there: Scene) -> None:
    code, said = await there.run("--since", "1h")
    assert code == 0, said
    assert "1,203 events, 1,203 of them new" in said
    assert commands(there.store).ledger().stored == 1203
    await there.org.emit(4)
    async with there.forwarder() as forwarder:
        code, said = await there.run("--since", "1h", "--org", "acme")
        assert code == 0, said
        assert "1,207 events, 4 of them new" in said
        log, _ = await forwarder.store.log("archive", "oldest")
        held = await log.read(0, limit=2000, max_bytes=10**9)
        assert sorted(one.event.uuid for one in held) == sorted(there.org.ledger().events)
        scrape = forwarder.metrics.registry.get_sample_value
        assert scrape("forwarder_events_duplicate_total", {"org": "acme", "via": "log"}) >= 1203  # type: ignore[operator]


@pytest.mark.long
async def test_a_running_forwarder_without_the_org_says_so(there: Scene) -> None:
    async with there.forwarder(orgs={"other": {"secrets": ["first-secret"]}}):
        code, said = await there.run("--since", "1h")
        assert (code, "does not read the System Log of acme" in said) == (1, True), said


@pytest.mark.long
async def test_a_store_that_another_process_holds_is_left_alone(there: Scene) -> None:
    store = await there.open()
    try:
        code, said = await there.run("--since", "1h")
        assert (code, "in use by the process" in said) == (1, True), said
    finally:
        await store.close()


@pytest.mark.long
async def test_without_a_store_there_is_an_error_and_none_is_created(there: Scene) -> None:
    there.folder = there.folder / "empty"
    there.folder.mkdir()
    code, said = await there.run("--since", "1h")
    assert (code, "there is no store at" in said, there.store.exists()) == (1, True, False), said


@pytest.mark.long
async def test_a_dry_run_estimates_and_fetches_nothing(there: Scene) -> None:
    code, said = await there.run("--since", "1h", "--dry-run", "--rate-share", "0.3")
    assert code == 0, said
    assert "events in" in said
    assert "which take less than a minute: the backfill may make 300 calls a minute." in said
    assert commands(there.store).ledger().stored == 0


@pytest.mark.long
async def test_later_events_are_left_to_polling(there: Scene) -> None:
    store = await there.open()
    now = SystemClock().now()
    cursor = f'{{"next":"","polled":{now - 7200_000_000},"newest":0}}'
    await store.append(Batch(cursor=("log:acme", cursor)), timeout=5)
    await store.close()
    code, said = await there.run("--since", "1h")
    assert (code, "There is nothing to fetch." in said) == (0, True)
    assert "because polling fetches all later events" in said


@pytest.mark.long
async def test_an_error_of_okta_ends_with_1_and_its_reason(there: Scene) -> None:
    url = there.org.settings.url
    orgs = {"acme": {"url": url, "secrets": ["first-secret"], "api": {"token": "00wrong0token"}}}
    code, said = await there.run("--since", "1h", orgs=orgs)
    assert (code, "E0000011" in said) == (1, True), said


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--since", "yesterday"], "is not a time"),
        (["--since", "1h", "--until", "2h"], "--since must be in the past and before --until"),
        (["--since", "200d", "--until", "100d"], "Okta keeps its log only for 90 days"),
        (["--since", "1h", "--org", "other"], "unknown org 'other'"),
        (["--since", "1h", "--rate-share", "0"], "rate-share"),
        ([], "--since"),
    ],
)
async def test_wrong_usage_ends_with_2(there: Scene, words: list[str], text: str) -> None:
    code, said = await there.run(*words)
    assert (code, text in said) == (2, True), said


@pytest.mark.long
async def test_an_org_without_credentials_cannot_be_asked(there: Scene) -> None:
    code, said = await there.run("--since", "1h", orgs={"acme": {"secrets": ["first-secret"]}})
    assert (code, "`url` and `api` are needed" in said) == (2, True), said
