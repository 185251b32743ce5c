"""Unit tests are pure: no socket, no process, no database file, no fsync. Whatever needs one is in tests/integration."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_EVENTS = {"socket.bind", "socket.connect", "subprocess.Popen", "os.posix_spawn", "sqlite3.connect"}
_running: list[str] = []
_seen: list[str] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _running and event in _EVENTS:
        _seen.append(f"{event} {args}")


def _fsync(handle: int, fsync: Callable[[int], None] = os.fsync) -> None:
    if _running:
        _seen.append("os.fsync")
    fsync(handle)


# For the life of the process; both look only while a unit test runs.
sys.addaudithook(_audit)
os.fsync = _fsync  # type: ignore[assignment]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _running.append(item.nodeid)
    _seen.clear()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail a test that does real I/O."""
    try:
        yield
    finally:
        _running.clear()
    if _seen:
        pytest.fail(f"not pure, so it belongs in tests/integration: {_seen[0]}", pytrace=False)
