"""The forwarder itself as a process of its own, the way an operator runs it."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forwarder.clock import SystemClock
from forwarder.store.interface import open_commands
from forwarder.store.ledger import Ledger
from forwarder.store.settings import StoreSettings
from tests.stack.process import ROOT, ServerProcess, StackError, answers, free_port

SECRET = "the-secret-of-the-tests"
FORWARDER = (sys.executable, "-m", "forwarder")


class ForwarderProcess(ServerProcess):
    """One forwarder. It keeps its ports and its store over a restart.

    Args:
        directory: all that it writes lies below.
        sinks: the section of the configuration.
        sections: other sections, laid over the defaults of this class.
        path: of the store, where it shall not lie in `directory`.
    """

    def __init__(
        self,
        directory: Path,
        sinks: Mapping[str, Any],
        sections: Mapping[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        super().__init__("the forwarder", directory / "forwarder.log")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port, self.ops_port = free_port(), free_port()
        self.store = path or directory / "store.db"
        self.config = directory / "forwarder.yaml"
        self.tree: dict[str, Any] = {
            "orgs": {"acme": {"secrets": [SECRET]}},
            "receiver": {"listen": f"127.0.0.1:{self.port}"},
            "store": {"path": str(self.store)},
            "sinks": dict(sinks),
            "ops": {"listen": f"127.0.0.1:{self.ops_port}"},
        }
        for name, section in (sections or {}).items():
            self.tree[name] = {**self.tree.get(name, {}), **section}
        self.write_config()

    @property
    def url(self) -> str:
        """Where Okta posts."""
        return f"http://127.0.0.1:{self.port}/okta/events"

    def write_config(self) -> None:
        """Write the configuration anew, after a change of `tree`."""
        self.config.write_text(json.dumps(self.tree), encoding="utf-8")  # JSON is YAML

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        return [*FORWARDER, "run", "--config", str(self.config)]

    def environment(self) -> dict[str, str]:
        """As `ServerProcess`."""
        return {"PYTHONPATH": str(ROOT)}

    def start(self, timeout: float = 120) -> None:
        """As `ServerProcess`; return only when the start is complete, which is after the receiver answers."""
        before = self.log.stat().st_size if self.log.exists() else 0
        super().start(timeout)
        deadline = time.monotonic() + timeout
        while b"the forwarder has started" not in self.log.read_bytes()[before:]:
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not complete its start:\n{self.log_tail()}")
            time.sleep(0.01)

    def ready(self) -> bool:
        """As `ServerProcess`: tell whether the receiver answers."""
        return answers(self.port, "/okta/events", {"Authorization": SECRET, "X-Okta-Verification-Challenge": "x"})

    def run(self, *words: str, expect: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Run another command of the forwarder on the same configuration; fail where its exit code is not as expected."""
        command = [*FORWARDER, *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.directory, timeout=120)
        assert expect is None or done.returncode == expect, done.stdout + done.stderr
        return done

    def read_ledger(self) -> Ledger:
        """The ledger, read from the store by this process; fails where it does not balance.

        For a test that waits: to ask again and again by a command keeps a core busy.
        """
        ledger = open_commands(StoreSettings(path=self.store), SystemClock()).ledger()
        assert ledger.balanced, ledger
        return ledger

    def ledger(self) -> dict[str, Any]:
        """What `stats --json` prints; it exits 1 where the ledger does not balance, and so does the test."""
        ledger: dict[str, Any] = json.loads(self.run("stats", "--json").stdout)
        for name, sink in ledger["sinks"].items():
            places = ("delivered", "dead", "discarded", "skipped", "filtered", "waiting")
            total = sum(sink[key] for key in places)
            assert total == ledger["stored"], (name, ledger)
        return ledger
