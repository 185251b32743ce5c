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
    """A marked event: its uuid, and when it was sent, by the monotonic clock."""

    uuid: str
    at: float


_LIBRARIES = {"elasticsearch": "elasticsearch", "otlp": "forwarder.sinks.otlp.exporter"}


@dataclass
class Context:
    """One run of `doctor`.

    Attributes:
        settings: the configuration, valid.
        clock: the time.
        timeout: seconds that each check may take.
        status: what the running forwarder says of itself; None if none runs, or it cannot be asked.
        runs: whether a forwarder runs on the store.
        ledger: where every event is.
        hooks: the event hooks of each org.
        sent: the marked event of each org.
        ahead: by how many seconds this machine's clock is ahead of Okta's, by org.
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
        """Import the libraries of what is configured, which takes a second each: not in the time of a check."""
        modules = [_LIBRARIES[sink.kind] for sink in self.settings.sinks.values() if sink.kind in _LIBRARIES]
        if any(org.api for org in self.settings.orgs.values()):
            modules.append("okta.request_executor")
        for module in modules:
            await asyncio.to_thread(import_module, module)

    def org(self, name: str) -> OrgSettings:
        """Return the settings of an org."""
        return self.settings.orgs[name]

    def okta(self, name: str) -> "OktaClient":
        """Return the client of an org that has an `api`; it tries each call once."""
        from forwarder.okta.api.client import OktaClient, RetryPolicy  # noqa: PLC0415  # only where it is used

        if name not in self._clients:
            org = self.org(name)
            assert org.url is not None
            assert org.api is not None
            retry = RetryPolicy(attempts=1, timeout=self.timeout)
            self._clients[name] = OktaClient(org.url, org.api, 1.0, self.clock, retry=retry)
        return self._clients[name]

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            await client.close()
