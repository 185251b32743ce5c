"""The demo as it is called: the whole circle in one process, and what the other commands make of what it left."""

import contextlib
import fcntl
import itertools
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from forwarder.store.sqlite.lock import FileLock
from tests.child_processes import child

LINE = re.compile(
    r"(\d+) events happened: (\d+) stored \((\d+) by the hook, (\d+) from the System Log, \d+ of these missed by the "
    r"hook\), (\d+) on the way; of the stored events (\d+) delivered, (\d+) waiting, (\d+) dead letters"
)
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
        assert f"All {number:,} events are accounted for." in done.stdout
        *_, final = LINE.finditer(re.sub(r"(?<=\d),(?=\d)", "", done.stdout))
        assert [int(final[place]) for place in (1, 2, 5, 6, 7)] == [number, number, 0, number, 0]
    stats = run("stats", "--json", cwd=tmp_path)
    assert stats.returncode == 0, stats.stderr
    ledger = json.loads(stats.stdout)
    assert ledger["stored"] == ledger["sinks"]["archive"]["delivered"] == 2000
    assert set(ledger["sinks"]["archive"]) == {"delivered", "dead", "discarded", "skipped", "filtered", "waiting"}


def test_a_demo_whose_usual_ports_are_taken_takes_others(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # then another process has it, which is as good
            other.bind(("127.0.0.1", 9464))
            other.listen()
        done = run("demo", "--events", 3, "--exit", cwd=tmp_path)
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


class Terminal:
    """A demo on a terminal of 80 columns and 24 lines."""

    def __init__(self, cwd: Path) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(COMMAND, [COMMAND, "demo", "--rate", "20"], {**os.environ, "TERM": "xterm"})
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.text = ""

    def shows(self, pattern: str, seconds: float = 40) -> str:
        """Return what comes on the screen from now on up to the pattern."""
        self.text, ends = "", time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < ends, f"no {pattern} in {self.text[-2000:]}"
            assert self._read(), f"ended without {pattern}: {self.text[-2000:]}"
        return self.text

    def press(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    def ends(self) -> tuple[int, str]:
        """Return the exit code and the last words."""
        self.text = ""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.text

    def _read(self) -> bool:
        with contextlib.suppress(OSError):  # Linux's way to say that the other side has closed
            piece = os.read(self._terminal, 65_536)
            self.text += piece.decode(errors="replace")
            return bool(piece)
        return False


def test_on_a_terminal_a_key_unplugs_the_sink_and_another_plugs_it_in(tmp_path: Path) -> None:
    demo = Terminal(tmp_path)
    demo.shows(r"[1-9]\d* delivered")
    demo.press("u")
    demo.shows(r"(?s)[1-9]\d* waiting.*?unplugged")
    demo.press("p")
    demo.shows("● up")
    demo.press("q")
    code, last = demo.ends()
    assert code == 0, last
    assert LINE.search(last)
    (command,) = [line.strip() for line in last.splitlines() if " stats -c " in line]
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_terminal_a_line_every_few_seconds_adds_up(tmp_path: Path) -> None:
    with child([COMMAND, "demo", "--rate", "50"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines = (LINE.match(line) for line in demo.stdout)
        for happened, stored, by_hook, by_log, on_the_way, delivered, waiting, dead in (
            map(int, found.groups()) for found in itertools.islice(filter(None, lines), 3)
        ):
            assert happened == stored + on_the_way
            assert stored == by_hook + by_log == delivered + waiting + dead
        demo.send_signal(signal.SIGINT)
        assert LINE.match(demo.stdout.readlines()[0])
        assert demo.wait(20) == 0
