"""Lets a command send a request to the running forwarder, the only process that may write to the store.

The forwarder listens on a Unix socket beside the store. Only the user that runs the forwarder may connect. A client
sends one JSON line, the request, and keeps the connection open. The server answers with JSON lines: one that says that
it has accepted the request, any number of lines with `progress`, then one line with `result` or `error`. If the client
disconnects before the last line, the server cancels the command.

    {"command": "replay", "selection": {"ids": [7], "sink": null, "reason": null}}
    {"accepted": true}
    {"result": 1}
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import msgspec

from forwarder import logs
from forwarder.core import errors
from forwarder.core.errors import ForwarderError, StoreError, StoreTimeoutError
from forwarder.core.redaction import redact_all
from forwarder.system_limits import refusal
from forwarder.tasks import end_tasks

_MAX_PATH = 100  # bytes of a socket's path; the kernel allows 107
_MAX_REQUEST = 4 * 1024 * 1024  # bytes; the ids in it come from a command line, which has at most 2 MiB
_IF_HANGS = "if the forwarder hangs, end its process"
_REQUEST_TIMEOUT = 10.0  # seconds for a client to send its request
_ACCEPT_TIMEOUT = 10.0
"""The number of seconds within which a forwarder must accept a request. The kernel connects a client even to a
forwarder that hangs, so a connection alone does not show that the forwarder works."""
_REPLY_TIMEOUT = 300.0  # seconds for each line of the answer
_WATCH_INTERVAL = 2.0  # seconds between two checks whether the socket still exists

_ERRORS = (
    "StoreFullError", "StoreTimeoutError", "StoreError", "OktaUnreachableError", "OktaError", "ReactionError",
)  # fmt: skip
"""The types of errors that the client raises again. An error of another type becomes its nearest base class in this
list, or ForwarderError if it has none."""

_logger = logs.get("control")


class ControlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command"):
    """Base class of all requests. The tag of a subclass is the name of its command in the JSON line."""


class WatchRequest(ControlRequest, frozen=True, tag="watch"):
    """Gets no answer, but keeps the connection open, so that the client notices when the forwarder stops."""


Report = Callable[[Any], None]
"""A function that sends its argument, a struct, to the client as the progress of the request."""

Handler = Callable[[Any, Report], Coroutine[Any, Any, Any]]
"""A function that carries out a request. It returns any value that JSON can hold except None, or raises a
ForwarderError."""


class _Reply(msgspec.Struct, omit_defaults=True):
    """One line of the answer. `kind` is the type of `error`, or its nearest base class, in `_ERRORS`; else empty."""

    accepted: bool = False
    progress: Any = None
    result: Any = None
    error: str | None = None
    kind: str = ""


def _line(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def _reply_line(reply: _Reply) -> bytes:
    return msgspec.json.encode(redact_all(msgspec.to_builtins(reply))) + b"\n"


def socket_path(store: Path) -> Path:
    """Return the path of the Unix socket where the forwarder that runs on `store` listens for commands."""
    real = Path(os.path.realpath(store))  # so that all links to the store lead to one socket
    return real.with_name(real.name + ".control")


@contextmanager
def _short_address(path: Path) -> Iterator[str]:
    """Yield an address for `path` that is short enough for a Unix socket; valid only within the `with` block."""
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


class ControlServer:
    """Answers the commands that arrive on the control socket, in tasks of the event loop."""

    def __init__(self, store: Path, handlers: Mapping[type[ControlRequest], Handler]) -> None:
        """Create the server for the socket beside `store`. `handlers` has a handler for each type of request."""
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
            with _short_address(self._path) as address:
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

        def report(reply: _Reply) -> None:
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

    async def _answer(self, reader: asyncio.StreamReader, write: Callable[[_Reply], None]) -> _Reply:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                request = self._decode(await reader.readline())
        except (ValueError, TimeoutError) as error:  # the request is malformed, too long, or incomplete
            hint = "if the running forwarder has another version than this command, restart it"
            return _Reply(error=f"the request was not understood ({str(error) or 'it is incomplete'}); {hint}")
        if not isinstance(request, WatchRequest):
            write(_Reply(accepted=True))
        work = self._handlers[type(request)](request, lambda progress: write(_Reply(progress=progress)))
        try:
            return _Reply(result=await _until_disconnect(work, reader))
        except ForwarderError as error:
            kinds = (base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS)
            return _Reply(error=str(error), kind=next(kinds, ""))
        except Exception as error:
            command = type(request).__name__
            if reason := refusal(error):
                _logger.error("a command failed", action="command_failed", command=command, error=reason)  # noqa: TRY400  # no bug of ours
                return _Reply(error=f"the running forwarder could not do this: {reason}")
            _logger.exception("a command failed", action="command_failed", command=command)
            return _Reply(error="the command failed; the log of the forwarder says why")


async def _until_disconnect(work: Coroutine[Any, Any, Any], reader: asyncio.StreamReader) -> Any:
    """Return the result of `work`. If the client disconnects first, cancel `work` and raise CancelledError."""
    tasks = asyncio.create_task(work), asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise asyncio.CancelledError
        return tasks[0].result()
    finally:
        await end_tasks(tasks)


async def never(_request: ControlRequest, _report: Report) -> None:
    """Never return. This is the handler of `WatchRequest`, which gets no answer."""
    await asyncio.Event().wait()


@contextmanager
def attached(store: Path) -> Iterator[socket.socket | None]:
    """Yield a connection that becomes readable when the forwarder on `store` stops; None if no forwarder runs.

    Raises:
        StoreError: this user may not connect to the forwarder.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REQUEST_TIMEOUT)
        if not _connect(connection, socket_path(store)):
            yield None
            return
        connection.sendall(_line(WatchRequest()))
        yield connection


