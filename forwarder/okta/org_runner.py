"""Runs the tasks that use the API of one org: watch the hook, poll the System Log, and run backfills."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from forwarder import logs
from forwarder.core.errors import OktaError
from forwarder.core.ports import Clock
from forwarder.okta.api.port import Api
from forwarder.okta.hooks.hook_warnings import HookWarnings
from forwarder.okta.hooks.watch import HookState, HookWatch
from forwarder.okta.system_log.backfill import Backfill, BackfillProgress, BackfillRequest, Report
from forwarder.okta.system_log.reconcile import Reconciler, ReconcileState
from forwarder.tasks import end_tasks

_RETRY_PAUSE = 10.0  # seconds after an unexpected exception
_ENDED = "the forwarder was stopped, or a reload changed this org; run the same command again to resume the backfill"

_logger = logs.get("okta")


class OktaOrgState(msgspec.Struct, frozen=True):
    """The state of one org. `hook` is None if the org has no hook."""

    log: ReconcileState
    hook_warnings: HookWarnings
    hook: HookState | None


class OktaOrgRunner:
    """Watches the hook of one org, polls the System Log of the org, and runs backfills.

    `watch` is None if the org has no hook. When `run` ends, it closes `api`.
    """

    def __init__(
        self, org: str, api: Api, watch: HookWatch | None, reconciler: Reconciler, backfills: Backfill, clock: Clock
    ) -> None:
        self._org = org
        self.api = api
        self._watch = watch
        self._reconciler = reconciler
        self._backfills = backfills
        self._clock = clock
        self._backfill: asyncio.Task[BackfillProgress] | None = None
        self._stopped = False

    async def run(self) -> None:
        """Watch the hook and poll the System Log until cancelled.

        If one of the two tasks raises an exception, that task starts again after a pause. The other task goes on
        meanwhile.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                if self._watch is not None:
                    # The reconciler must know the id of our hook before it reads the first page.
                    await self._attempt(self._watch.check)
                    tasks.create_task(self._keep_running(self._watch.run))
                tasks.create_task(self._keep_running(self._reconciler.run))
        finally:
            self._stopped = True
            if self._backfill is not None:
                await end_tasks([self._backfill])
            await self.api.close()

    async def _keep_running(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(work)
            await self._clock.sleep(_RETRY_PAUSE)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:  # must not stop the other tasks of this org, or other orgs
            _logger.exception(
                "the check of the hook or the polling of the System Log failed, and starts again. This is a bug: please report it",
                action="okta_runner_failed",
                org=self._org,
            )

    async def backfill(self, request: BackfillRequest, report: Report) -> BackfillProgress:
        """Run a backfill, and report its progress to `report`. Cancelling this call cancels the backfill.

        Raises:
            OktaError: Okta did not answer or refused a request, another backfill of this org is running, or `run` has
                ended.
            StoreError: the store cannot be read or written.
        """
        if self._stopped:
            raise OktaError(_ENDED)
        if self._backfill is not None:
            raise OktaError(f"a backfill of {self._org} is already running; wait until it ends, or stop it")
        self._backfill = asyncio.create_task(self._backfills.run(request, report))
        try:
            return await self._backfill
        except asyncio.CancelledError:
            if self._stopped:
                raise OktaError(_ENDED) from None
            raise
        finally:
            self._backfill = None

    async def check_hook(self) -> None:
        """Check the hook now, without waiting for the interval. Do nothing if the org has no hook."""
        if self._watch is not None:
            await self._watch.check()

    @property
    def state(self) -> OktaOrgState:
        """The current state of the polling and of the hook, and the warnings about hooks, for the status."""
        hook = self._watch.state if self._watch else None
        return OktaOrgState(self._reconciler.state, self._reconciler.hook_warnings, hook)
