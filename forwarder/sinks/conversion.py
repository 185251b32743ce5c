"""Converts the events of a batch to the form that a sink sends.

The conversion takes most of the CPU time that a sink needs for an event. Python runs only one thread at a time, so a
conversion in the main process delays the answers to Okta. To avoid the delay, a sink can let a child process convert
large batches on another CPU core.
"""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from forwarder import logs
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.event_loop_steps import Cooperative
from forwarder.sinks.conversion_child import Failure, attempt
from forwarder.sinks.response_verdicts import kept
from forwarder.threads import in_daemon_thread

_T = TypeVar("_T")

_LARGE = 32 * 1024
"""The number of bytes of a body from which the event is converted in a thread. The conversion of a megabyte of JSON
objects takes half a second. If the conversion ran on the event loop, no POST would be answered in this time. Okta's own
events have some kilobytes."""

LEAST_EVENTS = 50
"""The number of events from which a batch is converted in the child process. Without a backlog, batches are smaller,
and their conversion takes little of the event loop's time."""

IDLE_SECONDS = 60.0
"""The time after which a child process that gets no batch is ended, because it takes about 35 MB of memory."""

PAUSE_SECONDS = 3600.0
"""The time for which no new child process is started after a child has failed. If memory is short, a new child would
fail too."""

START_SECONDS = 60.0
"""The time after which a child process that is not ready yet is ended. A start takes about a second, or a few seconds
on a slow machine."""

_LEAST_CORES = 2
_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_SCRIPT = """
import pickle, sys
sys.path = pickle.load(sys.stdin.buffer)
from forwarder.sinks.conversion_child import serve
serve()
"""
_COMMAND = (sys.executable, "-I" if sys.flags.isolated else "-P", "-c", _SCRIPT)
"""The command that starts the child process. With `-P`, the child imports nothing from its working directory, unless
the parent does so too: the child gets the import path of the parent."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that are blocked in the child process. A signal may be sent to the whole process group (as Ctrl-C does),
or to all processes of a service. Only the parent must handle the signal, because the parent may still have batches for
the child."""

_logger = logs.get("sinks")


class Conversion(Generic[_T]):
    """Converts the events of each batch with one function, and sends the converted events.

    Only one batch is converted at a time, even if several batches must be sent. So a POST from Okta never waits for
    more than one step of one conversion, and the first batch can be sent as early as possible.
    """

    def __init__(self, convert: Callable[[Event], _T], *, in_child: bool = False) -> None:
        """Convert each event by calling `convert`. If `in_child` is True, large batches are converted in a child
        process. `convert` must then be picklable."""
        self._convert = convert
        self._process = ConversionProcess(convert) if in_child else None
        self._turn = asyncio.Lock()

    async def send(
        self, batch: Sequence[StoredEvent], send: Callable[[list[int], list[_T]], Awaitable[BatchResult]]
    ) -> BatchResult:
        """Convert each event of `batch`, send the converted events by `send`, and return the result for the whole
        batch.

        An event that cannot be converted is rejected. The function `send` gets two lists: the `seq` numbers of the
        events that could be converted, and the converted events. If no event could be converted, `send` is not called.
        """
        seqs: list[int] = []
        converted: list[_T] = []
        rejected: list[Rejection] = []
        async with self._turn:
            results = await self._results([stored.event for stored in batch])
        for stored, result in zip(batch, results, strict=True):
            if isinstance(result, Failure):
                rejected.append(Rejection(stored.seq, RejectReason.UNMAPPABLE, kept(result.detail)))
            else:
                seqs.append(stored.seq)
                converted.append(result)
        sent = await send(seqs, converted) if seqs else BatchResult()
        return replace(sent, rejected=[*rejected, *sent.rejected]) if rejected else sent

    def close(self) -> None:
        """End the child process, if this conversion has one."""
        if self._process:
            self._process.close()

    async def _results(self, events: Sequence[Event]) -> list[_T | Failure]:
        results = await self._process.convert(events) if self._process else None
        if results is not None:
            return results
        results = []
        cooperative = Cooperative()
        for event in events:
            if len(event.body) < _LARGE:
                results.append(attempt(self._convert, event))
            else:
                results.append(await in_daemon_thread(partial(attempt, self._convert, event), "convert"))
            await cooperative.yield_if_due()
        return results


