"""A Grafana for tests: health, folders, dashboards and data sources over a real socket, as its HTTP API documents them."""

import json
from base64 import b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple, Self

Json = dict[str, Any]


class Answer(NamedTuple):
    """What one request is answered; a str is sent as text."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class FakeGrafana:
    """Use it as a context.

    Attributes:
        version: what it says that it is.
        roles: the role of each Authorization header: Viewer, Editor or Admin; None lets everybody do everything.
        instead: what every request is answered.
        health: what the look at its health is answered.
        found: what every other GET is answered.
        calls: method and path of every request.
        folders, dashboards, sources: what it holds, by uid; of dashboards as they were posted, with `id` and `version`.
        meta: of each dashboard.
    """

    version: str = "12.1.0"
    roles: dict[str, str] | None = None
    instead: Answer | None = None
    health: Answer | None = None
    found: Answer | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    folders: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    meta: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, Json] = field(default_factory=dict)

    def __enter__(self) -> Self:
        handler = type("_Handler", (_Handler,), {"grafana": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that change something."""
        return [call for call in self.calls if call[0] != "GET"]

    def answer(self, method: str, path: str, login: str | None, body: Any) -> Answer:
        """Answer one request."""
        self.calls.append((method, path))
        if self.instead:
            return self.instead
        if (method, path) == ("GET", "/api/health"):
            return self.health or Answer(200, {"database": "ok", "version": self.version, "commit": "0"})
        if method == "GET" and self.found is not None:
            return self.found
        role = "Admin" if self.roles is None else self.roles.get(login or "")
        if role is None:
            return Answer(401, {"message": "Invalid API key" if login else "Unauthorized"})
        needs = {"Admin"} if path.startswith("/api/datasources") else {"Admin", "Editor"}
        if role not in (needs if method != "GET" or "datasources" in path else {"Viewer", "Editor", "Admin"}):
            return Answer(403, {"message": "You'll need additional permissions to perform this action."})
        *kind, uid = path.strip("/").split("/")
        handler = {
            ("GET", "api/folders"): lambda: self._found(self.folders, uid, "folder"),
            ("GET", "api/datasources/uid"): lambda: self._found(self.sources, uid, "Data source"),
            ("GET", "api/dashboards/uid"): lambda: self._dashboard(uid),
            ("POST", "api"): lambda: self._make(path, body),
            ("PUT", "api/datasources/uid"): lambda: self._source(body),
            ("POST", "api/dashboards"): lambda: self._save(body),
        }.get((method, "/".join(kind)))
        return handler() if handler else Answer(404, {"message": "Not found"})

    def _found(self, held: dict[str, Json], uid: str, what: str) -> Answer:
        return Answer(200, held[uid]) if uid in held else Answer(404, {"message": f"{what} not found"})

    def _make(self, path: str, body: Json) -> Answer:
        if path == "/api/datasources":
            return self._source(body)
        if body["uid"] in self.folders:
            return Answer(412, {"message": "The folder has been changed by someone else", "status": "version-mismatch"})
        self.folders[body["uid"]] = {"id": len(self.folders) + 1, "version": 1, **body}
        return Answer(200, self.folders[body["uid"]])

    def _source(self, body: Json) -> Answer:
        self.sources[body["uid"]] = {"id": 1, "readOnly": False, **body}
        return Answer(
            200, {"datasource": self.sources[body["uid"]], "message": "Datasource added", "name": body["name"]}
        )

    def _dashboard(self, uid: str) -> Answer:
        if uid not in self.dashboards:
            return Answer(404, {"message": "Dashboard not found"})
        return Answer(200, {"dashboard": self.dashboards[uid], "meta": {"type": "db", **self.meta.get(uid, {})}})

    def _save(self, body: Json) -> Answer:
        wanted = body["dashboard"]
        uid, title = wanted.get("uid"), wanted.get("title")
        if not title:
            return Answer(400, {"message": "Dashboard title cannot be empty", "status": "empty-name"})
        if body.get("folderUid") and body["folderUid"] not in self.folders:
            return Answer(400, {"message": "folder not found"})
        held = self.dashboards.get(uid)
        if self.meta.get(uid, {}).get("provisioned"):
            return Answer(400, {"message": "Cannot save provisioned dashboard"})
        if held and not body.get("overwrite"):
            return Answer(
                412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
            )
        version = held["version"] + 1 if held else 1
        number = held["id"] if held else len(self.dashboards) + 1
        self.dashboards[uid] = {**wanted, "id": number, "version": version}
        self.meta[uid] = {"folderUid": body.get("folderUid", ""), "provisioned": False}
        slug = title.lower().replace(": ", "-").replace(" ", "-")
        told = {"id": number, "uid": uid, "url": f"/d/{uid}/{slug}", "slug": slug, "version": version}
        return Answer(200, {**told, "status": "success"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    grafana: FakeGrafana

    def do_GET(self) -> None:
        self._respond(None)

    def do_POST(self) -> None:
        self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    do_PUT = do_POST  # noqa: N815  # the library's names

    def _respond(self, sent: Any) -> None:
        answer = self.grafana.answer(self.command, self.path, self.headers.get("Authorization"), sent)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.send_response(answer.status)
        for name, value in (*answer.headers, ("Content-Length", str(len(text.encode())))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the library's
        pass


def bearer(token: str) -> str:
    """The header of a token."""
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    """The header of a user."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
