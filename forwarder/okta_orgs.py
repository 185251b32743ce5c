"""Builds a runner for each org that has the section `api`, replaces the runners at a reload, and stops them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from forwarder.control_socket.messages import Report
from forwarder.core.errors import OktaError
from forwarder.core.event import OKTA_SOURCES
from forwarder.core.ports import Clock, EventStore
from forwarder.metrics import Metrics
from forwarder.okta.api.client import OktaClient
from forwarder.okta.api.metrics import ApiMetrics
from forwarder.okta.hooks.watch import CheckHookRequest, HookWatch
from forwarder.okta.org_runner import OktaOrgRunner
from forwarder.okta.system_log.backfill import Backfill, BackfillProgress, BackfillRequest
from forwarder.okta.system_log.pages import PATH, SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from forwarder.settings import Settings
from forwarder.tasks import end_tasks

BuiltOrgs = Mapping[str, OktaOrgRunner | None]
"""The new runner of each org that a reload adds, changes or removes; None if the org no longer has a runner."""


class OktaOrgs:
    """The runners of the orgs that have the section `api`. `runners` has the running runners, by the name of the
    org."""

    def __init__(
        self, store: EventStore, metrics: Metrics, clock: Clock, backlog: Callable[[], Awaitable[str | None]]
    ) -> None:
        """Create the object without runners.

        `store` gets the events of the System Log. `backlog` returns why a backfill must wait, or None if it may go on.
        """
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._backlog = backlog
        self.runners: dict[str, OktaOrgRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._built_from: dict[str, object] = {}

    def build(self, settings: Settings) -> BuiltOrgs:
        """Build a runner for each org whose settings have changed since its runner was built. Return the new runners by
        org.

        Raises:
            ForwarderError: credentials or a URL cannot be used.
        """
        changed = [
            name
            for name in settings.orgs.keys() | self._built_from.keys()
            if _inputs(settings, name) != self._built_from.get(name)
        ]
        return {name: self._build(name, settings) for name in sorted(changed)}

    async def apply(self, settings: Settings, built: BuiltOrgs) -> None:
        """Replace the running runners with the runners in `built`, which `build` made from `settings`."""
        ending = [self._tasks.pop(name) for name in built if name in self._tasks]
        # All runners are replaced before the first await: reactions must not find an org without its client.
        for name, runner in built.items():
            self.runners.pop(name, None)
            if runner is not None:
                self.runners[name] = runner
        await end_tasks(ending)
        for name, runner in built.items():
            self._metrics.forget(org=name)
            self._built_from.pop(name, None)
            if name in settings.orgs:
                self._built_from[name] = _inputs(settings, name)
            if runner is not None:
                self._tasks[name] = asyncio.create_task(runner.run(), name=f"okta {name}")
        for name, org in settings.orgs.items():
            for source in OKTA_SOURCES:
                enabled = 1 if source in org.sources else 0
                self._metrics.org_source_enabled.labels(name, source.value).set(enabled)

    def client(self, org: str) -> OktaClient | None:
        """Return the client of the API of `org`; None if the org has no section `api`, or is no longer configured."""
        runner = self.runners.get(org)
        return runner.api if runner and isinstance(runner.api, OktaClient) else None

    async def stop(self) -> None:
        """End every runner."""
        self.runners.clear()
        tasks = list(self._tasks.values())
        self._tasks.clear()
        await end_tasks(tasks)

    async def backfill(self, request: BackfillRequest, report: Report) -> BackfillProgress:
        """Run a backfill in the runner of the org that `request` names, and return its final progress.

        Raises:
            OktaError: Okta did not answer or refused a request, another backfill of the org is running, or the org has
                no runner.
            StoreError: the store cannot be read or written.
        """
        runner = self.runners.get(request.org)
        if runner is None:
            raise OktaError(
                f"the running forwarder does not read the System Log of {request.org}; if its configuration "
                "has changed, reload or restart it"
            )
        return await runner.backfill(request, report)

    async def check_hook(self, request: CheckHookRequest, _report: Report) -> bool:
        """Let the runner of the org check the org's hook in Okta. Return whether the org has a runner."""
        if runner := self.runners.get(request.org):
            await runner.check_hook()
        return runner is not None

    def _build(self, name: str, settings: Settings) -> OktaOrgRunner | None:
        """Return a new runner, which polls the System Log of the org `name` and watches the org's hook; None if the org
        has no section `api`."""
        org = settings.orgs.get(name)
        if org is None or org.api is None or org.url is None:
            return None
        metrics = ApiMetrics(self._metrics, name, self._clock)
        api = OktaClient(org.url, org.api, settings.reconcile.rate_share, self._clock, metrics=metrics)
        watch = HookWatch(name, api, org.hook, self._metrics, self._clock) if org.hook else None
        log = SystemLog(name, org.url, api, self._clock)
        others = settings.orgs.keys() - {name}
        reconciler = Reconciler(
            log, self._store, settings.reconcile, watch, self._metrics, self._clock, other_orgs=others
        )
        backfills = Backfill(log, self._store, self._clock, self._metrics, self._backlog, lambda: api.allowance(PATH))
        return OktaOrgRunner(name, api, watch, reconciler, backfills, self._clock)


def _inputs(settings: Settings, name: str) -> object:
    """Return the settings from which the runner of the org `name` is built; None if there is no such org."""
    org = settings.orgs.get(name)
    return org and (org.url, org.api, org.hook, settings.reconcile)