class ConversionProcess(Generic[_T]):
    """A child process that converts events with one function. The process is started for the first large batch, and is
    ended when it is idle."""

    def __init__(self, convert: Callable[[Event], _T]) -> None:
        """Convert each event by calling `convert`, which must be picklable. The child process is not started yet."""
        self._function = convert
        self._child: _Child | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._paused_until = 0.0
        self._has_cores: bool | None = None  # not known yet

    async def convert(self, events: Sequence[Event]) -> list[_T | Failure] | None:
        """Convert each of `events` in the child process, and return the results in the order of `events`.

        Return None if the caller must convert the events itself, because the events are few, or because no child is
        ready.

        Calls must not overlap. If a call is cancelled, the child is ended, so that the next call does not get the
        results of the cancelled call.
        """
        loop = asyncio.get_running_loop()
        if len(events) < LEAST_EVENTS or loop.time() < self._paused_until:
            return None
        if self._idle:
            self._idle.cancel()
        results: list[_T | Failure] | None = None
        try:
            if self._has_cores is None:
                self._has_cores = await in_daemon_thread(_cores, "convert") >= _LEAST_CORES
            if not self._has_cores:
                return None
            child = self._child = self._child or _Child(self._function)
            if child.is_ready():
                results = await in_daemon_thread(partial(child.convert, events), "convert")
        except Exception as error:  # noqa: BLE001  # after any error, the events can be converted in this process
            self._paused_until = loop.time() + PAUSE_SECONDS
            self._log_end(error)
            self.close()
        except asyncio.CancelledError:
            self.close()
            raise
        else:
            self._idle = loop.call_later(IDLE_SECONDS, self.close)
        return results

    def close(self) -> None:
        """End the child process. The next large batch starts a new child, but not within PAUSE_SECONDS after a
        failure."""
        if self._idle:
            self._idle.cancel()
        if self._child:
            self._child.end()
        self._child = None

    def _log_end(self, error: Exception) -> None:
        _logger.warning(
            "the process that converts events for a sink has ended; events are converted in the main process now",
            action="conversion_process_ended",
            error=f"{type(error).__name__}: {error}",
            hint="check whether a memory limit ended the process, which needs about 50 MB; no event is lost, but answers to"
            " Okta take longer while there is a backlog; the forwarder starts a new process after an hour",
        )


class _Child:
    """One child process, with the pipes to its stdin and from its stdout."""

    def __init__(self, function: Callable[[Event], Any]) -> None:
        """Start the child process in a thread, so that the event loop does not wait for the start. The child loads
        `function`, which converts an event."""
        self._ready = False
        self._failure: Exception | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._began = time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._start, args=(function,), name="convert-start", daemon=True).start()

    def is_ready(self) -> bool:
        """Return whether the child can convert events now. Raise an exception if the child cannot start, or has not
        started in time."""
        if self._failure:
            raise self._failure
        if not self._ready and time.monotonic() - self._began > START_SECONDS:
            raise TimeoutError(f"the process has not started in {START_SECONDS:.0f} s")
        return self._ready

    def convert(self, events: object) -> Any:
        """Send `events` to the child process, and return the results. This blocks the thread. Raise an exception if the
        child has ended."""
        self._write(events)
        assert self._process
        assert self._process.stdout
        return pickle.load(self._process.stdout)  # noqa: S301  # from our own child

    def end(self) -> None:
        """Kill the child process, in a thread. If another thread is in a call of `convert`, the call of `convert` ends
        with an exception."""
        try:
            threading.Thread(target=self._end, name="convert-end", daemon=True).start()
        except RuntimeError:  # no more threads can be started
            self._end()

    def _start(self, function: Callable[[Event], Any]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # for this thread only; the child inherits it
        try:
            with self._lock:
                if self._ended:
                    return
                self._process = subprocess.Popen(  # noqa: S603  # a constant
                    _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            self._write([path for path in sys.path if isinstance(path, str)])
            self.convert(function)
        except Exception as error:  # noqa: BLE001  # `is_ready` raises it
            self._failure = error
        else:
            self._ready = True

    def _write(self, request: object) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(pickle.dumps(request, pickle.HIGHEST_PROTOCOL))
        self._process.stdin.flush()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        if self._process:
            self._process.kill()
            with suppress(OSError), self._process:
                pass


def _cores() -> float:
    """Return the number of CPU cores that this process may use. In a container, the number may be less than 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        # The quota of a container or of a service:
        # https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
        own = next((line[4:] for line in _OWN_CGROUP.read_text().splitlines() if line.startswith("0::/")), "")
        quota, period = (_CGROUPS / own / "cpu.max").read_text().split()
        return cores if quota == "max" else min(cores, int(quota) / int(period))
    return cores
