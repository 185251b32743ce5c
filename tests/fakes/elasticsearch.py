"""An Elasticsearch for tests: `_bulk` over a real socket, as version 9.4 answers it. It fails on demand."""

import asyncio
import gzip
import json
import ssl
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

import httptools

from tests.fakes.peer import RETRY_AFTER, SPOILED, Fault

_PRODUCT = {"X-elastic-product": "Elasticsearch"}


@dataclass(frozen=True)
class Request:
    """One request; `body` is decompressed."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def documents(self) -> list[tuple[str, Any]]:
        """Id and document of each `create`."""
        lines = self.body.splitlines()
        return [
            (json.loads(action)["create"]["_id"], json.loads(document))
            for action, document in zip(lines[::2], lines[1::2], strict=True)
        ]


@dataclass(frozen=True)
class Reply:
    """How the server answers one request.

    Attributes:
        status: of the response; None closes the connection instead.
        body: a str is sent as text, bytes as they are, anything else as JSON.
        headers: in addition to Elasticsearch's own; an empty value removes one.
        obeyed: the documents are stored before, so that only the response is lost.
        silent: there is no response, and the connection stays open.
        drip: seconds between two bytes of the body, of which there is no end.
    """

    status: int | None = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    obeyed: bool = False
    silent: bool = False
    drip: float | None = None


@dataclass(frozen=True)
class ItemError:
    """The response to one document: status, type and reason of its item."""

    status: int
    type: str
    reason: str

    def item(self) -> dict[str, Any]:
        return {"status": self.status, "error": {"type": self.type, "reason": self.reason}}


MAPPING = ItemError(400, "document_parsing_exception", "[1:42] failed to parse field [n] of type [long]")
THROTTLED = ItemError(429, "es_rejected_execution_exception", "rejected execution of coordinating operation")


def error(status: int, kind: str, reason: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error for the whole request, in the form of Elasticsearch."""
    cause = {"type": kind, "reason": reason}
    return Reply(status, {"error": {"root_cause": [cause], **cause}, "status": status}, headers or {})


_FAULTS = {
    Fault.THROTTLED: error(429, "circuit_breaking_exception", "too many", {"Retry-After": str(int(RETRY_AFTER))}),
    Fault.SERVER_ERROR: error(503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1/no master]"),
    Fault.SILENT: Reply(silent=True),
    Fault.REDIRECT: Reply(302, "elsewhere"),
    Fault.UNAUTHORIZED: error(401, "security_exception", "unable to authenticate"),
    Fault.FORBIDDEN: error(403, "cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];"),
    Fault.NOT_FOUND: Reply(404, "404 page not found"),
}
_SPOILED = {Fault.REFUSED: Reply(status=None), **_FAULTS}
_FAULTY_ITEM = {Fault.REJECTED: MAPPING, Fault.THROTTLED_SOME: THROTTLED}


