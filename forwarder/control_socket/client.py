"""Lets a command send a request to the running forwarder."""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from forwarder.control_socket.messages import (
    ALIVE_INTERVAL,
    ERRORS,
    REQUEST_TIMEOUT,
    ControlReply,
    ControlRequest,
    WatchRequest,
    short_address,
    socket_path,
)
from forwarder.core import errors
from forwarder.core.errors import ForwarderError, StoreError, StoreTimeoutError
from forwarder.safe_files import rights_hint

_ACCEPT_TIMEOUT = 10.0
"""The number of seconds within which a forwarder must accept a request. The kernel connects a client even to a
forwarder that hangs, so a connection alone does not show that the forwarder works."""
_REPLY_TIMEOUT = 300.0  # seconds for each line of the answer
_SILENCE = 6 * ALIVE_INTERVAL
"""The number of seconds without any line after which a forwarder counts as one that hangs."""
_MAX_REPLY = 32 << 20  # bytes of a line


@contextmanager
def attached(store: Path) -> Iterator[socket.socket | None]:
    """Yield a connection that becomes readable when the forwarder on `store` stops; None if no forwarder runs.

    Raises:
        StoreError: this user may not connect to the forwarder.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REQUEST_TIMEOUT)
        if not _connect(connection, socket_path(store)):
            yield None
            return
        with contextlib.suppress(OSError):  # it has stopped since, so the connection is readable
            connection.sendall(_line(WatchRequest()))
        yield connection


def is_running(store: Path) -> bool:
    """Whether a forwarder runs on `store`.

    Raises:
        StoreError: this user may not connect to the forwarder.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REQUEST_TIMEOUT)
        return _connect(connection, socket_path(store))


def _line(request: ControlRequest) -> bytes:
    return msgspec.json.encode(request) + b"\n"


def _connect(connection: socket.socket, path: Path) -> bool:
    """Connect `connection` to the forwarder at the socket `path`. Return False if no forwarder listens there.

    Raises:
        StoreError: this user may not connect to the forwarder, or the socket cannot be reached.
        StoreTimeoutError: the forwarder accepts no connection.
    """
    try:
        with short_address(path) as address:
            connection.connect(address)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return False
    except (BlockingIOError, TimeoutError) as error:  # other commands fill the queue of connections
        text = f"the forwarder's control socket {path} accepts no connection"
        raise StoreTimeoutError(f"{text}; if the forwarder hangs, end its process") from error
    except OSError as error:
        text = f"the forwarder's control socket {path} cannot be reached ({error.strerror or error})"
        denied = rights_hint(path) or "run this command as the user that runs the forwarder"
        hint = denied if isinstance(error, PermissionError) else "check store.path"
        raise StoreError(f"{text}; {hint}") from error
    return True


def ask(  # noqa: PLR0913  # `silence` is set only by tests
    store: Path,
    request: ControlRequest,
    on_progress: Callable[[Any], object] = lambda _: None,
    *,
    timeout: float | None = _REPLY_TIMEOUT,
    accept_timeout: float = _ACCEPT_TIMEOUT,
    silence: float = _SILENCE,
    hint: str = "",
) -> Any | None:
    """Let the forwarder that runs on `store` carry out `request`, and return the result, of the type `request.returns`.

    Return None if no forwarder runs. Block until the result has come. `on_progress` is called with each progress
    report, of the type `request.reports`. The call waits `accept_timeout` seconds until the forwarder accepts the
    request. Then it waits `timeout` seconds for each line of the answer; if `timeout` is None, it waits as long as the
    forwarder shows at least every `silence` seconds that it works. `hint` is a phrase for the operator: how to go on if
    the answer is lost.

    An exception in the caller, such as Ctrl-C, closes the connection. The forwarder then cancels the request.

    Raises:
        ForwarderError: the forwarder could not carry out the request; `ERRORS` has the types.
        StoreError: the forwarder cannot be reached, did not answer in time (StoreTimeoutError), or stopped; or another
            program answers.
    """
    try:
        line = _line(request)
    except (UnicodeError, OverflowError) as error:
        raise StoreError(f"the request to the running forwarder cannot be sent: {error}") from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(accept_timeout)
        if not _connect(connection, socket_path(store)):
            return None
        answer = _Answer(connection, store, hint)
        with contextlib.closing(answer.replies(line, request, timeout, silence)) as replies:
            for reply in replies:
                if reply.progress is None:
                    break
                on_progress(reply.progress)
    if reply.error is not None:
        kind: type[ForwarderError] = getattr(errors, reply.kind) if reply.kind in ERRORS else ForwarderError
        raise kind(reply.error)
    return reply.result


class _Answer:
    """Reads the answer to one request on `connection`. `hint` is a phrase as in `ask`."""

    def __init__(self, connection: socket.socket, store: Path, hint: str) -> None:
        self._connection = connection
        self._store = store
        self._hint = f"; {hint}" if hint else ""
        self._received = bytearray()

    def replies(
        self, line: bytes, request: ControlRequest, timeout: float | None, silence: float
    ) -> Generator[ControlReply, None, None]:
        """Send the request `line`, and yield each line of the answer, except those that say `accepted`.

        Raises:
            StoreError: the forwarder did not answer in time (StoreTimeoutError), or stopped; or another program
                answers.
        """
        seconds, is_accepted = self._connection.gettimeout() or 0.0, False
        ends_at = time.monotonic() + seconds
        peer = _peer(self._connection)
        try:
            self._connection.sendall(line)
            while True:
                reply = _decoded(self._read_line(ends_at), request)
                if reply.accepted and is_accepted and timeout is not None:
                    continue
                is_accepted = True
                seconds = silence if timeout is None else timeout
                if not reply.accepted:
                    yield reply
                ends_at = time.monotonic() + seconds
        except TimeoutError as error:
            raise StoreTimeoutError(
                f"the forwarder on {self._store} did not answer within {seconds:g} s; it may still carry out the "
                f"request; if the forwarder hangs, end its process{peer}{self._hint}"
            ) from error
        except OSError as error:
            text = f"the forwarder on {self._store} did not answer ({error})"
            raise StoreError(f"{text}; it may have carried out the request{self._hint}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(
                f"the process at {socket_path(self._store)}{peer} does not answer as a forwarder of this version does "
                f"({error}); if it is a forwarder, restart it; if it is another program, end it, and remove this socket"
            ) from error

    def _read_line(self, ends_at: float) -> bytes:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > _MAX_REPLY:
                raise msgspec.DecodeError(f"a line has more than {_MAX_REPLY:,} bytes")
            if (left := ends_at - time.monotonic()) <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            if not (piece := self._connection.recv(1 << 16)):
                raise ConnectionError("it has stopped")
            self._received += piece
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line


def _decoded(line: bytes, request: ControlRequest) -> ControlReply:
    reply = msgspec.json.decode(line, type=ControlReply)
    if reply.accepted or reply.error is not None:
        return reply
    if reply.progress is not None:
        reply.progress = msgspec.convert(reply.progress, request.reports)
    elif reply.result is None:
        raise msgspec.ValidationError("a line has no result")
    else:
        reply.result = msgspec.convert(reply.result, request.returns)
    return reply


def _peer(connection: socket.socket) -> str:
    """Return which process listens on the other end, as in ` (pid 7, python3)`; empty if this is not known."""
    try:
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return f" (pid {pid}, {name})"
