"""Blocking calls run in daemon threads beside the event loop."""

import asyncio
import gc
import threading
import weakref
from functools import partial

import pytest

from forwarder.threads import in_daemon_thread


async def test_an_exception_is_raised_where_the_call_is_awaited() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 // 0, "call")


async def test_what_a_call_that_raised_has_used_is_freed_without_a_garbage_collection() -> None:
    async def fail() -> weakref.ref[frozenset[int]]:
        used = frozenset((1,))
        with pytest.raises(TypeError):
            await in_daemon_thread(partial(hash, [used]), "call")
        return weakref.ref(used)

    gc.disable()
    try:
        used = await fail()
        await in_daemon_thread(lambda: None, "call")  # now the thread has ended the first call
        assert used() is None
    finally:
        gc.enable()


async def test_calls_one_after_the_other_share_a_thread_and_calls_at_once_do_not() -> None:
    first = await in_daemon_thread(threading.current_thread, "first")
    second = await in_daemon_thread(threading.current_thread, "second")
    assert (second, second.name, second.daemon) == (first, "second", True)
    barrier = threading.Barrier(3, timeout=10)
    await asyncio.gather(*(in_daemon_thread(barrier.wait, "call") for _ in range(3)))


async def test_a_call_that_hangs_holds_up_no_other_call() -> None:
    end = threading.Event()
    hanging = asyncio.create_task(in_daemon_thread(lambda: end.wait(10), "hangs"))
    assert await in_daemon_thread(lambda: 1, "call") == 1
    hanging.cancel()
    assert await in_daemon_thread(lambda: 2, "call") == 2
    end.set()