class FakeElasticsearch:
    """A cluster of one node on 127.0.0.1. An async context manager; also a `tests.fakes.peer.Peer`.

    Attributes:
        data_streams: the documents of each data stream by their ids.
        requests: what came in, in order.
        replies: what to do with the next requests, before anything else; each is used once.
        always: what to do with every request.
        items: what to answer for the documents with these ids.
        spoiled: what to do with a request that holds a document with one of these ids.
        failure_store: ids whose documents go to the failure store.
        templates: whether an index template matches, so that a write makes the data stream.
        pipelines: those that run on a document; None for a server that cannot tell.
        authorization: the header without which a request is refused; None for no security.
        max_content_length: bytes of an inflated body; more is refused with an empty 413.
        largest_batch: documents of a request; more is refused in the same way.
        connections: how many were opened.
        rejects_all: whether every document is rejected, whatever its id.
        answers: what to answer to a method and a path, as "GET /_security/_authenticate".
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.cannot: Collection[Fault] = ()
        self.data_streams: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.replies: deque[Reply] = deque()
        self.always: Reply | None = None
        self.items: dict[str, ItemError] = {}
        self.spoiled: dict[str, Reply] = {}
        self.failure_store: set[str] = set()
        self.templates = True
        self.pipelines: list[str] | None = ["okta-forwarder"]
        self.authorization: str | None = None
        self.max_content_length = 100 * 1024 * 1024
        self.largest_batch: int | None = None
        self.connections = 0
        self.rejects_all = False
        self.answers: dict[str, Reply] = {}
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.hang_up()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Accept connections; after the first time on the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def hang_up(self) -> None:
        """Close every connection and accept no new one."""
        if self._server is None:
            return
        self._server.close()
        self.drop_connections()
        await self._server.wait_closed()
        self._server = None

    def drop_connections(self) -> None:
        """Close the connections that are open, as a proxy does with idle ones."""
        for connection in list(self._open):
            connection.close()

    async def received(self) -> list[str]:
        return [id_ for documents in self.data_streams.values() for id_ in documents]

    async def fail_with(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        if fault is Fault.REFUSED:
            await self.hang_up()
        elif fault is Fault.TOO_LARGE:
            self.largest_batch = 1
        elif fault in SPOILED:
            self.spoiled = dict.fromkeys(uuids, _SPOILED[SPOILED[fault]])
        elif fault in _FAULTY_ITEM:
            self.items.update(dict.fromkeys(uuids, _FAULTY_ITEM[fault]))
        else:
            self.always = _FAULTS[fault]
            if fault is Fault.REDIRECT:
                self.always = Reply(302, "elsewhere", {"Location": f"{self.url}/elsewhere"})

    async def recover(self) -> None:
        if self._server is None:
            await self.listen()
        self.always, self.largest_batch = None, None
        self.items.clear()
        self.spoiled.clear()

    def joined(self, connection: "_Connection") -> None:
        self.connections += 1
        self._open.add(connection)

    def left(self, connection: "_Connection") -> None:
        self._open.discard(connection)

    def answer(self, request: Request) -> Reply:
        """Store the documents of `request`, and return the response."""
        self.requests.append(request)
        reply = self.replies.popleft() if self.replies else self.always
        if reply is not None:
            if reply.obeyed:
                self._bulk(request)
            return reply
        if self.authorization is not None and request.headers.get("authorization") != self.authorization:
            return error(401, "security_exception", "missing authentication credentials")
        if len(request.body) > self.max_content_length:
            return Reply(413, "")
        if (answer := self.answers.get(f"{request.method} {request.path}")) is not None:
            return answer
        if request.path.endswith("/_bulk"):
            spoiled = (self.spoiled[id_] for id_, _ in request.documents if id_ in self.spoiled)
            return next(spoiled, None) or self._bulk(request)
        if request.path.endswith("/_search"):
            return self._search(request)
        return Reply(200, {"version": {"number": "9.4.3"}, "tagline": "You Know, for Search"})

    def _search(self, request: Request) -> Reply:
        name = request.path.split("/")[1]
        if name not in self.data_streams:
            return error(404, "index_not_found_exception", f"no such index [{name}]")
        wanted = json.loads(request.body)["query"]["ids"]["values"]
        index = f".ds-{name}-2026.01.01-000001"
        hits = [{"_id": id_, "_index": index} for id_ in wanted if id_ in self.data_streams[name]]
        return Reply(200, {"hits": {"total": {"value": len(hits)}, "hits": hits}})

    def _bulk(self, request: Request) -> Reply:
        if not request.body.endswith(b"\n"):
            return error(400, "illegal_argument_exception", "The bulk request must be terminated by a newline")
        asked = "list_executed_pipelines" in request.query
        if asked and self.pipelines is None:
            reason = f"request [{request.path}] contains unrecognized parameter: [list_executed_pipelines]"
            return error(400, "illegal_argument_exception", reason)
        documents = request.documents
        if self.largest_batch is not None and len(documents) > self.largest_batch:
            return Reply(413, "")
        too_long = [id_ for id_, _ in documents if len(id_.encode()) > 512]
        if too_long:
            return error(400, "action_request_validation_exception", f"id [{too_long[0]}] is too long")
        name = request.path.split("/")[1]
        if not self.templates and request.query.get("require_data_stream") == "true":
            missing = ItemError(404, "index_not_found_exception", f"no such index [{name}] and no template")
            results = [{"_id": id_, **missing.item()} for id_, _ in documents]
        else:
            stream = self.data_streams.setdefault(name, {})
            results = [{"_id": id_, **self._create(stream, id_, document)} for id_, document in documents]
        ran = {"executed_pipelines": self.pipelines} if asked else {}
        results = [{**result, **ran} for result in results]
        errors = any("error" in result for result in results)
        return Reply(200, {"errors": errors, "items": [{"create": result} for result in results]})

    def _create(self, stream: dict[str, Any], id_: str, document: Any) -> dict[str, Any]:
        if self.rejects_all:
            return MAPPING.item()
        if id_ in self.items:
            return self.items[id_].item()
        if id_ in self.failure_store:
            return {"status": 201, "failure_store": "used"}
        if id_ in stream:
            conflict = f"[{id_}]: version conflict, document already exists (current version [1])"
            return ItemError(409, "version_conflict_engine_exception", conflict).item()
        stream[id_] = document
        return {"status": 201}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request after the other."""

    def __init__(self, server: FakeElasticsearch) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but does not declare it
        self._server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.left(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:  # TLS, for example
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        if self._headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        target = urlsplit(self._target.decode())
        query = {key: values[0] for key, values in parse_qs(target.query).items()}
        method = self._parser.get_method().decode()
        request = Request(method, target.path, query, self._headers, body)
        asyncio.get_running_loop().call_soon(self._begin)  # not while the parser runs
        self._reply(self._server.answer(request))

    def _reply(self, reply: Reply) -> None:
        assert self._transport is not None
        if reply.silent:
            return
        if reply.status is None:
            self._transport.close()
            return
        is_text = isinstance(reply.body, str)
        body = reply.body.encode() if is_text else reply.body
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/plain" if is_text else "application/vnd.elasticsearch+json;compatible-with=9"
        length = {} if reply.drip else {"content-length": str(len(body))}
        headers = {"content-type": kind, **_PRODUCT, **reply.headers, **length}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        self._transport.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode() + body)
        if reply.drip:
            self._drip(reply.drip)

    def _drip(self, seconds: float) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(b" ")
            asyncio.get_running_loop().call_later(seconds, self._drip, seconds)
