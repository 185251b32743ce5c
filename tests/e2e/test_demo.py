"""The demo as it is called: the whole circle in one process, and what the other commands make of what it left."""

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forwarder.store.sqlite.lock import FileLock

COMMAND = str(Path(sys.executable).with_name("forwarder"))


def run(*words: Any, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Call the installed command in `cwd`."""
    command = [COMMAND, *(str(word) for word in words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a demo that ran."""
    folder = tmp_path / "demo"
    done = run("demo", "--events", 5, "--exit", "--dir", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_demo_of_so_many_events_accounts_for_each(tmp_path: Path) -> None:
    for number in (150, 2000):  # the second one empties the folder of the first
        done = run("demo", "--events", number, "--exit", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"All {number:,} events are accounted for, and 2 events of Okta about the hook" in done.stdout
    stats = run("stats", "--json", cwd=tmp_path)
    assert stats.returncode == 0, stats.stderr
    ledger = json.loads(stats.stdout)
    assert ledger["stored"] == ledger["sinks"]["archive"]["delivered"] == 2002
    assert set(ledger["sinks"]["archive"]) == {
        "delivered",
        "dead",
        "discarded",
        "skipped",
        "filtered",
        "waiting",
    }


def test_a_demo_whose_usual_ports_are_taken_takes_others(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # then another process has it, which is as good
            other.bind(("127.0.0.1", 9464))
            other.listen()
        done = run("demo", "--events", 1, "--exit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:9464" not in done.stdout


def test_a_demo_that_runs_is_not_emptied_by_another(folder: Path) -> None:
    lock = FileLock(folder / "store.db")
    try:
        done = run("demo", "--events", 5, "--exit", "--dir", folder, cwd=folder.parent)
    finally:
        lock.release()
    assert done.returncode == 1
    assert "in use" in done.stderr


def test_a_dead_letter_that_does_not_exist_is_told_by_the_exit_code(folder: Path) -> None:
    config = ("--config", folder / "forwarder.yaml")
    for words in (["replay"], ["discard", "--yes"], ["show"]):
        done = run("dead-letters", *words, 999, *config, cwd=folder)
        assert done.returncode == 1
        assert "dead-letters list" in done.stderr
    assert run("dead-letters", "replay", "--all", *config, cwd=folder).returncode == 0
