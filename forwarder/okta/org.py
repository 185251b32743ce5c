"""What goes on over one org's API while the forwarder runs: the watch of its hook, the reading of its System Log."""

import asyncio
from typing import Any

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.okta.api.port import Api
from forwarder.okta.hooks.watch import HookWatch
from forwarder.okta.system_log.reconcile import Reconciler

_AGAIN = 10.0  # seconds after something that nobody thought of
_SECOND = 1_000_000

_logger = logs.get("okta")


class OktaOrgRunner:
    """Belongs to one org.

    Args:
        org: its name in the configuration.
        api: of the org; closed when `run` ends.
        watch: of its hook; None where it has none.
        reconciler: of its System Log.
        clock: for pauses, and for ages.
    """

    def __init__(
        self, org: str, api: Api, watch: HookWatch | None, reconciler: Reconciler, clock: Clock
    ) -> None:
        self._org = org
        self._api = api
        self._watch = watch
        self._reconciler = reconciler
        self._clock = clock

    async def run(self) -> None:
        """Watch and read until cancelled. Nothing ends it before: whatever fails is tried again."""
        try:
            while True:
                try:
                    await self._go_on()
                except Exception:  # the other orgs, and this one's hook, must not suffer
                    _logger.exception(
                        "the Okta side of an org failed", action="okta_runner_failed", org=self._org
                    )
                await self._clock.sleep(_AGAIN)
        finally:
            await self._api.close()

    async def _go_on(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self._watch is not None:
                # The reader is to know from its first page on which hook is ours.
                await self._watch.look()
                tasks.create_task(self._watch.run())
            tasks.create_task(self._reconciler.run())

    def state(self) -> dict[str, Any]:
        """How it goes, as JSON can hold it. Times are seconds."""
        now = self._clock.now()
        log, notices = self._reconciler.state, self._reconciler.notices
        found: dict[str, Any] = {
            "log": {
                "last_poll_seconds_ago": _ago(log.last_poll, now),
                "complete_up_to_seconds_ago": _ago(log.complete, now),
                "missed": log.missed,
                "restarts": log.restarts,
                "error": log.error,
            },
            "hook_failures": notices.failures,
            "hook_quota": notices.quota,
            "hook": None,
        }
        if self._watch is not None:
            hook = self._watch.state
            found["hook"] = {
                "id": hook.hook_id,
                "condition": hook.condition.value,
                "since_seconds_ago": _ago(hook.since, now),
                "error": hook.error,
            }
        return found


def _ago(at: Micros | None, now: Micros) -> float | None:
    return None if at is None else max(0.0, (now - at) / _SECOND)
