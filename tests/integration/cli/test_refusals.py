"""Commands whose server refuses with a status that says little: the error says what to do next."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main

COMMANDS = {
    "hooks": ("hooks", "list", "--config", "CONFIG"),
    "zones": ("zones", "show", "--config", "CONFIG"),
    "elasticsearch": ("setup", "elasticsearch", "--dry-run", "--config", "CONFIG"),
    "kibana": ("setup", "kibana", "--url", "URL"),
    "grafana": ("setup", "grafana", "--url", "URL"),
    "tap": ("tap", "--url", "URL", "--config", "CONFIG"),
}


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """The address of a server that answers each request with this status and a page."""

    class Refusal(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status, "Odd")
            self.send_header("content-type", "text/html")
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"<h1>")

        do_GET = do_POST = do_PUT = refuse  # noqa: N815  # the names of `http.server`

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("status", [302, 405, 418, 600])
@pytest.mark.long
def test_a_refusal_names_a_next_step(tmp_path: Path, command: str, status: int) -> None:
    with refusing(status) as url:
        tree = {
            "orgs": {"acme": {"url": url, "api": {"token": "x" * 20}, "zones": {"bad": {"ips": ["192.0.2.1"]}}}},
            "sinks": {"siem": {"kind": "elasticsearch", "hosts": [url]}},
        }
        (tmp_path / "forwarder.yaml").write_text(json.dumps(tree))
        places = {"URL": url, "CONFIG": str(tmp_path / "forwarder.yaml")}
        done = CliRunner().invoke(main, [places.get(word, word) for word in COMMANDS[command]], catch_exceptions=False)
    assert (done.exit_code, str(status) in done.output or "redirects" in done.output) == (1, True), done.output
    step = done.output.strip().replace("\n", "; ").replace(". ", "; ").rpartition("; ")[2].lower()
    assert step.startswith(
        ("check ", "give that address", "give the address", "set the", "the response redirects", "name the")
    ), step
