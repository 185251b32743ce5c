"""`forwarder gaps`: what it prints, and the exit code."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.cli.time_option import TimeParam
from forwarder.clock import SystemClock
from forwarder.core.time import FIRST
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import logged, opened, page


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {
            name: {
                "secrets": ["planted-secret"],
                "path": f"/{name}",
                "url": f"https://{name}.okta.com",
                "api": {"token": "planted-token"},
            }
            for name in ("acme", "calm")
        },
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))
    return file


def run(config: Path, *words: Any) -> Result:
    return CliRunner().invoke(main, ["gaps", "--config", str(config), *map(str, words)], catch_exceptions=False)


def fill(config: Path, *, missed: int, pending: int = 0) -> list[str]:
    """Let so many events of acme be missed, and so many be pending; the uuids of the missed ones."""
    late = [logged() for _ in range(missed)]
    young = [logged(received_at=NOON + 10) for _ in range(pending)]

    async def work() -> None:
        async with opened(config.with_name("store.db"), ManualClock(NOON + 20)) as store:
            await store.append(page(logged(org="calm")), timeout=5)
            await store.append(page(*late, *young, logged(), expected=[*late, *young]), timeout=5)
            assert await store.mark_missed("acme", NOON + 5) == missed

    asyncio.run(work())
    return [one.uuid for one in late]


def test_gaps_are_counted_and_listed_and_end_with_1(config: Path) -> None:
    missed = fill(config, missed=3, pending=2)
    done = run(config)
    assert done.exit_code == 1
    assert "acme: 3 missed, 2 pending" in done.output
    assert "calm: 0 missed, 0 pending" in done.output
    assert "        3  user.session.start" in done.output
    for uuid in missed:
        line = f"2026-01-01T12:00:00.000Z  acme  user.session.start  {uuid}  read from the log 2026-01-01T12:00:00.000Z"
        assert line in done.output
    assert "older" not in done.output


def test_what_is_only_pending_is_not_a_failure(config: Path) -> None:
    fill(config, missed=0, pending=2)
    done = run(config)
    assert done.exit_code == 0
    assert "acme: 0 missed, 2 pending" in done.output
    assert "Nothing was missed so far." in done.output


@pytest.mark.parametrize("how", ["no api", "never read"])
def test_nothing_was_missed_is_said_only_of_an_org_whose_system_log_was_read(config: Path, how: str) -> None:
    fill(config, missed=0)
    tree = json.loads(config.read_text())
    tree["orgs"]["blind"] = tree["orgs"]["calm"] | {"path": "/blind", "url": "https://blind.okta.com"}
    if how == "no api":
        del tree["orgs"]["blind"]["api"]
    config.write_text(json.dumps(tree))
    done = run(config)
    assert "blind: missed events are unknown, because the forwarder " in done.stderr
    assert "Nothing was missed" not in done.output
    assert "Nothing was missed" in run(config, "--org", "acme").output
    assert json.loads(run(config, "--json").stdout)["missed"] == 0


@pytest.mark.parametrize("how", ["its api was removed", "it was renamed"])
def test_what_nobody_judges_any_more_is_not_called_pending(config: Path, how: str) -> None:
    fill(config, missed=1, pending=2)
    tree = json.loads(config.read_text())
    if how == "its api was removed":
        del tree["orgs"]["acme"]["api"]
    else:
        tree["orgs"]["new"] = tree["orgs"].pop("acme")
    config.write_text(json.dumps(tree))
    done = run(config)
    assert done.exit_code == 1
    assert (
        "acme: 1 missed, 2 stay undecided, because the forwarder no longer reads the System Log of the org"
        in done.output
    )
    whole = json.loads(run(config, "--json").stdout)
    assert (whole["missed"], whole["pending"], whole["undecided"]) == (1, 0, 2)
    assert whole["orgs"]["acme"]["pending"] == 0


def test_json_holds_every_event_unless_it_is_limited(config: Path) -> None:
    missed = fill(config, missed=120, pending=1)
    done = run(config, "--json")
    assert done.exit_code == 1
    whole = json.loads(done.output)
    assert {gap["uuid"] for gap in whole["events"]} == set(missed)
    assert (whole["missed"], whole["pending"]) == (120, 1)
    assert whole["orgs"]["acme"] == {"missed": 120, "pending": 1, "types": {"user.session.start": 120}}
    assert whole["events"][0] | {"uuid": ""} == {
        "org": "acme",
        "uuid": "",
        "event_type": "user.session.start",
        "published": "2026-01-01T12:00:00.000Z",
        "read_from_log_at": "2026-01-01T12:00:00.000Z",
        "missed_at": "2026-01-01T12:00:00.000Z",
    }
    few = json.loads(run(config, "--json", "--limit", 7).output)
    assert (len(few["events"]), few["missed"]) == (7, 120)


def test_a_human_is_shown_a_hundred_and_told_how_many_more_there_are(config: Path) -> None:
    fill(config, missed=120)
    shown = run(config)
    assert shown.output.count("read from the log") == 100
    assert "… and 20 older events; --limit or --json lists them" in shown.output
    assert run(config, "--limit", 120).output.count("read from the log") == 120


def test_gaps_of_one_org(config: Path) -> None:
    fill(config, missed=1)
    assert run(config, "--org", "acme").exit_code == 1
    calm = run(config, "--org", "calm")
    assert (calm.exit_code, "acme" in calm.output) == (0, False)
    unknown = run(config, "--org", "acne")
    assert unknown.exit_code == 2
    assert "--org: unknown org 'acne'; known orgs: acme, calm" in unknown.output


@pytest.mark.parametrize(
    ("since", "code"),
    [
        ("2026-01-01", 1),
        ("2026-01-01T12:00:00Z", 1),
        ("2026-01-01T13:00+01:00", 1),
        ("2026-01-01T12:00:00.001", 0),
        ("2026-01-02", 0),
    ],
)
def test_gaps_since_a_time(config: Path, since: str, code: int) -> None:
    fill(config, missed=1)
    assert run(config, "--since", since).exit_code == code


def test_gaps_since_so_long_ago(config: Path) -> None:
    fill(config, missed=1)
    seconds = (SystemClock().now() - NOON) // 1_000_000
    assert run(config, "--since", f"{seconds + 60}s").exit_code == 1
    assert run(config, "--since", f"{seconds - 60}s").exit_code == 0


@pytest.mark.parametrize("since", ["yesterday", "24", "-1h", "", "99999999999d"])
def test_an_invalid_time_ends_with_2(config: Path, since: str) -> None:
    done = run(config, "--since", since)
    assert done.exit_code == 2
    assert "is not a time; write 2026-01-31" in done.output


def test_a_time_before_the_first_year_is_the_first_that_can_be_written() -> None:
    assert TimeParam().convert("0001-01-01T00:00+14:00", None, None) == FIRST


def test_without_a_store_there_are_no_gaps_to_show(config: Path) -> None:
    done = run(config)
    assert done.exit_code == 1
    assert "there is no store at" in done.output
