"""A real Elasticsearch on 127.0.0.1, of which a test may have several."""

import base64
import contextlib
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stack.process import CACHE, ROOT, ServerProcess, answers, free_port

USERS = {"tester": "the-password-of-the-tests"}
_START = ROOT / "tests" / "stack" / "start-elasticsearch.sh"


def missing() -> str | None:
    """Say what keeps a real Elasticsearch from starting and how to get it, or None."""
    if (CACHE / "elasticsearch" / ".complete").exists():
        return None
    return "needs a real Elasticsearch: run `make stack`, which needs Maven and a JDK of version 21 or newer"


class Elasticsearch(ServerProcess):
    """One server. It keeps its port and its data over a crash and a restart.

    Args:
        data_dir: all that it writes lies below.
        port: where it listens; a free one by default.
        settings: its own settings, such as `{"indexing_pressure.memory.limit": "4kb"}`.
        users: names and passwords. With users, its security is on and each of them is a superuser.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("Elasticsearch", data_dir / "server.out")
        self.data_dir = data_dir
        self.port = port or free_port()
        self.settings = dict(settings or {})
        self.users = dict(users or {})

    @property
    def url(self) -> str:
        """Its address, without a user."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, Any]:
        """The settings of a sink for the credentials of the first user; empty if security is off."""
        for user, word in self.users.items():
            return {"basic_auth": {"username": user, "password": word}}
        return {}

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        # Elasticsearch takes no setting twice, so a test's own wins here.
        settings = {"xpack.security.enabled": str(bool(self.users)).lower(), **self.settings}
        options = [part for key, value in settings.items() for part in ("-E", f"{key}={value}")]
        return [str(_START), str(self.port), str(self.data_dir), *options]

    def start(self, timeout: float = 180) -> None:
        """As `ServerProcess.start`; ready means that the cluster is yellow or green."""
        if self.users:
            config = self.data_dir / "config"
            config.mkdir(parents=True, exist_ok=True)
            (config / "users").write_text("".join(f"{user}:{_hash(word)}\n" for user, word in self.users.items()))
            (config / "users_roles").write_text(f"superuser:{','.join(self.users)}\n")
        super().start(timeout)
        self._meet_its_first_error()
        if self.users:
            self._wait_for_roles()

    def _meet_its_first_error(self) -> None:
        """Make the server load its exceptions in one thread.

        Two that meet their first ones at once, as a version conflict and a client that has gone, can wait for each
        other's classes for ever (seen with 9.4.3, ElasticsearchException.<clinit>); no write is answered then.
        """
        with contextlib.suppress(urllib.error.HTTPError):
            self.call("GET", "/there-is-no-such-index/_doc/1")

    def _wait_for_roles(self) -> None:
        """Wait for the index of built-in roles, which the server creates a moment after it is green: until its shard has
        started, questions about privileges get 503. Go on without it after ten seconds: other versions have none."""
        for _ in range(100):
            if answers(self.port, "/.security-7/_search?size=0", self._headers()):
                return
            time.sleep(0.1)

    def ready(self) -> bool:
        """As `ServerProcess`."""
        health = "/_cluster/health?wait_for_status=yellow&timeout=1s"
        # Its index of users and rights comes with the first question about them, and for a moment has no shard.
        paths = [health, "/_security/user/_privileges", health] if self.users else [health]
        return all(answers(self.port, path, self._headers()) for path in paths)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request as the first user, past every client library.

        Args:
            method: the HTTP method.
            path: path and query.
            body: None, a str or bytes sent as they are (NDJSON), or anything else as JSON.

        Returns:
            The answer, decoded; None if it was empty.

        Raises:
            urllib.error.HTTPError: any status of 400 or more.
        """
        raw = body if isinstance(body, str | bytes | None) else json.dumps(body)
        data = raw.encode() if isinstance(raw, str) else raw
        kind = "application/x-ndjson" if isinstance(body, str | bytes) else "application/json"
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": kind, **self._headers()}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _headers(self) -> dict[str, str]:
        for user, word in self.users.items():
            return {"Authorization": "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()}
        return {}


def _hash(password: str) -> str:
    """Hash as Elasticsearch's file realm reads it: `{PBKDF2}rounds$salt$hash`."""
    salt = os.urandom(32)
    rounds = 10_000
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
