"""A server in a process group of its own: started, awaited, stopped, crashed."""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("FORWARDER_STACK_CACHE", ROOT / ".cache" / "stack"))
_POLL = 0.05


class StackError(Exception):
    """A real part did not start, did not become ready or did not stop."""


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that nothing listens on.

    It lies below the range that the kernel takes outgoing ports from, so that no connection of another test can
    sit on it between now and the start, or while its server is down.
    """
    for _ in range(100):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StackError("no free port between 15000 and 32000")


def answers(port: int, path: str, headers: Mapping[str, str] | None = None) -> bool:
    """Tell whether GET `path` on 127.0.0.1:`port` is answered 200 within two seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def children(pid: int | None = None) -> list[int]:
    """Return the numbers of the processes that `pid`, or this process, has started and not waited for.

    The resource tracker of multiprocessing is left out: once a test has spawned a process, it stays until the end.
    """
    threads = Path(f"/proc/{pid or os.getpid()}/task").glob("*/children")
    found = [int(child) for thread in threads for child in _content(thread).split()]
    return [
        child for child in found if b"multiprocessing.resource_tracker" not in _content(Path(f"/proc/{child}/cmdline"))
    ]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the thread or process has ended meanwhile
        return b""


class ServerProcess:
    """A process group, its log and its end. Subclasses say what to run and when it is ready.

    All methods block; a test on an event loop calls them by `asyncio.to_thread`.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """Give the command line to run."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Give what is added to the environment."""
        return {}

    def ready(self) -> bool:
        """Tell whether the server answers."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The leader of the process group."""
        if self._process is None:
            raise StackError(f"{self.name} does not run")
        return self._process.pid

    def start(self, timeout: float = 120) -> None:
        """Start the server and return when it is ready.

        Args:
            timeout: seconds.

        Raises:
            StackError: it ended or was not ready in time. The error holds the end of its log.
        """
        if self._process is not None:
            raise StackError(f"{self.name} runs already")
        if self.ready():
            raise StackError(f"another server answers where {self.name} would")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self.ready():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                end = f"ended with {code}" if code is not None else f"was not ready within {timeout:.0f} s"
                self.kill()
                raise StackError(f"{self.name} {end}; the end of {self.log}:\n{self.log_tail()}")
            time.sleep(_POLL)

    def stop(self, timeout: float = 30) -> None:
        """Stop the server in its own way (SIGTERM), and kill it if that takes longer than `timeout` seconds."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """Crash the server and all of its children (SIGKILL), and return when they are gone."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait(30)
        deadline = time.monotonic() + 30
        while group_lives(self._process.pid):
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} outlived SIGKILL")
            time.sleep(_POLL)
        self._process = None

    def restart(self, timeout: float = 120) -> None:
        """Stop, then start on the same ports and the same data."""
        self.stop()
        self.start(timeout)

    def log_tail(self, lines: int = 40) -> str:
        """Give the last lines of what the server printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def group_lives(group: int) -> bool:
    """Tell whether a process of `group` is left that is not merely waiting to be reaped."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state ppid pgrp …"; the name may hold blanks and brackets.
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            # The first thread of a killed process is a zombie while the others still hold its sockets and files.
            threads = len(list((stat.parent / "task").iterdir()))
            if int(its_group) == group and (state not in {"Z", "X"} or threads > 1):
                return True
    return False
