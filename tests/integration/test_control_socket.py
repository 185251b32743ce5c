"""The control socket: how a command reaches the running forwarder."""

import asyncio
import errno
import itertools
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop
from pydantic import ValidationError

from forwarder.control_socket import client
from forwarder.control_socket.client import attached
from forwarder.control_socket.messages import ControlRequest, Report, WatchRequest, socket_path
from forwarder.control_socket.server import ControlServer, never
from forwarder.core import errors
from forwarder.core.errors import ForwarderError, OktaRefusedError, SettingsError, StoreError, StoreTimeoutError
from forwarder.store.settings import StoreSettings


class Count(ControlRequest, frozen=True, tag="count"):
    """Report each number up to `to`."""

    to: int


class Fail(ControlRequest, frozen=True, tag="fail"):
    """Raise one of ERRORS."""

    which: int


class Hang(ControlRequest, frozen=True, tag="hang"):
    """Never end."""


ERRORS: list[tuple[Exception, type[ForwarderError], str]] = [
    (errors.StoreFullError("no room"), errors.StoreFullError, "no room"),
    (errors.StoreLockedError("in use"), StoreError, "in use"),
    (OktaRefusedError(401, "E1", "no token"), errors.OktaError, "no token"),
    (errors.OktaUnreachableError("no answer"), errors.OktaUnreachableError, "no answer"),
    (SettingsError(["a", "b"]), ForwarderError, "a\nb"),
    (KeyError("a bug"), ForwarderError, "the log of the forwarder says why"),
]


