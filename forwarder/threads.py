"""Runs blocking calls beside the event loop, in threads that do not keep the process from ending."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")

_MOST_IDLE = 8
"""How many threads are kept for the next calls. The event loop waits until a new thread has started, which takes longer
than many calls."""


async def in_daemon_thread(call: Callable[[], _T], name: str) -> _T:
    """Run `call` in a daemon thread, called `name` meanwhile; return its result, or raise its exception.

    A thread of an executor is not suitable: if it hangs, the process cannot end.
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
        del future  # as in `_run_next`


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Run the next call; return whether this thread is kept."""
        call, future = self.calls.get()
        result, failure = None, None
        if future.set_running_or_notify_cancel():
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # it is raised where it is awaited
                failure = error
        # Before the result is known, so that the next call finds this thread.
        if kept := len(_idle) < _MOST_IDLE:
            _idle.append(self)
        if failure is not None:
            future.set_exception(failure)
            del future, failure  # else a cycle with the traceback keeps the call until a garbage collection
        elif not future.cancelled():
            future.set_result(result)
        return kept


_idle: list[_Thread] = []
