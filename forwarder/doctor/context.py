"""The data that the checks of one run share: the settings, the API clients, and results of earlier checks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from forwarder.core.ports import Clock
from forwarder.okta.hooks.hook import Hook
from forwarder.settings import OrgSettings, Settings
from forwarder.store.ledger import Ledger

if TYPE_CHECKING:
    from forwarder.okta.api.client import OktaClient


class Sent(NamedTuple):
    """A test event that `doctor --send` has posted. `at` is the time of the post on the monotonic clock, in seconds."""

    uuid: str
    at: float


_LIBRARIES = {"elasticsearch": "elasticsearch", "otlp": "forwarder.sinks.otlp.exporter"}


@dataclass
class Context:
    """The data that the checks of one run of `doctor` share.

    Attributes:
        timeout: the number of seconds that each check may take.
        status: the status of the running forwarder; None if no check has read it yet.
        is_running: whether a forwarder runs on the store. The check `forwarder.running` sets it.
        ledger: the ledger of the store; None if no check has read it yet.
        hooks: the event hooks of each org, by name of the org. The check `okta.hooks` reads them.
        sent: the test event of each org, by name of the org. The check `hook.event` sends it.
        clock_ahead: the number of seconds by which this machine's clock is ahead of Okta's clock, by name of the org;
            negative if this clock is behind.
    """

    settings: Settings
    clock: Clock
    timeout: float
    status: Mapping[str, Any] | None = None
    is_running: bool = False
    ledger: Ledger | None = None
    hooks: dict[str, list[Hook]] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    clock_ahead: dict[str, float] = field(default_factory=dict)
    _clients: "dict[str, OktaClient]" = field(default_factory=dict)

    async def prepare(self) -> None:
        """Import the libraries that the checks use, before the checks start.

        An import can take a second. Otherwise this second would count against the time limit of one check.
        """
        modules = [_LIBRARIES[sink.kind] for sink in self.settings.sinks.values() if sink.kind in _LIBRARIES]
        if any(org.api for org in self.settings.orgs.values()):
            modules.append("okta.request_executor")
        for module in modules:
            await asyncio.to_thread(import_module, module)

    def org(self, name: str) -> OrgSettings:
        """Return the settings of the org `name`."""
        return self.settings.orgs[name]

    def okta(self, name: str) -> "OktaClient":
        """Return a client for the API of the org `name`. The client does not retry calls.

        The settings of the org must have `url` and `api`.
        """
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
