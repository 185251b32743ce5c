"""Blocking calls run in daemon threads beside the event loop."""

import asyncio
import gc
import socket
import threading
import weakref
from functools import partial

import pytest
import uvloop

from forwarder.threads import Loop, in_daemon_thread


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


def test_names_that_no_name_server_answers_delay_no_other_lookup_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    asked = threading.Semaphore(0)

    def resolve(host: str, *_: object) -> list[object]:
        if host.endswith(".invalid"):
            asked.release()
            end.wait(30)
        return [host]

    async def look_up() -> None:
        loop = asyncio.get_running_loop()
        hanging = [asyncio.create_task(loop.getaddrinfo(f"{number}.invalid", 443)) for number in range(40)]
        while not asked.acquire(blocking=False):
            await asyncio.sleep(0)
        found: list[object] = list(await asyncio.wait_for(loop.getaddrinfo("okta.example", 443), 10))
        assert found == ["okta.example"]
        for task in hanging:
            task.cancel()

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        uvloop.run(look_up(), loop_factory=Loop)
        assert not end.is_set()
    finally:
        end.set()


def test_a_name_is_resolved_as_the_socket_module_does() -> None:
    async def look_up(host: str) -> list[object]:
        return list(await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM))

    assert uvloop.run(look_up("127.0.0.1"), loop_factory=Loop) == socket.getaddrinfo("127.0.0.1", 443, type=1)
    with pytest.raises(socket.gaierror):
        uvloop.run(look_up("host.invalid"), loop_factory=Loop)
