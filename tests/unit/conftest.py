"""Unit tests are pure: no socket, no process, no database file, no fsync. Whatever needs one is in tests/integration."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

_EVENTS = {"socket.bind", "socket.connect", "subprocess.Popen", "os.posix_spawn", "sqlite3.connect"}
_running: list[str] = []
_seen: list[str] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _running and event in _EVENTS:
        _seen.append(f"{event} {args}")


sys.addaudithook(_audit)  # for the life of the process; it looks only while a unit test runs


@pytest.fixture(autouse=True)
def _pure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that does real I/O."""
    fsync = os.fsync

    def seen_fsync(handle: int) -> None:
        _seen.append("os.fsync")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    _running.append(request.node.nodeid)
    _seen.clear()
    yield
    _running.clear()
    if _seen:
        pytest.fail(f"not pure, so it belongs in tests/integration: {_seen[0]}", pytrace=False)
