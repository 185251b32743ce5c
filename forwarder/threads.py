"""Runs blocking calls beside the event loop, in threads that do not keep the process from ending."""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import uvloop

_T = TypeVar("_T")

_MOST_IDLE = 8
"""The maximum number of idle threads that are kept for later calls. The start of a thread blocks the event loop for
longer than many calls take."""


async def in_daemon_thread(call: Callable[[], _T], name: str) -> _T:
    """Run `call` in a daemon thread with the name `name`. Return the result of `call`, or raise its exception.

    A thread of an executor is not suitable: if such a thread hangs, the process cannot end.
    """
    future: Future[_T] = Future()
    try:
        thread = _idle.pop()
    except IndexError:
        thread = _Thread()
    thread.name = name
    thread.calls.put((call, future))
    try:
        return await asyncio.wrap_future(future)
    finally:
        del future  # prevents a reference cycle, as in `_run_next`


class Loop(uvloop.Loop):
    """uvloop's event loop, with a daemon thread for each lookup of a host name.

    uvloop itself uses four threads for all lookups, and closing the loop waits for these threads. So a few names that no
    name server answers delay the connections to all other hosts, and the end of the process.
    """

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Resolve `host` and `port` as `socket.getaddrinfo` does.

        Raises:
            OSError: the name cannot be resolved.
        """
        return await in_daemon_thread(partial(socket.getaddrinfo, host, port, family, type, proto, flags), "resolver")


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Run the next call in the queue. Return whether this thread is kept for further calls."""
        call, future = self.calls.get()
        result, failure = None, None
        if future.set_running_or_notify_cancel():
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # the caller that awaits the result gets it
                failure = error
        # Do this before the result is set, so that the caller's next call finds this thread idle.
        if kept := len(_idle) < _MOST_IDLE:
            _idle.append(self)
        if failure is not None:
            future.set_exception(failure)
            del future, failure  # otherwise a cycle through the traceback keeps the call in memory
        elif not future.cancelled():
            future.set_result(result)
        return kept


_idle: list[_Thread] = []
