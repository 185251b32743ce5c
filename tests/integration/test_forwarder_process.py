"""The forwarder as a process under a system that refuses memory and threads, and under signals that it does not use."""

import json
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.child_processes import child
from tests.stack.forwarder import ForwarderProcess

MIB = 2**20


@pytest.fixture
def forwarder(tmp_path: Path) -> Iterator[ForwarderProcess]:
    sinks = {"archive": {"kind": "file", "path": str(tmp_path / "archive.ndjson")}}
    process = ForwarderProcess(tmp_path, sinks, {"log": {"format": "json"}})
    yield process
    process.kill()


def limited(forwarder: ForwarderProcess, command: str = "run", **limits: int) -> "subprocess.CompletedProcess[str]":
    """Run a command of the forwarder with lower resource limits, until it ends by itself."""

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))

    words = [command if word == "run" else word for word in forwarder.command()]
    return subprocess.run(words, preexec_fn=limit, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.long
@pytest.mark.parametrize("mib", [64, 72])  # with less, a library in Rust may abort the process
def test_a_start_without_enough_memory_is_one_line_and_ends_with_1(forwarder: ForwarderProcess, mib: int) -> None:
    done = limited(forwarder, AS=mib * MIB)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "memory" in line
    assert "ulimit -v" in line


@pytest.mark.long
def test_a_start_without_threads_says_so_and_ends_with_1(forwarder: ForwarderProcess) -> None:
    # Each thread wants a stack that is larger than all that the process may have.
    done = limited(forwarder, STACK=4096 * MIB, AS=2048 * MIB)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("no thread could be started")
    assert "ulimit -u" in line


@pytest.mark.long
@pytest.mark.parametrize("files", [5, 8, 10, 13, 16])  # below 5, Python itself does not start
def test_a_start_with_far_too_few_open_files_says_so_in_one_line_and_ends_with_1(
    forwarder: ForwarderProcess, files: int
) -> None:
    done = limited(forwarder, NOFILE=files)
    assert done.returncode == 1
    *before, line = done.stderr.splitlines()
    assert line.startswith("no more files can be opened; raise the limit")
    assert all("config_warning" in earlier for earlier in before)


@pytest.mark.long
def test_a_start_without_enough_open_files_says_so_and_ends_with_1(forwarder: ForwarderProcess) -> None:
    ends = [limited(forwarder, NOFILE=files) for files in (22, 24, 26)]
    assert [done.returncode for done in ends] == [1, 1, 1]
    assert not any("Traceback" in done.stderr for done in ends)
    assert any("no more files can be opened; raise the limit" in done.stderr for done in ends)


@pytest.mark.long
def test_a_command_that_cannot_open_the_store_for_lack_of_files_does_not_blame_the_disk(
    forwarder: ForwarderProcess,
) -> None:
    forwarder.start()
    forwarder.stop()
    done = limited(forwarder, "stats", NOFILE=5)
    assert done.returncode == 1
    assert "raise the limit of open files" in done.stderr
    assert "check the disk" not in done.stderr


@pytest.mark.long
def test_a_backup_by_a_forwarder_that_cannot_start_a_thread_is_one_log_line_and_a_clear_error(
    forwarder: ForwarderProcess, tmp_path: Path
) -> None:
    forwarder.start()
    now = int(Path(f"/proc/{forwarder.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(forwarder.pid, resource.RLIMIT_AS, (now + MIB, resource.RLIM_INFINITY))  # no stack fits
    done = forwarder.run("backup", str(tmp_path / "backup.db"), expect=1)
    assert "no thread could be started; raise the limit" in done.stderr
    (line,) = actions(forwarder, "command_failed")
    assert "no thread could be started" in line
    assert "Traceback" not in forwarder.log.read_text()


def actions(forwarder: ForwarderProcess, action: str) -> list[str]:
    return [line for line in forwarder.log.read_text().splitlines() if f'"action":"{action}"' in line]


def until(forwarder: ForwarderProcess, action: str, count: int = 1) -> None:
    deadline = time.monotonic() + 20
    while len(actions(forwarder, action)) < count:
        assert time.monotonic() < deadline, forwarder.log_tail()
        time.sleep(0.05)


@pytest.mark.long
def test_a_signal_that_the_forwarder_does_not_use_is_one_line_and_does_not_end_it(forwarder: ForwarderProcess) -> None:
    forwarder.start()
    for count, number in enumerate((signal.SIGUSR1, signal.SIGUSR2), start=1):
        forwarder._signal(number)
        until(forwarder, "signal_ignored", count)
        assert number.name in actions(forwarder, "signal_ignored")[-1]
    assert forwarder.ready()


@pytest.mark.long
def test_a_signal_that_comes_right_after_another_counts_once(forwarder: ForwarderProcess) -> None:
    forwarder.start()
    for count in range(1, 501):
        forwarder._signal(signal.SIGUSR1)
        moment = time.perf_counter() + count * 300e-9  # while the first is being handled, sooner or later
        while time.perf_counter() < moment:
            pass
        forwarder._signal(signal.SIGUSR2)
        while len(lines := actions(forwarder, "signal_ignored")) < 2 * count:
            time.sleep(0.001)
        assert len(lines) == 2 * count


@pytest.mark.long
def test_a_signal_that_the_forwarder_does_not_use_does_not_end_its_start(forwarder: ForwarderProcess) -> None:
    with child(forwarder.command(), stderr=subprocess.PIPE) as process:
        while not forwarder.ready():
            if ignores(process.pid, signal.SIGUSR1):  # the first lines of the program have run
                process.send_signal(signal.SIGUSR1)
            time.sleep(0.05)
            assert process.poll() is None


def ignores(pid: int, number: signal.Signals) -> bool:
    return _in_mask(pid, "SigIgn", number)


def catches(pid: int, number: signal.Signals) -> bool:
    return _in_mask(pid, "SigCgt", number)


def _in_mask(pid: int, mask: str, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition(f"{mask}:")[2].split()[0], 16) & 1 << (number - 1))


@pytest.mark.long
def test_sigquit_stops_the_forwarder_as_sigterm_does(forwarder: ForwarderProcess) -> None:
    forwarder.start()
    forwarder._signal(signal.SIGQUIT)
    until(forwarder, "stopped")


@pytest.mark.long
def test_a_hangup_at_the_very_end_of_a_stop_does_not_change_its_exit_code(forwarder: ForwarderProcess) -> None:
    with child(forwarder.command(), stderr=subprocess.DEVNULL) as process:
        while not forwarder.ready():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            process.send_signal(signal.SIGHUP)
        assert process.returncode == 0


@pytest.mark.long
def test_a_signal_during_the_start_stops_the_forwarder_and_both_ends_are_logged(forwarder: ForwarderProcess) -> None:
    forwarder.start()
    forwarder.stop()
    locked = sqlite3.connect(forwarder.store)
    locked.execute("BEGIN EXCLUSIVE")  # the start now waits for the store
    with child(forwarder.command(), stderr=subprocess.PIPE, text=True) as process:
        while not catches(process.pid, signal.SIGQUIT):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        locked.close()
        assert process.stderr is not None
        lines = [json.loads(line)["event"]["action"] for line in process.stderr]
        assert process.wait(20) == 0
    assert lines[-2:] == ["stopping", "stopped"]


@pytest.mark.long
@pytest.mark.parametrize("umask", [0o777, 0o277])
def test_a_umask_never_takes_the_rights_of_the_owner(forwarder: ForwarderProcess, tmp_path: Path, umask: int) -> None:
    with child(forwarder.command(), stderr=subprocess.DEVNULL, umask=umask) as process:
        while not forwarder.ready():
            assert process.poll() is None
            time.sleep(0.05)
        assert umask_of(process.pid) == "0077"
        assert forwarder.store.stat().st_mode & 0o777 == 0o600


def umask_of(pid: int) -> str:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Umask:"))
    return line.split()[1]
