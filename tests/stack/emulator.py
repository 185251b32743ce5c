"""The emulated Okta org as a process of its own, the way an operator runs it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.stack.process import ROOT, ServerProcess, free_port

TOKEN = "the-token-of-the-tests"  # of an org that lives as long as a test


class EmulatorProcess(ServerProcess):
    """One org. It keeps nothing when it is stopped.

    Args:
        directory: for its log.
        flags: of `forwarder emulate-okta`, beside where it listens and its token.
    """

    def __init__(self, directory: Path, *flags: str, name: str = "the emulated org") -> None:
        super().__init__(name, directory / f"{name.replace(' ', '-')}.log")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.flags = flags
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        listen = f"127.0.0.1:{self.port}"
        words = [sys.executable, "-m", "forwarder", "emulate-okta", "--listen", listen, "--token", TOKEN]
        return [*words, *self.flags]

    def environment(self) -> dict[str, str]:
        """As `ServerProcess`."""
        return {"PYTHONPATH": str(ROOT)}

    def ready(self) -> bool:
        """As `ServerProcess`."""
        try:
            return httpx.get(f"{self.url}/emulator/ledger", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def emit(self, count: int, types: Sequence[str] = ()) -> list[str]:
        """Emit events and return their uuids."""
        body = {"count": count, "types": list(types)}
        uuids: list[str] = self._ask("POST", "/emulator/events", body)["events"]
        return uuids

    def create_hook(self, uri: str, secret: str, types: Sequence[str]) -> None:
        """Create an event hook that posts events of `types` to `uri`, and verify it: the receiver must run."""
        scheme = {"type": "HEADER", "key": "Authorization", "value": secret}
        config = {"uri": uri, "headers": [], "authScheme": scheme}
        order = {
            "name": "events",
            "events": {"type": "EVENT_TYPE", "items": list(types)},
            "channel": {"type": "HTTP", "version": "1.0.0", "config": config},
        }
        hook = self._ask("POST", "/api/v1/eventHooks", order)
        self._ask("POST", f"/api/v1/eventHooks/{hook['id']}/lifecycle/verify")

    def set_faults(self, **faults: Any) -> None:
        """Replace all faults."""
        self._ask("PUT", "/emulator/faults", faults)

    def ledger(self) -> dict[str, Any]:
        """Return all events and what became of them."""
        ledger: dict[str, Any] = self._ask("GET", "/emulator/ledger")
        return ledger

    def system_log(self) -> list[str]:
        """Return the uuid of every event in the System Log, read by its API."""
        uuids: list[str] = []
        url: str | None = f"{self.url}/api/v1/logs?limit=1000"
        while url is not None:
            page = httpx.get(url, headers={"Authorization": f"SSWS {TOKEN}"}, timeout=30)
            page.raise_for_status()
            uuids += [event["uuid"] for event in page.json()]
            # A poller's page always has a next link; an empty page is the last one for now.
            url = page.links["next"]["url"] if page.json() else None
        return uuids

    def settled(self) -> bool:
        """Whether each hook delivered or dropped every event; only for types that hooks can carry."""
        ledger = self.ledger()
        events = set(ledger["events"])
        return all(events <= {*hook["delivered"], *hook["dropped"]} for hook in ledger["hooks"].values())

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"SSWS {TOKEN}"}
        answer = httpx.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()
