"""Events about the org's own hooks, in its System Log. Hooks do not carry them: a hook cannot report its own failure.

Okta documents when it writes each of them, but not their contents; the fields here are the obvious ones.
"""

from collections.abc import Callable
from typing import Any

from forwarder.core.ports import Clock
from forwarder.emulator.events.generator import GeneratedEvent, Generator
from forwarder.emulator.hooks.hooks import Hook


class HookReports:
    """Writes events about hooks.

    Args:
        generator: one of its own, so that a report changes no other event.
        write: appends an event to the System Log.
    """

    def __init__(self, generator: Generator, clock: Clock, write: Callable[[GeneratedEvent], None]) -> None:
        self._generator = generator
        self._clock = clock
        self._write = write

    def changed(self, hook: Hook, change: str) -> None:
        """Report what an admin did: created, updated, activated, deactivated or deleted."""
        self._report(f"event_hook.{change}", hook)

    def verified(self, hook: Hook, failure: str | None) -> None:
        """Report a verification; `failure` is the reason if it failed."""
        self._report("event_hook.verified", hook, failure)

    def undelivered(self, hook: Hook, failure: str) -> None:
        """Report a POST that Okta gave up."""
        self._report("event_hook.delivery", hook, failure)

    def _report(self, event_type: str, hook: Hook, failure: str | None = None) -> None:
        target = {
            "id": hook.id,
            "type": "EventHook",
            "alternateId": "unknown",
            "displayName": hook.spec.name,
            "detailEntry": None,
        }
        debug: dict[str, str] = {}
        fields: dict[str, Any] = {"outcome": {"result": "SUCCESS", "reason": None}, "severity": "INFO"}
        if failure is not None:
            fields = {"outcome": {"result": "FAILURE", "reason": failure[:255]}, "severity": "WARN"}
            debug["errorMessage"] = failure
        now = self._clock.now()
        self._write(self._generator.report(event_type, now, target=[target], debug=debug, **fields))
