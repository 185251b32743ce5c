"""OTLP servers for tests: real HTTP and real gRPC on 127.0.0.1. They decode requests, and fail on demand."""

import asyncio
import contextlib
import gzip
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # it ships no types
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it ships no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no types
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tests.fakes.peer import RETRY_AFTER, SPOILED, Fault

_PROTOBUF = "application/x-protobuf"
_TOO_LARGE = "grpc: received message larger than max (5000000 vs. 4194304)"


@dataclass(frozen=True)
class Request:
    """One request as it came in.

    Attributes:
        path: of the URL, or the method of gRPC.
        headers: names in lower case; gRPC's metadata.
        size: bytes on the wire; 0 where the protocol does not tell.
        logs: what it carried.
    """

    path: str
    headers: Mapping[str, str]
    size: int
    logs: ExportLogsServiceRequest

    @property
    def records(self) -> list[LogRecord]:
        return [
            record
            for resource in self.logs.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def uids(self) -> list[str]:
        return [str(attributes(record)["log.record.uid"]) for record in self.records]


def attributes(record: LogRecord) -> dict[str, Any]:
    """The attributes of `record` as Python values."""
    return {pair.key: _value(pair.value) for pair in record.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


@dataclass(frozen=True)
class Answer:
    """How the server answers a request; by default it accepts it.

    Attributes:
        status: of HTTP; anything but 200 takes nothing.
        code: of gRPC; anything but OK takes nothing.
        text: the server's error message.
        wait: seconds that it asks to wait; None for not asking.
        refused: records that it does not take although it takes the request (partial_success).
        silent: there is no answer, and the connection stays open.
        reset: HTTP only; the connection is reset instead.
        headers: HTTP only; added to the answer's.
        body: HTTP only; in place of the answer's own.
        interim: HTTP only; sent before the answer.
        raw: HTTP only; sent in place of the answer, then the connection is closed.
    """

    status: int = 200
    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    wait: float | None = None
    refused: int = 0
    silent: bool = False
    reset: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    interim: bytes = b""
    raw: bytes | None = None

    @property
    def takes(self) -> bool:
        return self.status == 200 and self.code is grpc.StatusCode.OK and not (self.silent or self.reset)

    @property
    def message(self) -> ExportLogsServiceResponse:
        answer = ExportLogsServiceResponse()
        if self.refused or self.text:
            answer.partial_success.rejected_log_records = self.refused
            answer.partial_success.error_message = self.text
        return answer


_FAULTS = {
    Fault.THROTTLED: Answer(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", RETRY_AFTER),
    Fault.SERVER_ERROR: Answer(503, grpc.StatusCode.UNAVAILABLE, "the queue is full"),
    Fault.SILENT: Answer(silent=True),
    Fault.REDIRECT: Answer(302, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
    Fault.UNAUTHORIZED: Answer(401, grpc.StatusCode.UNAUTHENTICATED, "who are you"),
    Fault.FORBIDDEN: Answer(403, grpc.StatusCode.PERMISSION_DENIED, "not you"),
    Fault.NOT_FOUND: Answer(404, grpc.StatusCode.UNIMPLEMENTED, "unknown service"),
}
_MALFORMED = Answer(400, grpc.StatusCode.INVALID_ARGUMENT, "a record cannot be read")
_RESET = Answer(reset=True)
_LARGE = Answer(413, grpc.StatusCode.RESOURCE_EXHAUSTED, _TOO_LARGE)


class _FakeOtlp(ABC):
    """What both protocols share. An async context manager; also a `tests.fakes.peer.Peer`.

    Attributes:
        requests: what came in and could be decoded, in order, whatever was answered.
        taken: the uids of the records that were taken, in order.
        answers: what to do with the next requests, before anything else; each is used once.
        always: what to do with every request.
        poison: uids that spoil each request with them.
        spoiled: the answer to such a request.
        largest_batch: records of a request; more is refused as too large.
    """

    cannot: Collection[Fault] = (Fault.THROTTLED_SOME,)

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.taken: list[str] = []
        self.answers: deque[Answer] = deque()
        self.always: Answer | None = None
        self.poison: set[str] = set()
        self.spoiled = _MALFORMED
        self.largest_batch: int | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.hang_up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    async def listen(self) -> None:
        """Accept connections; after the first time on the same port."""

    @abstractmethod
    async def hang_up(self) -> None:
        """Close all connections and accept no more."""

    def answer(self, request: Request) -> Answer:
        """Record the request, return the answer, and store the records if the answer accepts them."""
        self.requests.append(request)
        if self.answers:
            answer = self.answers.popleft()
        elif self.always is not None:
            answer = self.always
        elif self.poison.intersection(request.uids):
            answer = self.spoiled
        elif self.largest_batch is not None and len(request.records) > self.largest_batch:
            answer = _LARGE
        else:
            answer = Answer()
        if answer.takes:
            self.taken += request.uids
        return answer

    async def received(self) -> list[str]:
        return list(self.taken)

    async def fail_with(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        if fault is Fault.REFUSED:
            await self.hang_up()
        elif fault is Fault.REJECTED:
            self.poison, self.spoiled = set(uuids), _MALFORMED
        elif fault in SPOILED:
            self.poison, self.spoiled = set(uuids), _FAULTS.get(SPOILED[fault], _RESET)
        elif fault is Fault.TOO_LARGE:
            self.largest_batch = 1
        else:
            self.always = _FAULTS[fault]

    async def recover(self) -> None:
        self.always, self.poison, self.largest_batch = None, set(), None
        await self.listen()


class FakeOtlpHttp(_FakeOtlp):
    """An OTLP server over HTTP.

    Attributes:
        connections: how many were opened.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.connections = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]

    async def hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._open.values() if task))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._one(reader, writer)
        writer.close()
        del self._open[writer]

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {
            name.lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        path = first.split()[1]
        answer = self.answer(Request(path, headers, len(body), ExportLogsServiceRequest.FromString(plain)))
        if answer.reset:
            writer.transport.abort()
            raise ConnectionResetError
        if answer.silent:
            await reader.read()  # until the other side hangs up
            raise ConnectionResetError
        writer.write(answer.interim + (_http(answer) if answer.raw is None else answer.raw))
        await writer.drain()
        if answer.raw is not None:
            raise ConnectionResetError


def _http(answer: Answer) -> bytes:
    body = answer.message if answer.status == 200 else Status(message=answer.text)
    content = body.SerializeToString() if answer.body is None else answer.body
    headers = {"Content-Type": _PROTOBUF, "Content-Length": str(len(content)), **answer.headers}
    if answer.wait is not None:
        headers["Retry-After"] = f"{answer.wait:g}"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} .\r\n{head}\r\n".encode() + content


class FakeOtlpGrpc(_FakeOtlp):
    """An OTLP server over gRPC.

    Attributes:
        peers: the addresses of the connections that carried a request.
    """

    cannot = (Fault.THROTTLED_SOME, Fault.REDIRECT, Fault.SPOILED_RESET)

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        super().__init__()
        self.peers: set[str] = set()
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._credentials else 'http'}://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        if self._server is not None:
            return
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_LogsServiceServicer_to_server(_Servicer(self), self._server)  # type: ignore[no-untyped-call]  # generated
        address = f"127.0.0.1:{self.port}"
        if self._credentials:
            self.port = self._server.add_secure_port(address, self._credentials)
        else:
            self.port = self._server.add_insecure_port(address)
        await self._server.start()

    @property
    def connections(self) -> int:
        """How many were opened."""
        return len(self.peers)

    async def hang_up(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)


class _Servicer(LogsServiceServicer):
    def __init__(self, fake: FakeOtlpGrpc) -> None:
        self._fake = fake

    async def Export(  # noqa: N802  # the name of the method in the protocol
        self, request: ExportLogsServiceRequest, context: Any
    ) -> ExportLogsServiceResponse:
        headers = dict(context.invocation_metadata())
        self._fake.peers.add(context.peer())
        answer = self._fake.answer(Request("Export", headers, 0, request))
        if answer.silent:
            await asyncio.get_running_loop().create_future()  # until the call is cancelled
        if answer.code is not grpc.StatusCode.OK:
            await context.abort(answer.code, answer.text, _details(answer))
        return answer.message


def _details(answer: Answer) -> tuple[tuple[str, bytes], ...]:
    if answer.wait is None:
        return ()
    delay = Duration()
    delay.FromMilliseconds(round(answer.wait * 1000))
    status = Status(code=answer.code.value[0], message=answer.text)
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    return (("grpc-status-details-bin", status.SerializeToString()),)
