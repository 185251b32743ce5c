"""Limits the number of interim HTTP responses (1xx) that a server may send before the response to a request.

The HTTP clients skip interim responses without a limit, and do not let other tasks run meanwhile: 64 KiB of interim
responses hold the event loop for up to 0.7 s. A client that blocks is busy with them until its deadline. So the bytes
from the server pass a filter first, which removes interim responses.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpcore
import httpx

MAX_INTERIM = 20
"""The maximum number of interim responses to one request. Servers send one or two."""

_LARGEST = 65_536  # bytes; the clients accept no larger head of a response
_STATUS = 12  # bytes, as in "HTTP/1.1 103"
_interim = re.compile(rb"HTTP/\d\.\d 1(?!01)\d\d.*?\n\r?\n", re.DOTALL).match  # 101 is a final response
_starts_interim = re.compile(rb"HTTP/\d\.\d 1(?!01)\d\d").match

Client = TypeVar("Client", httpx.AsyncClient, httpx.Client)


class TooManyInterimError(Exception):
    """The server sent more than `MAX_INTERIM` interim responses to one request."""


class InterimFilter:
    """Removes interim responses from the bytes that a server sends over one connection."""

    def __init__(self) -> None:
        self.request_sent()

    def request_sent(self) -> None:
        """Expect interim responses from now on."""
        self._before_response, self._number, self._start = True, 0, b""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that the client may see after `data` has arrived; empty if `data` ends in an interim response.

        Empty `data` means that the server sends no more.

        Raises:
            TooManyInterimError: the server sent too many interim responses.
        """
        if not self._before_response:
            return data
        received, at = self._start + data, 0
        while interim := _interim(received, at):
            self._number += 1
            if self._number > MAX_INTERIM:
                raise TooManyInterimError(f"more than {MAX_INTERIM} interim responses")
            at = interim.end()
        self._start = received[at:]
        if data and _may_be_interim(self._start):
            return b""
        self._before_response = False
        return self._start


def _may_be_interim(start: bytes) -> bool:
    if len(start) < _STATUS:
        return b"HTTP/".startswith(start[:5])
    return len(start) <= _LARGEST and _starts_interim(start) is not None


def limit_interim_responses(client: Client) -> Client:
    """Make `client` accept at most `MAX_INTERIM` interim responses to a request, and return it. With more, the request
    raises httpx.ReadError."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001  # httpx has no public way
        if isinstance(transport, httpx.AsyncHTTPTransport | httpx.HTTPTransport):
            pool: Any = transport._pool  # noqa: SLF001  # as above
            backend = _Backend if isinstance(transport, httpx.AsyncHTTPTransport) else _BlockingBackend
            pool._network_backend = backend(pool._network_backend)  # noqa: SLF001  # as above
    return client


def _feed(interim: InterimFilter, data: bytes) -> bytes:
    try:
        return interim.feed(data)
    except TooManyInterimError as error:
        raise httpcore.ReadError(str(error)) from None


@contextmanager
def _tls_errors_as(kind: type[httpcore.NetworkError]) -> Iterator[None]:
    """Raise an error of `kind` in place of an SSLError, such as one about a damaged record. Only the blocking streams
    of httpcore do this themselves."""
    try:
        yield
    except ssl.SSLError as error:
        raise kind(str(error)) from error


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens connections whose bytes pass an `InterimFilter`."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(*args, **options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._filter = InterimFilter()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            with _tls_errors_as(httpcore.ReadError):
                data = await self._stream.read(max_bytes, timeout)
            if (seen := _feed(self._filter, data)) or not data:
                return seen

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._filter.request_sent()
        with _tls_errors_as(httpcore.WriteError):
            await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _BlockingBackend(httpcore.NetworkBackend):
    """A `_Backend` for clients that block."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _BlockingStream(self._backend.connect_tcp(*args, **options))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _BlockingStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._filter = InterimFilter()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = self._stream.read(max_bytes, timeout)
            if (seen := _feed(self._filter, data)) or not data:
                return seen

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._filter.request_sent()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _BlockingStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
