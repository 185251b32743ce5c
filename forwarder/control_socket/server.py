"""Lets commands send requests to the running forwarder, the only process that may write to the store.

The forwarder listens on a Unix socket beside the store. Only the user that runs the forwarder may connect. `messages`
describes the lines that are sent.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Union

import msgspec

from forwarder import logs
from forwarder.control_socket.messages import (
    ALIVE_INTERVAL,
    ERRORS,
    REQUEST_TIMEOUT,
    ControlReply,
    ControlRequest,
    Handler,
    Report,
    WatchRequest,
    short_address,
    socket_path,
)
from forwarder.core.errors import ForwarderError, StoreError
from forwarder.core.redaction import redact_all
from forwarder.system_limits import refusal
from forwarder.tasks import end_tasks

_MAX_REQUEST = 4 * 1024 * 1024  # bytes; the ids in it come from a command line, which has at most 2 MiB
_WATCH_INTERVAL = 2.0  # seconds between two checks whether the socket still exists

_logger = logs.get("control")


def _reply_line(reply: ControlReply) -> bytes:
    return msgspec.json.encode(redact_all(msgspec.to_builtins(reply))) + b"\n"


class ControlServer:
    """Answers the commands that arrive on the control socket, in tasks of the event loop."""

    def __init__(
        self, store: Path, handlers: Mapping[type[ControlRequest], Handler], *, alive_interval: float = ALIVE_INTERVAL
    ) -> None:
        """Create the server for the socket beside `store`. `handlers` has a handler for each type of request."""
        self._alive_interval = alive_interval
        self._path = socket_path(store)
        self._handlers = handlers
        self._decode = msgspec.json.Decoder(Union[tuple(handlers)]).decode  # noqa: UP007 - made at run time
        self._server: asyncio.Server | None = None
        self._inode = 0  # of the socket
        self._watching: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start to listen.

        The caller must hold the lock of the store. So a socket that already exists belongs to a process that has ended,
        and this method removes it.

        Raises:
            StoreError: the socket cannot be created.
        """
        self._server = await self._listen()
        self._watching = asyncio.create_task(self._watch(), name="control socket")

    async def _watch(self) -> None:
        """Listen again whenever another program has removed the socket. Otherwise no command would reach this forwarder
        until a restart."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            if self._server is None or self._has_path():
                continue
            with contextlib.suppress(StoreError):
                old, self._server = self._server, await self._listen()
                old.close()

    def _has_path(self) -> bool:
        return os.path.lexists(self._path)

    async def _listen(self) -> asyncio.Server:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            with short_address(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o600)  # no process can connect before `listen`
            self._inode = self._path.lstat().st_ino
            listener.listen()
        except OSError as error:
            listener.close()
            raise StoreError(
                f"the control socket {self._path} cannot be created: {error}; check that this user can write to {self._path.parent}, and that its disk has space"
            ) from error
        return await asyncio.start_unix_server(self._serve, sock=listener, limit=_MAX_REQUEST)

    async def close(self) -> None:
        """Stop listening, and cancel the running commands. A second call does nothing."""
        if self._server is None:
            return
        if self._watching is not None:
            self._tasks.add(self._watching)
        self._server.close()
        self._server = None
        await end_tasks(self._tasks)
        with contextlib.suppress(OSError):  # the next start removes the socket
            # A socket with another inode belongs to another forwarder, whose store has replaced ours.
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)

        def report(reply: ControlReply) -> None:
            if not writer.is_closing():  # a thread may report progress after the client has disconnected
                writer.write(_reply_line(reply))

        try:
            if self._server is None:  # the client connected just before the server closed
                return
            with contextlib.suppress(OSError, asyncio.CancelledError):
                reply = await self._answer(reader, report)
                writer.write(_reply_line(reply))
                await writer.drain()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, write: Callable[[ControlReply], None]) -> ControlReply:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = self._decode(await reader.readline())
        except (ValueError, TimeoutError) as error:  # the request is malformed, too long, or incomplete
            hint = "if the running forwarder has another version than this command, restart it"
            return ControlReply(error=f"the request was not understood ({str(error) or 'it is incomplete'}); {hint}")

        def accepted() -> None:
            if not isinstance(request, WatchRequest):
                write(ControlReply(accepted=True))

        accepted()
        work = self._handlers[type(request)](request, lambda progress: write(ControlReply(progress=progress)))
        try:
            return ControlReply(result=await _until_disconnect(work, reader, accepted, self._alive_interval))
        except ForwarderError as error:
            kinds = (base.__name__ for base in type(error).__mro__ if base.__name__ in ERRORS)
            return ControlReply(error=str(error), kind=next(kinds, ""))
        except Exception as error:
            command = type(request).__name__
            if reason := refusal(error):
                _logger.error("a command failed", action="command_failed", command=command, error=reason)  # noqa: TRY400  # no bug of ours
                return ControlReply(error=f"the running forwarder could not do this: {reason}")
            _logger.exception("a command failed", action="command_failed", command=command)
            return ControlReply(error="the command failed; the log of the forwarder says why")


async def _until_disconnect(
    work: Coroutine[Any, Any, Any], reader: asyncio.StreamReader, still_works: Callable[[], None], interval: float
) -> Any:
    """Return the result of `work`. If the client disconnects first, cancel `work` and raise CancelledError.

    Call `still_works` every `interval` seconds, so that the client can tell long work from a forwarder that hangs.
    """
    tasks = asyncio.create_task(work), asyncio.create_task(reader.read(1))
    try:
        while not (await asyncio.wait(tasks, timeout=interval, return_when=asyncio.FIRST_COMPLETED))[0]:
            still_works()
        if not tasks[0].done():
            raise asyncio.CancelledError
        return tasks[0].result()
    finally:
        await end_tasks(tasks)


async def never(_request: ControlRequest, _report: Report) -> None:
    """Never return. This is the handler of `WatchRequest`, which gets no answer."""
    await asyncio.Event().wait()
