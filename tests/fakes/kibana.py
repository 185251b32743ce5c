"""A Kibana for tests: status, spaces and the import of saved objects over a real socket, as Kibana's source has them.

Dashboards, searches and data views are unique by id over all spaces. So the import of an object whose id another space
has makes one with a new id, which remembers the old one as its origin, and the next import finds it by that.
"""

import json
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from tests.fakes.kibana_objects import faults

Json = dict[str, Any]

_IMPORTABLE = {"dashboard", "index-pattern", "lens", "map", "search", "tag", "visualization"}
_CHECKED = {"index-pattern", "search"}
"""Kibana looks for what an object refers to only where it is one of these."""


class Answer(NamedTuple):
    """What one request is answered; a str is sent as text."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Stored:
    """A saved object in Kibana."""

    space: str
    kind: str
    id: str
    saved: Json
    origin: str | None = None


@dataclass
class FakeKibana:
    """Use it as a context.

    Attributes:
        version: what it says that it is.
        level: of its status.
        spaces: that somebody has made.
        logins: values of the Authorization header, each with the spaces that it may write into; None lets everybody in.
        lines: per object in an import, by its id, an error in place of its success.
        instead: what every request is answered.
        imported: what an import is answered.
        objects: what it holds.
        calls: method and path with query of every request.
        tls: its certificate and key; None for plain HTTP.
    """

    version: str = "9.1.0"
    level: str = "available"
    spaces: set[str] = field(default_factory=lambda: {"default"})
    logins: dict[str, set[str]] | None = None
    lines: dict[str, Json] = field(default_factory=dict)
    instead: Answer | None = None
    imported: Answer | None = None
    objects: list[Stored] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (_Handler,), {"kibana": self}))
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"

    @property
    def imports(self) -> list[str]:
        """The addresses of all imports."""
        return [path for method, path in self.calls if method == "POST"]

    def held(self, space: str = "default") -> dict[tuple[str, str], Json]:
        """What a space holds, by type and id."""
        return {(one.kind, one.id): one.saved for one in self.objects if one.space == space}

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Answer:
        """Answer one request."""
        self.calls.append((method, path))
        if self.instead:
            return self.instead
        login = headers.get("Authorization")
        if self.logins is not None and login is not None and login not in self.logins:
            return _error(401, "Unauthorized", "[security_exception] unable to authenticate user")
        address = urlsplit(path)
        in_space = re.fullmatch(r"/s/([^/]+)(/.*)", address.path)
        space, local = (in_space[1], in_space[2]) if in_space else ("default", address.path)
        if (method, local) == ("GET", "/api/status"):
            return self._status(known=self.logins is None or login is not None)
        if self.logins is not None and login is None:
            return _error(401, "Unauthorized", "[security_exception] missing authentication credentials")
        # Without security everybody may write everywhere, even into a space that nobody has made.
        may = {space, local.rpartition("/")[2]} if self.logins is None else self.logins[login or ""]
        if method == "GET" and local.startswith("/api/spaces/space/"):
            return self._space(local.rpartition("/")[2], may)
        if (method, local) == ("POST", "/api/saved_objects/_import"):
            return self._import(space, may, parse_qs(address.query), headers, body)
        return _error(404, "Not Found", "Not Found")

    def _status(self, *, known: bool) -> Answer:
        overall = {"level": self.level}
        status = 503 if self.level in {"unavailable", "critical"} else 200
        if not known:
            return Answer(status, {"status": {"overall": overall}})
        told = {**overall, "summary": f"All services and plugins are {self.level}"}
        version = {"number": self.version, "build_hash": "0", "build_number": 1, "build_flavor": "traditional"}
        return Answer(status, {"name": "kibana", "version": version, "status": {"overall": told}})

    def _space(self, space: str, may: set[str]) -> Answer:
        if space not in may:
            return _error(403, "Forbidden", f"Unauthorized to get {space} space")
        if space not in self.spaces:
            return _error(404, "Not Found", "Not Found")
        return Answer(200, {"id": space, "name": space, "disabledFeatures": []})

    def _import(self, space: str, may: set[str], query: Any, headers: Any, body: bytes) -> Answer:
        if self.imported is not None:
            return self.imported
        if "kbn-xsrf" not in headers:
            return _error(400, "Bad Request", "Request must contain a kbn-xsrf header.")
        name, text = _file(headers, body)
        if not name.endswith(".ndjson"):
            return _error(400, "Bad Request", f"Invalid file extension .{name.rpartition('.')[2]}")
        objects = [json.loads(line) for line in text.splitlines() if line]
        entries = [f"{saved['type']}:{saved['id']}" for saved in objects]
        twice = sorted({entry for entry in entries if entries.count(entry) > 1})
        if twice:
            return _error(400, "Bad Request", f"Non-unique import objects detected: [{','.join(twice)}]")
        if space not in may:
            kinds = ",".join(sorted({saved["type"] for saved in objects}))
            return _error(403, "Forbidden", f"Unable to bulk_create {kinds}")
        overwrite = query.get("overwrite") == ["true"]
        results = [self._take(saved, entries, space, overwrite=overwrite) for saved in objects]
        refused = [result for result in results if "error" in result]
        written = [result for result in results if "error" not in result]
        return Answer(
            200,
            {
                "success": not refused,
                "successCount": len(written),
                "warnings": [],
                **({"successResults": written} if written else {}),
                **({"errors": refused} if refused else {}),
            },
        )

    def _take(self, saved: Json, entries: list[str], space: str, *, overwrite: bool) -> Json:
        kind, name = saved["type"], saved["id"]
        told: Json = {"type": kind, "id": name, "meta": {"title": saved["attributes"].get("title")}}
        error = self.lines.get(name) or self._refusal(saved, entries, space)
        if error:
            return {**told, "error": error}
        here = [
            one for one in self.objects
            if (one.kind, one.space) == (kind, space) and name in {one.id, one.origin}
        ]  # fmt: skip
        if len(here) > 1:
            copies = [{"id": one.id, "title": one.saved["attributes"]["title"]} for one in here]
            return {**told, "error": {"type": "ambiguous_conflict", "destinations": copies}}
        if here and not overwrite:
            return {**told, "error": {"type": "conflict"}}
        if here:
            here[0].saved = saved
            elsewhere = {"destinationId": here[0].id} if here[0].id != name else {}
            return {**told, "overwrite": True, **elsewhere}
        if any((one.kind, one.id) == (kind, name) for one in self.objects):
            made = str(uuid4())
            self.objects.append(Stored(space, kind, made, saved, origin=name))
            return {**told, "destinationId": made}
        self.objects.append(Stored(space, kind, name, saved))
        return told

    def _refusal(self, saved: Json, entries: list[str], space: str) -> Json | None:
        if saved["type"] not in _IMPORTABLE:
            return {"type": "unsupported_type"}
        there = {*entries, *(f"{kind}:{name}" for kind, name in self.held(space))}
        missing = [
            {"type": reference["type"], "id": reference["id"]}
            for reference in saved["references"]
            if reference["type"] in _CHECKED and f"{reference['type']}:{reference['id']}" not in there
        ]
        if missing:
            return {"type": "missing_references", "references": missing}
        found = faults(saved)
        if found:
            return {"type": "unknown", "message": "; ".join(found), "statusCode": 400}
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kibana: FakeKibana

    def do_GET(self) -> None:
        self._respond(b"")

    def do_POST(self) -> None:
        self._respond(self.rfile.read(int(self.headers["Content-Length"])))

    def _respond(self, sent: bytes) -> None:
        answer = self.kibana.answer(self.command, self.path, self.headers, sent)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.send_response(answer.status)
        for name, value in (("kbn-name", "kibana"), *answer.headers, ("Content-Length", str(len(text.encode())))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the library's
        pass


def api_key(encoded: str) -> str:
    """The header of an API key."""
    return f"ApiKey {encoded}"


def basic(user: str, password: str) -> str:
    """The header of a user."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _file(headers: Any, body: bytes) -> tuple[str, str]:
    """Name and text of the part `file` of a form."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    for part in BytesParser(policy=HTTP).parsebytes(head + body).walk():
        if part.get_param("name", header="content-disposition") == "file":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            return part.get_filename() or "", payload.decode()
    return "", ""


def _error(status: int, error: str, message: str) -> Answer:
    return Answer(status, {"statusCode": status, "error": error, "message": message})
