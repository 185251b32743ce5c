"""`forwarder replay`: what it counts, asks and says, and its exit codes. A replay that runs: tests/e2e/test_commands.py."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.core.ports import Batch, Settlement
from tests.integration.store.helpers import events, opened, rejections, settle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {"acme": {"secrets": [{"env": "NOT_SET_HERE"}]}},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {
            "archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")},
            "siem": {"kind": "elasticsearch", "hosts": ["http://es:9200"]},
        },
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))

    async def fill() -> None:
        async with opened(tmp_path / "store.db", sinks=("archive", "siem")) as store:
            await store.append(Batch(events(5)), timeout=5)
            await settle(store, "archive", Settlement(4, delivered=3, dead=rejections(2)))

    asyncio.run(fill())
    return file


def run(config: Path, *words: Any, answer: str | None = None) -> Result:
    arguments = ["replay", *map(str, words), "--config", str(config)]
    return CliRunner().invoke(main, arguments, input=answer, catch_exceptions=False)


def test_a_dry_run_counts_and_says_what_it_would_not_touch(config: Path) -> None:
    done = run(config, "--sink", "archive", "--since", "2026-01-01", "--until", "2026-01-02", "--dry-run")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "Received from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z: 3 events to deliver to archive again.",
        "  Left out: 1 that wait for this sink and are delivered anyway.",
        "  Left out: 1 that are dead letters; see: forwarder dead-letters replay --sink archive --all.",
        "The file gets a second copy of events that it already has.",
    ]


def test_a_dry_run_as_json(config: Path) -> None:
    done = run(config, "--sink", "archive", "--since", "2026-01-01", "--dry-run", "--json")
    assert json.loads(done.stdout) == {
        "sink": "archive",
        "events": 3,
        "waiting": 1,
        "dead": 1,
        "discarded": 0,
        "filtered": 0,
        "gone": 0,
    }


def test_it_asks_before_it_delivers(config: Path) -> None:
    done = run(config, "--sink", "archive", "--since", "2026-01-01", answer="n\n")
    assert done.exit_code == 1
    assert "Deliver 3 events to archive again?" in done.output
    assert "No forwarder runs" not in done.output


def test_without_a_running_forwarder_nothing_is_delivered(config: Path) -> None:
    done = run(config, "--sink", "archive", "--since", "2026-01-01", "--yes")
    assert done.exit_code == 1
    assert "No forwarder runs on this store; start one" in done.output


def test_nothing_to_deliver_is_no_error_and_asks_nothing(config: Path) -> None:
    done = run(config, "--sink", "siem", "--since", "2026-01-01")
    assert done.exit_code == 0
    assert "0 events to deliver to siem again" in done.output
    early = run(config, "--sink", "archive", "--since", "2025-01-01", "--until", "2025-02-01")
    assert early.exit_code == 0
    assert "0 events to deliver to archive again" in early.output


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--sink", "siemm", "--since", "1h"), "unknown sink 'siemm'; known sinks: archive, siem"),
        (("--sink", "siem"), "give --since, or --resume"),
        (("--sink", "siem", "--since", "1h", "--resume"), "give --since, or --resume"),
        (("--sink", "siem", "--since", "1h", "--org", "calm"), "unknown org 'calm'; known orgs: acme"),
        (("--sink", "siem", "--since", "1h", "--org", ""), "unknown org ''; known orgs: acme"),
        (("--sink", "siem", "--since", "1h", "--until", "2h"), "--since must be in the past and before --until"),
        (("--sink", "siem", "--since", "1h", "--rate", "fast"), "'fast' is not a rate; write a rate such as 200/s"),
        (("--sink", "siem", "--since", "1h", "--json"), "--json needs --yes or --dry-run"),
    ],
)
def test_wrong_usage_ends_with_2(config: Path, words: tuple[str, ...], problem: str) -> None:
    done = run(config, *words)
    assert done.exit_code == 2
    assert problem in done.output


def test_an_org_that_was_removed_from_the_configuration_is_replayed(config: Path) -> None:
    config.write_text(config.read_text().replace('"acme"', '"new"'))
    since = ("--sink", "archive", "--since", "2026-01-01", "--until", "2026-01-02", "--dry-run")
    done = run(config, *since, "--org", "acme")
    assert done.exit_code == 0, done.output
    assert "3 events to deliver to archive again" in done.output
    wrong = run(config, *since, "--org", "calm")
    assert (wrong.exit_code, "unknown org 'calm'; known orgs: acme, new" in wrong.output) == (2, True)


def test_a_type_that_okta_does_not_have_is_warned_of(config: Path) -> None:
    done = run(config, "--sink", "archive", "--since", "2026-01-01", "--type", "user.sesion.start", "--dry-run")
    assert done.exit_code == 0
    assert "did you mean user.session.start?" in done.output
    assert "0 events to deliver" in done.output
