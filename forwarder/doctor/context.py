"""What the checks of one run share: the settings, the clients, and what an earlier check learned."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from forwarder.core.ports import Clock
from forwarder.okta.hooks.desired import Hook
from forwarder.settings import OrgSettings, Settings
from forwarder.store.ledger import Ledger

if TYPE_CHECKING:
    from forwarder.okta.api.client import OktaClient


class Sent(NamedTuple):
    """A test event that `doctor --send` has posted: its uuid, and when, in seconds of the monotonic clock."""

    uuid: str
    at: float


_LIBRARIES = {"elasticsearch": "elasticsearch", "otlp": "forwarder.sinks.otlp.exporter"}


@dataclass
class Context:
    """One run of `doctor`.

    Attributes:
        settings: the valid configuration.
        clock: the clock of this machine.
        timeout: seconds that each check may take.
        status: the status of the running forwarder; None if no forwarder runs, or if it does not answer.
        runs: whether a forwarder runs on the store.
        ledger: the ledger of the store; None if it was not read.
        hooks: the event hooks of each org, by its name.
        sent: the test event of each org, by its name.
        ahead: by how many seconds this machine's clock is ahead of Okta's, by name of the org.
    """

    settings: Settings
    clock: Clock
    timeout: float
    status: Mapping[str, Any] | None = None
    runs: bool = False
    ledger: Ledger | None = None
    hooks: dict[str, list[Hook]] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    ahead: dict[str, float] = field(default_factory=dict)
    _clients: "dict[str, OktaClient]" = field(default_factory=dict)

    async def prepare(self) -> None:
        """Import the libraries that the checks use. An import takes a second, which must not count for a
        check."""
        modules = [_LIBRARIES[sink.kind] for sink in self.settings.sinks.values() if sink.kind in _LIBRARIES]
        if any(org.api for org in self.settings.orgs.values()):
            modules.append("okta.request_executor")
        for module in modules:
            await asyncio.to_thread(import_module, module)

    def org(self, name: str) -> OrgSettings:
        """Return the settings of the org `name`."""
        return self.settings.orgs[name]

    def okta(self, name: str) -> "OktaClient":
        """Return an API client of the org `name`, which must have an `api`. It does not retry calls."""
        from forwarder.okta.api.client import OktaClient, RetryPolicy  # noqa: PLC0415  # only where it is used

        if name not in self._clients:
            org = self.org(name)
            assert org.url is not None
            assert org.api is not None
            retry = RetryPolicy(attempts=1, timeout=self.timeout)
            self._clients[name] = OktaClient(org.url, org.api, 1.0, self.clock, retry=retry)
        return self._clients[name]

    async def close(self) -> None:
        """Close the API clients."""
        for client in self._clients.values():
            await client.close()
