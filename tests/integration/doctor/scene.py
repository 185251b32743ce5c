"""An org, its forwarder and `forwarder doctor`, all real, in one process."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.settings import read
from tests.fakes.okta_org import TOKEN
from tests.stack.process import free_port

SECRET = "planted-first-secret-1f6c09"


@dataclass(frozen=True)
class Table:
    """What `doctor --json` printed; `rows` as it prints them."""

    code: int
    ok: bool
    rows: list[dict[str, Any]]

    def of(self, check: str, subject: str = "") -> dict[str, Any]:
        """The only row of a check, or that of a subject."""
        found = [row for row in self.rows if row["id"] == check and row["seen"].startswith(subject)]
        assert len(found) == 1, found or self.rows
        return found[0]

    def verdict(self, check: str, subject: str = "") -> str:
        return str(self.of(check, subject)["verdict"])

    @property
    def bad(self) -> dict[str, str]:
        """The verdict of each check that warns or fails."""
        return {row["id"]: row["verdict"] for row in self.rows if row["verdict"] in {"warn", "fail"}}


@dataclass
class Scene:
    """A configuration below `folder`; `org` changes the section of the org, `sections` others."""

    folder: Path
    url: str
    org: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)

    @property
    def store(self) -> Path:
        return self.folder / "store" / "s.db"

    @property
    def hook_uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/okta/events"

    def tree(self) -> dict[str, Any]:
        acme = {
            "url": self.url,
            "secrets": [SECRET],
            "api": {"token": TOKEN},
            "hook": {"uri": self.hook_uri, "events": ["user.session.start"], "check_interval": "1h"},
        }
        self.store.parent.mkdir(exist_ok=True)
        return {
            "orgs": {"acme": {key: value for key, value in (acme | self.org).items() if value is not None}},
            "receiver": {"listen": f"127.0.0.1:{self.port}"},
            "ops": {"listen": f"127.0.0.1:{self.ops_port}"},
            "store": {"path": str(self.store), "max_size": "64MiB"},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "okta.ndjson")}},
        } | self.sections

    async def command(self, *words: str) -> tuple[int, str]:
        """The exit code and the output of a command, in a thread, so that the org can answer."""
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(self.tree()))
        done = await asyncio.to_thread(CliRunner().invoke, main, [*words, "-c", str(config)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert SECRET not in done.output
        return done.exit_code, done.stdout

    async def doctor(self, *words: str) -> Table:
        code, output = await self.command("doctor", "--json", "--timeout", "20s", *words)
        said: Mapping[str, Any] = json.loads(output)
        assert said.keys() == {"ok", "checks"}
        keys = ["id", "group", "verdict", "seen", "mend", "url", "seconds"]
        assert all(list(row) == keys for row in said["checks"])
        for row in said["checks"]:
            assert (row["mend"] != "") or row["verdict"] in {"ok", "skip"}, row
        return Table(code, said["ok"], said["checks"])

    @asynccontextmanager
    async def forwarder(self) -> AsyncIterator[Forwarder]:
        forwarder = Forwarder(read(self.tree()), SystemClock())
        await forwarder.start()
        try:
            yield forwarder
        finally:
            await forwarder.stop(grace=0)