def is_running(store: Path) -> bool:
    """Whether a forwarder runs on `store`.

    Raises:
        StoreError: this user may not connect to the forwarder.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REQUEST_TIMEOUT)
        return _connect(connection, socket_path(store))


def _connect(connection: socket.socket, path: Path) -> bool:
    """Connect `connection` to the forwarder at the socket `path`. Return False if no forwarder listens there.

    Raises:
        StoreError: this user may not connect to the forwarder, or the socket cannot be reached.
        StoreTimeoutError: the forwarder accepts no connection.
    """
    try:
        with _short_address(path) as address:
            connection.connect(address)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return False
    except (BlockingIOError, TimeoutError) as error:  # other commands fill the queue of connections
        text = f"the forwarder's control socket {path} accepts no connection"
        raise StoreTimeoutError(f"{text}; {_IF_HANGS}") from error
    except OSError as error:
        text = f"the forwarder's control socket {path} cannot be reached ({error.strerror})"
        is_right = isinstance(error, PermissionError)
        hint = "run this command as the user that runs the forwarder" if is_right else "check store.path"
        raise StoreError(f"{text}; {hint}") from error
    return True


def ask(
    store: Path,
    request: ControlRequest,
    on_progress: Callable[[Any], object] = lambda _: None,
    *,
    timeout: float | None = _REPLY_TIMEOUT,
    accept_timeout: float = _ACCEPT_TIMEOUT,
) -> Any | None:
    """Let the forwarder that runs on `store` carry out `request`, and return the result as decoded JSON.

    Return None if no forwarder runs. Block until the result has come. `on_progress` is called with each progress
    report, which is decoded JSON too. The call waits `accept_timeout` seconds until the forwarder accepts the request.
    Then it waits `timeout` seconds for each line of the answer, or without limit if `timeout` is None.

    An exception in the caller, such as Ctrl-C, closes the connection. The forwarder then cancels the request.

    Raises:
        ForwarderError: the forwarder could not carry out the request; `_ERRORS` has the types.
        StoreError: the forwarder cannot be reached, did not answer in time (StoreTimeoutError), or stopped.
    """
    path = socket_path(store)
    try:
        line = _line(request)
    except (UnicodeError, OverflowError) as error:
        raise StoreError(f"the request to the running forwarder cannot be sent: {error}") from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(accept_timeout)
        if not _connect(connection, path):
            return None
        with contextlib.closing(_replies(connection, line, timeout, store)) as replies:
            for reply in replies:
                if reply.progress is None:
                    break
                on_progress(reply.progress)
    if reply.error is not None:
        kind: type[ForwarderError] = getattr(errors, reply.kind) if reply.kind in _ERRORS else ForwarderError
        raise kind(reply.error)
    return reply.result


def _replies(
    connection: socket.socket, line: bytes, timeout: float | None, store: Path
) -> Generator[_Reply, None, None]:
    """Send the request `line`, and yield each line of the answer, except the one that says `accepted`.

    Raises:
        StoreError: the forwarder did not answer in time (StoreTimeoutError), or stopped.
    """
    try:
        connection.sendall(line)
        with connection.makefile("rb") as lines:
            while True:
                answer = lines.readline()
                if not answer.endswith(b"\n"):
                    raise ConnectionError("it has stopped")
                reply = msgspec.json.decode(answer, type=_Reply)
                if reply.accepted:
                    connection.settimeout(timeout)
                else:
                    yield reply
    except TimeoutError as error:
        text = f"the forwarder on {store} did not answer within {connection.gettimeout():g} s"
        raise StoreTimeoutError(f"{text}; it may still carry out the request; {_IF_HANGS}") from error
    except (OSError, msgspec.MsgspecError) as error:
        text = f"the forwarder on {store} did not answer ({error})"
        raise StoreError(f"{text}; it may have carried out the request") from error
