"""`forwarder backup`, and starting a forwarder from what it made."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.core.ports import Batch
from tests.integration.store.helpers import delivered, events, opened, settle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {"acme": {"secrets": [{"env": "NOT_SET_HERE"}]}},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))

    async def fill() -> None:
        async with opened(tmp_path / "store.db", sinks=("archive",)) as store:
            await store.append(Batch(events(5)), timeout=5)
            await settle(store, "archive", delivered(2, 2))

    asyncio.run(fill())
    return file


def run(config: Path, *words: Any) -> Result:
    arguments = [*map(str, words), "--config", str(config)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_backup_says_what_it_holds(config: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    done = run(config, "backup", target)
    assert done.exit_code == 0
    assert re.fullmatch(
        r"Backed up 5 events of 5 ever stored, 0\.\d MB, to .*backup\.db; 3 wait for archive\.\n", done.output
    )


def test_backup_as_json(config: Path, tmp_path: Path) -> None:
    done = run(config, "backup", tmp_path / "backup.db", "--json")
    made = json.loads(done.stdout)
    assert made.pop("bytes") > 0
    assert made == {
        "file": str(tmp_path / "backup.db"),
        "stored": 5,
        "events": 5,
        "waiting": {"archive": 3},
        "imbalances": [],
    }


def test_a_backup_that_cannot_be_made_ends_with_1(config: Path, tmp_path: Path) -> None:
    run(config, "backup", tmp_path / "backup.db")
    done = run(config, "backup", tmp_path / "backup.db")
    assert done.exit_code == 1
    assert "exists, and a backup never overwrites a file" in done.output


def test_a_restored_backup_has_the_ledger_of_the_store(config: Path, tmp_path: Path) -> None:
    before = run(config, "stats", "--json").output
    run(config, "backup", tmp_path / "backup.db")
    old = tmp_path / "old"
    old.mkdir()
    for file in tmp_path.glob("store.db*"):
        file.rename(old / file.name)
    shutil.copy(tmp_path / "backup.db", tmp_path / "store.db")
    assert json.loads(run(config, "stats", "--json").output)["sinks"] == json.loads(before)["sinks"]
