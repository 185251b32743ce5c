"""A plugin of pytest: runs the tests in processes that are forked after the collection (`pytest -p tests.forks`).

A worker of pytest-xdist imports and collects everything again, and to hand over the reports of a test takes 1.2 ms: as
long as a pure test. A fork has everything already, and its reports take a tenth of that. A test must not have made
anything of its process at the collection, such as its number. No warning of a test is shown: here they are errors.
"""

import faulthandler
import os
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, pairwise
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Never

import pytest

# A fork takes the tests of one module, which share what the module caches, but no more than this at once, so that the
# others have something to do at the end. With `--whole-groups`, a fork takes all of them, and so all tests that have the
# mark `one_process` with the same name, so that what is made for them is made once.
_MOST = 50
_INTERRUPTED = 30.0
"""Seconds that an interrupted test has to end what it has started."""
_CHUNK = struct.Struct("II")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forks", type=int, default=min(os.cpu_count() or 1, 4), help="processes that run tests")
    parser.addoption(
        "--hung",
        type=float,
        default=120,
        help="seconds over its timeout after which a test's process is killed, and where it hangs is printed",
    )
    parser.addoption("--whole-groups", action="store_true", help="let no two processes share a module")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    option = session.config.option
    if session.testsfailed or option.collectonly or option.usepdb or option.forks < 2:
        return None
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one for all
    _Forks(session, option.forks).run()
    return True


class _Forks:
    def __init__(self, session: pytest.Session, count: int) -> None:
        self._session = session
        self._hook = session.config.hook
        self._left = {item.nodeid: item for item in session.items}
        whole = session.config.option.whole_groups
        if whole:
            session.items[:] = chain.from_iterable(_groups(session.items))
        self._queue = _queue(session.items, len(session.items) if whole else _MOST)
        self._pids: dict[Connection, int] = {}
        for _ in range(count):
            self._fork()

    def run(self) -> None:
        try:
            failures = self._receive()
        finally:
            self._interrupt()
            os.close(self._queue)
        if failures and not self._session.shouldfail:
            untold = f" before {next(iter(self._left))} had ended" if self._left else ""
            self._session.shouldfail = f"a fork ended with {failures[0]}{untold}"
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _interrupt(self) -> None:
        """End the forks that still run, after an interrupt: first so that fixtures end the servers that they started."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + _INTERRUPTED
        for pid in self._pids.values():
            while not os.waitpid(pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)

    def _fork(self) -> None:
        receiver, sender = Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            _work(self._session, self._queue, sender)
        sender.close()
        self._pids[receiver] = pid

    def _receive(self) -> list[int]:
        """Hand over all reports, and return the exit codes of the forks that failed."""
        failures = []
        while self._pids:
            for receiver in wait(list(self._pids)):
                assert isinstance(receiver, Connection)
                try:
                    self._hand_over(*receiver.recv())
                except EOFError:
                    _, status = os.waitpid(self._pids.pop(receiver), 0)
                    if status:
                        failures.append(os.waitstatus_to_exitcode(status))
            if self._session.shouldfail or self._session.shouldstop:
                _empty(self._queue)
        return failures

    def _hand_over(self, nodeid: str, reports: list[dict[str, Any]]) -> None:
        item = self._left.pop(nodeid)
        self._hook.pytest_runtest_logstart(nodeid=nodeid, location=item.location)
        for data in reports:
            report = self._hook.pytest_report_from_serializable(config=self._session.config, data=data)
            self._hook.pytest_runtest_logreport(report=report)
        self._hook.pytest_runtest_logfinish(nodeid=nodeid, location=item.location)


class _Sender:
    """In a fork: what the terminal's reporter is in the first process."""

    def __init__(self, config: pytest.Config, sender: Connection, writer: Any) -> None:
        self._tw = writer  # pytest-timeout writes with it, as `pytest.Config.get_terminal_writer` returns it
        self._config = config
        self._sender = sender
        self._reports: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook
        self._reports.append(hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._sender.send((nodeid, self._reports))
        self._reports = []


def _work(session: pytest.Session, queue: int, sender: Connection) -> Never:
    """Run tests from the queue in this fork, and end it."""
    code, stderr = 1, sys.__stderr__
    try:
        plugins = session.config.pluginmanager
        capture: Any = plugins.getplugin("capturemanager")
        capture.stop_global_capturing()  # its files have one position for all forks
        stderr = os.fdopen(os.dup(2), "w")
        capture.start_global_capturing()
        writer = session.config.get_terminal_writer()
        plugins.unregister(name="faulthandler")  # at a failure it would cancel what is to end a hung test
        plugins.unregister(name="terminalreporter")
        plugins.register(_Sender(session.config, sender, writer), "terminalreporter")
        for item, next_item in pairwise(chain(_items(session, queue), [None])):
            assert item is not None
            # A timeout is an exception in the test, once: nothing ends a fixture or a thread that waits on after it.
            faulthandler.dump_traceback_later(_timeout(item) + session.config.option.hung, file=stderr, exit=True)
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
        session.config._ensure_unconfigure()
        code = 0
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends one, and the first process another
        session._setupstate.teardown_exact(None)
    except BaseException:  # noqa: BLE001  # the first process reports it
        traceback.print_exc(file=stderr)
        if stderr is not None:
            stderr.flush()
    finally:
        os._exit(code)


def _timeout(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0] if mark else item.config.getini("timeout") or 0)


def _items(session: pytest.Session, queue: int) -> Iterator[pytest.Item]:
    while chunk := os.read(queue, _CHUNK.size):
        start, end = _CHUNK.unpack(chunk)
        yield from session.items[start:end]


def _groups(items: Iterable[pytest.Item]) -> Iterable[list[pytest.Item]]:
    """Return the tests by group: those of a name of the mark `one_process`, or else of a module."""
    groups: dict[object, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    return groups.values()


def _group(item: pytest.Item) -> object:
    mark = item.get_closest_marker("one_process")
    return mark.args[0] if mark else item.path


def _queue(items: list[pytest.Item], most: int) -> int:
    """Return a pipe that holds the chunks, first and last number: whoever reads one has it alone."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        start = 0
        for _, group in groupby(items, key=_group):
            end = start + len(list(group))
            for first in range(start, end, most):
                pipe.write(_CHUNK.pack(first, min(first + most, end)))
            start = end
    return reader


def _empty(queue: int) -> None:
    while os.read(queue, 4096):
        pass
