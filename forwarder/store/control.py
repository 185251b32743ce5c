"""How an operator's command reaches the running forwarder, which alone may write to its store.

A Unix socket beside the store, for its own user only. One JSON line asks, one JSON line answers:
`{"do": "replay", "which": {"ids": [7], "sink": null, "reason": null}}` gives `{"done": 1}` or `{"error": "…"}`.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from forwarder.core.errors import ForwarderError, StoreError
from forwarder.store.dead_letters import Selection

_LONGEST = 100  # bytes of a socket's path; the kernel takes 107
_LINE = 1024 * 1024  # bytes of a request
_PATIENCE = 10.0  # seconds for a request to arrive
_ANSWER = 300.0  # seconds for the work itself


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the forwarder shall do, and with which dead letters."""

    do: Literal["replay", "discard"]
    which: Selection


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many dead letters it did, or why it did not."""

    done: int = 0
    error: str | None = None


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

    def __init__(self, store: Path, act: Callable[[Request], Awaitable[int]]) -> None:
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
                line = await reader.readline()
            request = msgspec.json.decode(line, type=Request)
            return Answer(done=await self._act(request))
        except (ValueError, TimeoutError) as error:  # no request, or one line too long
            return Answer(error=f"not understood: {error}")
        except ForwarderError as error:
            return Answer(error=str(error))


def ask(store: Path, request: Request) -> int | None:
    """Let the forwarder that runs on `store` do it. Blocks.

    Returns:
        How many dead letters it did; None where no forwarder runs.

    Raises:
        StoreError: it could not do it, or cannot be reached.
    """
    path = _socket(store)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER)
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
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as answers:
                answer = msgspec.json.decode(answers.readline(), type=Answer)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"the forwarder on {store} gave no answer ({error}); look at `dead-letters list`"
            ) from error
    if answer.error is not None:
        raise StoreError(answer.error)
    return answer.done