class Handlers:
    """What the server under test does.

    Attributes:
        hangs: set while a request hangs.
        cancelled: set once a request that hung was cancelled.
    """

    def __init__(self) -> None:
        self.hangs = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def count(self, request: Count, report: Report) -> int:
        for number in range(request.to):
            report({"number": number})
        return request.to

    async def fail(self, request: Fail, report: Report) -> None:
        raise ERRORS[request.which][0]

    async def hang(self, request: Hang, report: Report) -> None:
        self.hangs.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store would be."""
    return tmp_path / "store.db"


@asynccontextmanager
async def serving(path: Path, handlers: Handlers | None = None) -> AsyncIterator[ControlServer]:
    handlers = handlers or Handlers()
    server = ControlServer(path, {Count: handlers.count, Fail: handlers.fail, Hang: handlers.hang})
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def ask(path: Path, request: ControlRequest, report: Callable[[Any], None] = print, **more: Any) -> Any:
    return await asyncio.to_thread(client.ask, path, request, report, **more)


async def test_a_command_gets_its_progress_and_its_result(path: Path) -> None:
    reports: list[Any] = []
    async with serving(path):
        assert await ask(path, Count(3), reports.append) == 3
        assert await ask(path, Count(0)) == 0
    assert reports == [{"number": 0}, {"number": 1}, {"number": 2}]


async def test_without_a_forwarder_there_is_no_result(path: Path) -> None:
    assert await ask(path, Count(3)) is None
    async with serving(path):
        pass
    assert await ask(path, Count(3)) is None
    path.write_bytes(b"")
    assert await ask(path / "no folder" / "store.db", Count(3)) is None


@pytest.mark.parametrize("which", range(len(ERRORS)))
async def test_an_error_keeps_its_text_and_its_kind(path: Path, which: int) -> None:
    _, kind, text = ERRORS[which]
    async with serving(path):
        with structlog.testing.capture_logs(), pytest.raises(kind) as caught:
            await ask(path, Fail(which))
    assert type(caught.value) is kind
    assert text in str(caught.value)


async def test_a_command_ends_when_its_client_disconnects(path: Path) -> None:
    handlers = Handlers()
    async with serving(path, handlers):
        _, writer = await asyncio.open_unix_connection(f"{path}.control")
        writer.write(b'{"command":"hang"}\n')
        await asyncio.wait_for(handlers.hangs.wait(), 5)
        writer.close()
        await asyncio.wait_for(handlers.cancelled.wait(), 5)


def test_progress_that_comes_after_the_client_has_disconnected_is_dropped(path: Path) -> None:
    reports: list[Report] = []

    async def hang(_: Hang, report: Report) -> None:
        reports.append(report)
        report({"number": 0})
        await asyncio.Event().wait()

    async def late_progress() -> None:
        server = ControlServer(path, {Hang: hang})
        await server.start()
        try:
            reader, writer = await asyncio.open_unix_connection(f"{path}.control")
            writer.write(b'{"command":"hang"}\n')
            writer.write_eof()
            assert b"progress" in await asyncio.wait_for(reader.read(), 5)  # up to the end of the connection
            reports[0]({"number": 1})
            writer.close()
        finally:
            await server.close()

    uvloop.run(late_progress())  # asyncio's own loop ignores a write to a closed connection


async def test_a_command_ends_with_the_server_and_its_client_gets_an_error(path: Path) -> None:
    handlers = Handlers()
    async with serving(path, handlers) as server:
        asked = asyncio.create_task(ask(path, Hang()))
        await asyncio.wait_for(handlers.hangs.wait(), 5)
        await server.close()
        with pytest.raises(StoreError, match=r"did not answer \(it has stopped\); it may have carried out the request"):
            await asked


async def test_a_progress_that_cannot_be_printed_is_not_taken_for_a_lost_connection(path: Path) -> None:
    def full_disk(_progress: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with serving(path):
        with pytest.raises(OSError, match="No space left on device"):
            await ask(path, Count(1), full_disk)


async def test_an_open_connection_becomes_readable_when_the_forwarder_stops(path: Path) -> None:
    server = ControlServer(path, {WatchRequest: never})
    await server.start()
    with attached(path) as connection:
        assert connection is not None
        connection.setblocking(False)
        watching = asyncio.create_task(asyncio.get_running_loop().sock_recv(connection, 1))
        assert await asyncio.wait([watching], timeout=0.1) == (set(), {watching})
        await server.close()
        assert await asyncio.wait_for(watching, 5) == b""
    with attached(path) as connection:
        assert connection is None


async def test_a_forwarder_that_does_not_answer_in_time_is_an_error(path: Path) -> None:
    async with serving(path):
        with pytest.raises(StoreTimeoutError, match=r"did not answer within 0\.05 s.*hangs, end its process"):
            await ask(path, Hang(), timeout=0.05)


async def test_a_command_that_may_take_any_time_does_not_wait_for_a_forwarder_that_hangs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(socket_path(path)))
        hanging.listen()
        with pytest.raises(StoreTimeoutError, match=r"did not answer within 0\.05 s"):
            await ask(path, Count(1), timeout=None, accept_timeout=0.05)


async def test_a_forwarder_that_hangs_with_many_commands_waiting_is_an_error(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging, socket.socket(socket.AF_UNIX) as other:
        hanging.bind(str(socket_path(path)))
        hanging.listen(0)
        other.connect(hanging.getsockname())
        with pytest.raises(StoreTimeoutError, match="accepts no connection; if the forwarder hangs, end its"):
            await ask(path, Count(1), accept_timeout=0.05)


async def test_a_request_that_was_accepted_may_take_longer(path: Path) -> None:
    handlers = Handlers()
    async with serving(path, handlers) as server:
        asked = asyncio.create_task(ask(path, Hang(), timeout=None, accept_timeout=5))
        await asyncio.wait_for(handlers.hangs.wait(), 5)
        await server.close()
        with pytest.raises(StoreError, match="it has stopped"):
            await asked


async def test_a_forwarder_shows_while_it_works_that_it_does(path: Path) -> None:
    server = ControlServer(path, {Hang: Handlers().hang}, alive_interval=0.01)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(f"{path}.control")
    writer.write(b'{"command":"hang"}\n')
    async with asyncio.timeout(5):
        assert [await reader.readline() for _ in range(3)] == 3 * [b'{"accepted":true}\n']
    writer.close()
    await server.close()


@asynccontextmanager
async def repeating(path: Path, *answer: bytes) -> AsyncIterator[None]:
    """A server that sends the parts of this answer, and repeats the last part until the client disconnects."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            for part in itertools.chain(answer, itertools.repeat(answer[-1])):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_unix_server(serve, socket_path(path))
    async with server:
        yield


@pytest.mark.parametrize("timeout", [0.1, None])
@pytest.mark.parametrize("answer", [(b"x",), (b'{"accepted":true}\n', b"x")])
async def test_a_line_that_comes_byte_by_byte_does_not_outlast_the_time(
    path: Path, answer: tuple[bytes, ...], timeout: float | None
) -> None:
    async with repeating(path, *answer), asyncio.timeout(20):
        with pytest.raises(StoreTimeoutError, match=r"did not answer within 0\.1 s"):
            await ask(path, Count(1), timeout=timeout, accept_timeout=0.1, silence=0.1)


