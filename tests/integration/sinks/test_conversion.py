"""Large batches are converted in a child process, if there is one; nothing depends on it."""

import asyncio
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from forwarder.core.event import Event
from forwarder.core.outcome import BatchResult
from forwarder.sinks import conversion
from forwarder.sinks.conversion import LEAST_EVENTS, Conversion, ConversionProcess
from forwarder.sinks.conversion_child import Failure, attempt
from forwarder.sinks.otlp.record import record
from tests.child_processes import child
from tests.contract.sinks import stored_events
from tests.stack.process import children
from tests.waiting import until

pytestmark = pytest.mark.long

EVENTS = [stored.event for stored in stored_events(LEAST_EVENTS)]
UUIDS = [event.uuid for event in EVENTS]
uuid = attrgetter("uuid")


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


async def convert(process: ConversionProcess[Any], events: list[Event] = EVENTS) -> list[Any]:
    """Convert in the child, once it has started."""
    async with asyncio.timeout(30):
        while (results := await process.convert(events)) is None:
            await asyncio.sleep(0.01)
    return results


@pytest.fixture(autouse=True)
async def _no_child_is_left(_two_cores: None) -> AsyncIterator[None]:
    yield
    await until(lambda: not children())


async def test_the_child_converts_as_this_process_does() -> None:
    events = [*EVENTS, Event("acme", "u", "t", 0, 0, EVENTS[0].source, "", b"no json")]
    process = ConversionProcess(record)
    assert await convert(process, events) == [attempt(record, event) for event in events]
    assert isinstance(attempt(record, events[-1]), Failure)
    process.close()


async def test_the_batch_is_converted_here_until_the_child_has_started() -> None:
    conversion = Conversion(uuid, in_child=True)
    batch = stored_events(LEAST_EVENTS)
    sent: list[list[str]] = []

    async def send(seqs: list[int], uuids: list[str]) -> BatchResult:
        sent.append(uuids)
        return BatchResult(delivered=seqs)

    await conversion.send(batch, send)
    await until(children)
    await conversion.send(batch, send)
    assert sent == [[stored.event.uuid for stored in batch]] * 2
    conversion.close()


async def test_a_small_batch_starts_no_child() -> None:
    assert await ConversionProcess(uuid).convert(EVENTS[1:]) is None
    assert children() == []


async def test_one_core_has_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert await ConversionProcess(uuid).convert(EVENTS) is None
    assert children() == []


async def test_a_child_that_is_killed_is_said_once_and_the_batch_is_converted_here() -> None:
    process = ConversionProcess(uuid)
    await convert(process)
    with capture_logs() as lines:
        os.kill(children()[0], signal.SIGKILL)
        assert await process.convert(EVENTS) is None
        assert await process.convert(EVENTS) is None
    assert [line["action"] for line in lines] == ["conversion_process_ended"]


async def test_after_a_pause_another_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "PAUSE_SECONDS", 0.0)
    process = ConversionProcess(uuid)
    await convert(process)
    os.kill(children()[0], signal.SIGKILL)
    assert await process.convert(EVENTS) is None
    assert await convert(process) == UUIDS
    process.close()


async def test_a_child_that_cannot_start_is_said_and_the_batch_is_converted_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = ConversionProcess(uuid)
    monkeypatch.setattr(conversion, "_COMMAND", (sys.executable, "-c", "import no_such_module"))
    with capture_logs() as lines:
        await process.convert(EVENTS)
        async with asyncio.timeout(10):
            while not lines:
                assert await process.convert(EVENTS) is None
                await asyncio.sleep(0.01)
        monkeypatch.setattr(conversion, "_COMMAND", ("/no/such/python",))
        process = ConversionProcess(uuid)
        while len(lines) == 1:
            assert await process.convert(EVENTS) is None
            await asyncio.sleep(0.01)
    assert [line["action"] for line in lines] == 2 * ["conversion_process_ended"]


