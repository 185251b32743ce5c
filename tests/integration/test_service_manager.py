"""The protocol of systemd's service manager, on a real socket, spoken by the real process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from forwarder.service_manager import ServiceManager
from tests.stack.process import ROOT

HEALTHY = "STATUS=receives on 127.0.0.1:"
DEADLINE = 20.0


class Manager:
    """The receiving end, as systemd's: a datagram socket in the file system."""

    def __init__(self, path: Path | str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(DEADLINE)
        self.address = str(path)

    def next(self, *, skip: str = "WATCHDOG=1") -> list[str]:
        """The lines of the next message that is not `skip`."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if (message := self.socket.recv(4096).decode()) != skip:
                return message.split("\n")
        raise TimeoutError

    def waiting(self) -> list[str]:
        """Every message that has come and was not taken."""
        found = []
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096).decode())
        self.socket.settimeout(DEADLINE)
        return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start a forwarder with more in its environment; its log lines go to `log`."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "secret").write_text("the-secret-of-these-tests-0123456789")
    write(tmp_path)

    def _start(**environment: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "forwarder", "run", "--config", tmp_path / "forwarder.yaml"],
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stderr=log,
            )
        started.append(process)
        return process

    yield _start
    for process in started:
        process.kill()
        process.wait()


def write(directory: Path, **changes: Any) -> None:
    """Write the configuration of the process."""
    tree = {
        "orgs": {"acme": {"secrets": [{"file": str(directory / "secret")}]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "store": {"path": str(directory / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(directory / "archive.ndjson")}},
    }
    (directory / "forwarder.yaml").write_text(yaml.safe_dump(tree | changes))


@pytest.mark.long
def test_a_start_a_reload_and_a_stop_are_told(manager: Manager, start: Any, tmp_path: Path) -> None:
    process = start(NOTIFY_SOCKET=manager.address)
    ready, status = manager.next()
    assert ready == "READY=1"
    assert status.startswith(HEALTHY)
    before = time.monotonic_ns() // 1000
    process.send_signal(signal.SIGHUP)
    reloading, moment = manager.next()
    assert reloading == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert manager.next()[0] == "READY=1"
    write(tmp_path, sinks={})
    process.send_signal(signal.SIGHUP)
    assert manager.next()[0] == "RELOADING=1"
    ready, status = manager.next()
    assert ready == "READY=1"  # with the old configuration
    assert "the reload failed" in status
    write(tmp_path)
    while not status.startswith(HEALTHY):  # it tries again by itself
        ready, status = manager.next()
        assert ready == "READY=1"
    process.terminate()
    assert manager.next()[0] == "STOPPING=1"
    assert process.wait(DEADLINE) == 0


@pytest.mark.long
def test_a_start_that_fails_is_never_called_ready(manager: Manager, start: Any, tmp_path: Path) -> None:
    write(tmp_path, sinks={})
    assert start(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="20000").wait(DEADLINE) == 2
    assert manager.waiting() == []


@pytest.mark.long
def test_signs_of_life_come_at_half_of_the_watchdogs_time(manager: Manager, start: Any) -> None:
    process = start(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="1000000")
    manager.next()
    times: list[float] = []
    while len(times) < 4:
        assert manager.next(skip="") == ["WATCHDOG=1"]
        times.append(time.monotonic())
    assert times[-1] - times[0] > 1.2  # three intervals of half a second
    process.terminate()
    assert process.wait(DEADLINE) == 0


@pytest.mark.long
def test_what_the_watchdog_ends_says_where_it_hung(manager: Manager, start: Any, tmp_path: Path) -> None:
    process = start(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="60000000")
    manager.next()
    manager.next(skip="")  # the first sign of life: the watchdog is on
    process.send_signal(signal.SIGABRT)  # systemd's WatchdogSignal
    assert process.wait(DEADLINE) == -signal.SIGABRT
    log = (tmp_path / "log").read_text()
    assert "Fatal Python error: Aborted" in log
    assert "forwarder/forwarder_process.py" in log


@pytest.mark.long
async def test_a_loop_that_hangs_gives_no_sign_of_life(manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "40000"}
    alive = asyncio.create_task(ServiceManager(environment).keep_alive())
    while len(manager.waiting()) < 1:
        await asyncio.sleep(0)
    # The loop hangs for ten times the watchdog's time.
    threading.Event().wait(0.4)
    assert manager.waiting() == []
    while len(manager.waiting()) < 1:
        await asyncio.sleep(0)
    alive.cancel()


def test_an_abstract_socket_is_understood() -> None:
    manager = Manager(f"\0okta-forwarder-test-{os.getpid()}")
    ServiceManager({"NOTIFY_SOCKET": "@" + manager.address[1:]}).stopping()
    assert manager.next()[0] == "STOPPING=1"
    manager.socket.close()


@pytest.mark.long
def test_a_manager_that_does_not_listen_stops_nothing(tmp_path: Path) -> None:
    absent = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    absent.ready("fine")
    full = Manager(tmp_path / "full")
    for _ in range(5_000):  # the queue of the socket is full long before
        ServiceManager({"NOTIFY_SOCKET": full.address}).ready("fine")
    assert len(full.waiting()) < 5_000
    full.socket.close()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),  # nobody to tell
        ({"NOTIFY_SOCKET": "/n"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}, 15),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "ours"}, 15),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_interval_is_half_of_what_the_watchdog_waits(environment: dict[str, str], interval: float | None) -> None:
    ours = {name: str(os.getpid()) for name, value in environment.items() if value == "ours"}
    assert ServiceManager(environment | ours).watchdog_interval == interval
