"""How an operator's command reaches the running forwarder, which alone may write to its store.

A Unix socket beside the store, for its own user only. One JSON line asks, one JSON line answers:
`{"do": "replay", "which": {"ids": [7], "sink": null, "reason": null}}` gives `{"done": 1}` or `{"error": "…"}`.
A page of the System Log takes several lines: each but the last brings some of its events (`{"do": "events", …}`), so
that no line is long and none holds up the forwarder; the last one (`{"do": "append", …}`) has them all committed at once.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from forwarder.core.errors import ForwarderError, StoreError, StoreFullError, StoreTimeoutError
from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.store.dead_letters import Selection

_LONGEST = 100  # bytes of a socket's path; the kernel takes 107
_LINE = 16 * 1024 * 1024  # bytes of a line: one event of a page at least, and no event is so large
_REQUEST = 64 * 1024 * 1024  # bytes of a request, all its lines together
_PIECE = (
    128 * 1024
)  # bytes of bodies in one line, unless a single event is larger: some 0.5 ms of the event loop
_PATIENCE = 10.0  # seconds for a request to arrive
_ANSWER = 300.0  # seconds for the work itself


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="replay"):
    """Send these dead letters again."""

    which: Selection


class Discard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="discard"):
    """Throw these dead letters away."""

    which: Selection


class Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="events"):
    """The next events of the page that follows."""

    events: list[Event]


class Append(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="append"):
    """Store this page, with the events before it, within `timeout` seconds."""

    batch: Batch
    timeout: float


Request = Replay | Discard | Append

_decode = msgspec.json.Decoder(Request | Events).decode
_KINDS: dict[str, type[StoreError]] = {kind.__name__: kind for kind in (StoreFullError, StoreTimeoutError)}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done, or why it was not.

    Attributes:
        done: how many dead letters or events it was done to.
        new: which events of a page were new, counted from 0.
        error: why it was not done.
        kind: the name of that error.
    """

    done: int = 0
    new: Sequence[int] = ()
    error: str | None = None
    kind: str = ""


def _socket(store: Path) -> Path:
    return store.with_name(store.name + ".control")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address of `path` that fits into the kernel's limit, as long as the block runs."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


class ControlServer:
    """Answers operators' commands on the event loop."""

    def __init__(self, store: Path, act: Callable[[Request], Awaitable[Answer]]) -> None:
        self._path = _socket(store)
        self._act = act
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The caller holds the store's lock, so a socket that is there is a dead process's.

        Raises:
            StoreError: the socket cannot be made.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            with _address(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o600)  # before it listens, nobody can connect
            listener.listen()
        except OSError as error:
            listener.close()
            raise StoreError(f"the control socket {self._path} cannot be made: {error}") from error
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_LINE)

    async def close(self) -> None:
        """Stop listening, and drop whoever is being served."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):  # a dead socket is in nobody's way
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._server is None:  # it connected just before the end
                return
            with contextlib.suppress(OSError, asyncio.CancelledError):
                answer = await self._answer(reader)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await _read(reader)
            return await self._act(request)
        except (ValueError, TimeoutError) as error:  # no request, or one line too long
            return Answer(error=f"not understood: {error}")
        except ForwarderError as error:
            return Answer(error=str(error), kind=type(error).__name__)


async def _read(reader: asyncio.StreamReader) -> Request:
    """The next request.

    Raises:
        ValueError: it is none, or too long.
    """
    events: list[Event] = []
    size = 0
    while True:
        line = await reader.readline()
        size += len(line)
        if size > _REQUEST:
            raise ValueError(f"more than {_REQUEST} bytes")
        message: Request | Events = _decode(line)
        if isinstance(message, Events):
            events += message.events
            await asyncio.sleep(0)  # a line that is there already is read without a turn of the event loop
        elif isinstance(message, Append):
            batch = msgspec.structs.replace(message.batch, events=[*events, *message.batch.events])
            return Append(batch, message.timeout)
        else:
            return message


def _lines(request: Request) -> list[bytes]:
    """What is sent to have `request` done."""
    messages: list[Request | Events] = [request]
    if isinstance(request, Append):
        *before, last = _pieces(request.batch.events)
        batch = msgspec.structs.replace(request.batch, events=last)
        messages = [*map(Events, before), Append(batch, request.timeout)]
    try:
        lines = [msgspec.json.encode(message) + b"\n" for message in messages]
    except (UnicodeError, OverflowError) as error:
        raise StoreError(f"the store cannot hold it: {error}") from error
    if sum(map(len, lines)) > _REQUEST or max(map(len, lines)) > _LINE:
        raise StoreError(
            "this page is too large to hand it to the running forwarder; ask for fewer events at a time, "
            "or stop the forwarder meanwhile"
        )
    return lines


def _pieces(events: Iterable[Event]) -> Iterator[list[Event]]:
    """`events` in pieces of bounded bodies; one that may be empty, at least."""
    piece: list[Event] = []
    size = 0
    for event in events:
        size += len(event.body)
        if piece and size > _PIECE:
            yield piece
            piece, size = [], len(event.body)
        piece.append(event)
    yield piece


def ask(store: Path, request: Request, *, patience: float = _ANSWER) -> Answer | None:
    """Let the forwarder that runs on `store` do it. Blocks.

    Args:
        store: its file.
        request: what to do.
        patience: seconds to wait for each step of the other side.

    Returns:
        What it did; None where no forwarder runs.

    Raises:
        StoreFullError: there is no room.
        StoreTimeoutError: it was not committed in time; it may still be.
        StoreError: it could not do it, or cannot be reached.
    """
    path = _socket(store)
    lines = _lines(request)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        try:
            with _address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise StoreError(
                f"the forwarder's control socket {path} cannot be reached ({error.strerror}); run this as its user"
            ) from error
        try:
            for line in lines:
                connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = msgspec.json.decode(answers.readline(), type=Answer)
        except TimeoutError as error:
            raise StoreTimeoutError(
                f"the forwarder on {store} gave no answer within {patience:g} s; it may still do it"
            ) from error
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"the forwarder on {store} gave no answer ({error}); it may have done it all the same"
            ) from error
    if answer.error is not None:
        raise _KINDS.get(answer.kind, StoreError)(answer.error)
    return answer