async def test_a_line_without_an_end_does_not_fill_the_memory(path: Path) -> None:
    async with repeating(path, 100_000 * b"x"), asyncio.timeout(20):
        with pytest.raises(
            StoreError, match=r"\(pid \d+, .*\) does not answer .* bytes\); if it is a forwarder, restart"
        ):
            await ask(path, Count(1))


async def test_a_sign_of_life_does_not_extend_a_fixed_time(path: Path) -> None:
    async with repeating(path, b'{"accepted":true}\n'), asyncio.timeout(20):
        with pytest.raises(StoreTimeoutError, match=r"did not answer within 0\.1 s"):
            await ask(path, Count(1), timeout=0.1)


async def test_a_forwarder_that_hangs_after_it_has_accepted_is_an_error(path: Path) -> None:
    async with serving(path):
        with pytest.raises(StoreTimeoutError, match=r"did not answer within 0\.05 s.*end its process \(pid \d+"):
            await ask(path, Hang(), timeout=None, silence=0.05)


async def test_nonsense_gets_an_answer_and_harms_no_other_client(path: Path) -> None:
    async with serving(path):
        for line in (
            b"\n",
            b"{}\n",
            b'{"command":"drop"}\n',
            b'{"command":"count","to":"1"}\n',
            b'{"command":"count","to":1,"by":2}\n',
        ):
            reader, writer = await asyncio.open_unix_connection(f"{path}.control")
            writer.write(line)
            writer.write_eof()
            assert b"not understood" in await reader.readline()
            writer.close()
            await writer.wait_closed()
        assert await ask(path, Count(1)) == 1


async def test_a_forwarder_of_another_version_is_to_be_restarted(path: Path) -> None:
    async with serving(path):
        with pytest.raises(ForwarderError, match=r"not understood.*another version.*restart it"):
            await ask(path, WatchRequest())


async def test_a_request_that_never_ends_is_cut_off(path: Path) -> None:
    async with serving(path):
        _, writer = await asyncio.open_unix_connection(f"{path}.control")
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while True:
                    writer.write(b"x" * 100_000)
                    await writer.drain()
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        assert await ask(path, Count(1)) == 1


async def test_the_socket_belongs_to_its_user_alone_and_is_removed(path: Path) -> None:
    socket = socket_path(path)
    async with serving(path):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert not socket.exists()


@pytest.mark.long
async def test_a_socket_that_was_removed_comes_back(path: Path) -> None:
    async with serving(path), asyncio.timeout(20):
        socket_path(path).unlink()
        while await ask(path, Count(1)) is None:
            await asyncio.sleep(0.05)


async def test_the_socket_of_another_forwarder_is_left_alone(path: Path, tmp_path: Path) -> None:
    async with serving(path):
        socket_path(path).rename(tmp_path / "moved")
        other = ControlServer(path, {Count: Handlers().count})
        await other.start()
    assert await ask(path, Count(1)) == 1
    await other.close()


async def test_a_socket_that_cannot_be_removed_does_not_prevent_the_close(path: Path) -> None:
    socket = socket_path(path)
    async with serving(path):
        socket.unlink()
        socket.mkdir()
    with pytest.raises(StoreError, match=r"control socket .* cannot be created"):
        await ControlServer(path, {Count: Handlers().count}).start()
    socket.rmdir()
    async with serving(path):
        assert await ask(path, Count(1)) == 1


async def test_a_silent_client_does_not_delay_the_close(path: Path) -> None:
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(f"{path}.control")
        await asyncio.sleep(0)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_socket_of_a_dead_forwarder_is_replaced(path: Path, tmp_path: Path) -> None:
    socket, stale = socket_path(path), tmp_path / "stale"
    async with serving(path):
        socket.rename(stale)
    stale.rename(socket)
    assert await ask(path, Count(1)) is None
    async with serving(path):
        assert await ask(path, Count(1)) == 1


async def test_a_store_in_a_deep_directory_has_a_socket_too(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / "store.db"
    path.parent.mkdir()
    async with serving(path):
        assert await ask(path, Count(1)) == 1


async def test_every_allowed_name_of_a_store_leaves_room_for_the_socket(tmp_path: Path) -> None:
    for length in range(1, 256):
        path = tmp_path / ("s" * length)
        try:
            StoreSettings(path=path)
        except ValidationError:
            return
        async with serving(path):
            assert await ask(path, Count(1)) == 1
