"""What the org says about its own event hooks in its System Log. No hook carries these: a hook cannot tell of its own failure.

Okta documents when each of them is written, and not what stands in it; the fields are the plain ones.
"""

from collections.abc import Callable
from typing import Any, Literal

from forwarder.core.ports import Clock
from forwarder.emulator.events.generator import GeneratedEvent, Generator
from forwarder.emulator.hooks.hooks import Change, Hook


class Reports:
    """Writes them.

    Args:
        generator: makes the events; its chance is its own, so that a failed POST changes nothing of what happens else.
        clock: what time it is.
        write: puts an event into the System Log.
    """

    def __init__(self, generator: Generator, clock: Clock, write: Callable[[GeneratedEvent], None]) -> None:
        self._generator = generator
        self._clock = clock
        self._write = write

    def changed(self, hook: Hook, change: Change) -> None:
        """An admin has changed a hook."""
        self._tell(f"event_hook.{change}", hook)

    def verified(self, hook: Hook, failure: str | None) -> None:
        """An admin has had a hook verified; `failure` says why that failed."""
        self._tell("event_hook.verified", hook, failure)

    def undelivered(self, hook: Hook, failure: str) -> None:
        """A POST was given up."""
        self._tell("event_hook.delivery", hook, failure)

    def quota(self, step: Literal["warning", "violation"], threshold: int) -> None:
        """The day's events for hooks are mostly spent, or all of them. (That Okta tells it by these types is inferred.)"""
        debug = {
            "operationRateLimitType": "event_hook_delivery",
            "operationRateLimitScopeType": "ORG",
            "operationRateLimitThreshold": str(threshold),
        }
        event_type = f"system.operation.rate_limit.{step}"
        self._write(self._generator.report(event_type, self._clock.now(), severity="WARN", debug=debug))

    def _tell(self, event_type: str, hook: Hook, failure: str | None = None) -> None:
        target = {
            "id": hook.id,
            "type": "EventHook",
            "alternateId": "unknown",
            "displayName": hook.spec.name,
            "detailEntry": None,
        }
        debug: dict[str, str] = {}
        said: dict[str, Any] = {"outcome": {"result": "SUCCESS", "reason": None}, "severity": "INFO"}
        if failure is not None:
            said = {"outcome": {"result": "FAILURE", "reason": failure[:255]}, "severity": "WARN"}
            debug["errorMessage"] = failure
        event = self._generator.report(event_type, self._clock.now(), target=[target], debug=debug, **said)
        self._write(event)