async def test_a_child_that_hangs_while_it_starts_is_said_and_the_batch_is_converted_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversion, "_COMMAND", ("sleep", "60"))
    process = ConversionProcess(uuid)
    with capture_logs() as lines:
        assert await process.convert(EVENTS) is None
        assert lines == []
        monkeypatch.setattr(conversion, "START_SECONDS", 0.0)
        assert await process.convert(EVENTS) is None
        assert await process.convert(EVENTS) is None
    assert [line["action"] for line in lines] == ["conversion_process_ended"]
    assert "has not started" in lines[0]["error"]


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 1), ("200000 100000", 1), ("150000 100000", 0), ("", 1)]
)
async def test_less_than_two_cores_by_the_quota_of_a_container_or_a_service_have_no_child(
    quota: str, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "cgroup"
    own.write_text("1:name=systemd:/\n0::/system.slice/forwarder.service\n")
    limits = tmp_path / "system.slice/forwarder.service"
    limits.mkdir(parents=True)
    if quota:
        (limits / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(conversion, "_OWN_CGROUP", own)
    monkeypatch.setattr(conversion, "_CGROUPS", tmp_path)
    process = ConversionProcess(uuid)
    assert await process.convert(EVENTS) is None
    await until(lambda: len(children()) == expected)
    process.close()


async def test_a_call_after_one_that_was_cancelled_gets_its_own_results() -> None:
    process = ConversionProcess(uuid)
    await convert(process)
    os.kill(children()[0], signal.SIGSTOP)
    hanging = asyncio.create_task(process.convert(EVENTS[::-1]))
    await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await until(lambda: not children())
    assert await convert(process) == UUIDS
    process.close()


async def test_no_module_of_the_working_directory_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pickle", "forwarder"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    process = ConversionProcess(uuid)
    assert await convert(process) == UUIDS
    process.close()


async def test_the_child_imports_from_where_its_parent_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_of_the_test.py").write_text("def convert(event): return event.uuid")
    monkeypatch.syspath_prepend(tmp_path)
    process = ConversionProcess(importlib.import_module("module_of_the_test").convert)
    assert await convert(process) == UUIDS
    process.close()


async def test_what_the_conversion_prints_does_not_come_between_the_results() -> None:
    process = ConversionProcess(print)
    assert await convert(process) == [None] * len(EVENTS)
    process.close()


async def test_a_child_that_is_stopped_while_it_writes_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    events = [replace(event, body=bytes(100_000)) for event in EVENTS]
    process = ConversionProcess(attrgetter("body"))
    await convert(process)
    child = children()[0]
    async with asyncio.timeout(30):
        for _ in range(20):
            converting = asyncio.create_task(process.convert(events))
            while not converting.done():
                os.kill(child, signal.SIGSTOP)
                os.kill(child, signal.SIGCONT)
                await asyncio.sleep(0.001)
            assert await converting == [event.body for event in events]
    process.close()


_WITHOUT_SETPRIORITY = """
import ctypes, os, platform, struct, sys

number = {"x86_64": 141, "aarch64": 140}[platform.machine()]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0),            # load the number of the system call
    (0x15, 0, 1, number),       # if it is setpriority:
    (0x06, 0, 0, 0x00050001),   # EPERM
    (0x06, 0, 0, 0x7FFF0000),   # else allow it
)))
library = ctypes.CDLL(None)
assert not library.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
assert not library.prctl(22, 2, struct.pack("HP", 4, ctypes.addressof(program)), 0, 0)  # PR_SET_SECCOMP
os.execv(sys.argv[1], sys.argv[1:])
"""


async def test_a_child_that_may_not_lower_its_priority_converts(monkeypatch: pytest.MonkeyPatch) -> None:
    command = (sys.executable, "-c", _WITHOUT_SETPRIORITY, *conversion._COMMAND)
    monkeypatch.setattr(conversion, "_COMMAND", command)
    process = ConversionProcess(uuid)
    assert await convert(process) == UUIDS
    assert os.getpriority(os.PRIO_PROCESS, children()[0]) == os.getpriority(os.PRIO_PROCESS, 0)
    process.close()


async def test_without_threads_the_batch_is_converted_here_and_no_child_is_left() -> None:
    process = ConversionProcess(uuid)
    await convert(process)
    size = threading.stack_size(1 << 46)  # more than there is, so no thread can start
    try:
        with capture_logs() as lines:
            assert await ConversionProcess(uuid).convert(EVENTS) is None
        process.close()
        assert children() == []
    finally:
        threading.stack_size(size)
    assert [line["action"] for line in lines] == ["conversion_process_ended"]


async def test_the_child_ends_when_it_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "IDLE_SECONDS", 0.0)
    process = ConversionProcess(uuid)
    await process.convert(EVENTS)


async def test_a_signal_to_the_whole_group_does_not_end_the_child_even_while_it_starts() -> None:
    process = ConversionProcess(uuid)
    assert await process.convert(EVENTS) is None
    await until(children)
    child = children()[0]
    for _ in range(2):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(child, number)
        assert await convert(process) == UUIDS
    assert children() == [child]
    process.close()


async def test_where_memory_is_short_the_child_ends_before_its_parent() -> None:
    process = ConversionProcess(uuid)
    await convert(process)
    assert Path(f"/proc/{children()[0]}/oom_score_adj").read_text() == "1000\n"
    process.close()


_PARENT = """
import asyncio, os, pickle, sys
from operator import attrgetter
from pathlib import Path
from forwarder.sinks.conversion import ConversionProcess

async def main():
    os.sched_getaffinity = lambda _: {0, 1}
    process, events = ConversionProcess(attrgetter("uuid")), pickle.load(sys.stdin.buffer)
    while await process.convert(events) is None:
        await asyncio.sleep(0.01)
    print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_the_child_ends_when_its_parent_is_killed() -> None:
    with child([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(pickle.dumps(EVENTS))
        parent.stdin.flush()
        grandchild = Path("/proc") / parent.stdout.readline().decode().strip()
        assert grandchild.exists()
    await until(lambda: not grandchild.exists() or "(zombie)" in (grandchild / "status").read_text())
