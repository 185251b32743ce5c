"""Watches whether Okta still sends events to our hook.

Okta un-verifies a hook without a word when its channel changes, and whoever may edit hooks can deactivate one. It sends
nothing then, and nothing tells but the hook itself.
"""

from enum import StrEnum

import msgspec

from forwarder import logs
from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.okta.api.port import Api
from forwarder.okta.hooks.admin import HookAdmin
from forwarder.okta.hooks.hook import Hook, find
from forwarder.okta.settings import HookSettings

MAX_HEAL_WAIT = 3600.0
"""Seconds between two verifications by ourselves at most; each is an entry in the org's System Log."""

_logger = logs.get("okta")


class Condition(StrEnum):
    """How it is with our hook."""

    LIVE = "live"
    """ACTIVE and VERIFIED: Okta sends it events."""
    UNVERIFIED = "unverified"
    INACTIVE = "inactive"
    ABSENT = "absent"
    """The org has no such hook."""
    UNKNOWN = "unknown"
    """Okta did not say; nothing is known yet."""


_WORDS = {
    Condition.LIVE: "Okta holds the hook for active and verified",
    Condition.UNVERIFIED: "Okta sends nothing to the hook, because it is not verified: run `forwarder hooks verify`",
    Condition.INACTIVE: "Okta sends nothing to the hook, because somebody deactivated it: "
    "run `forwarder hooks sync` if that was not meant",
    Condition.ABSENT: "the org has no such hook: run `forwarder hooks sync`, which makes it",
}


class HookState(msgspec.Struct, frozen=True):
    """What is known of our hook.

    Attributes:
        condition: how it is.
        since: from when on we know it so.
        hook_id: Okta's id of it, once it was found.
        status: ACTIVE or INACTIVE, as Okta said last.
        verification: VERIFIED or UNVERIFIED, as Okta said last.
        error: why Okta did not answer the last look; None if it did. All else is from the last answer then.
    """

    condition: Condition
    since: Micros
    hook_id: str | None = None
    status: str | None = None
    verification: str | None = None
    error: str | None = None


class HookWatch:
    """Looks at one org's hook again and again.

    Args:
        org: its name in the configuration.
        api: of the org.
        settings: the hook to watch.
        metrics: has the gauge.
        clock: tells when to look.

    Attributes:
        state: what is known.
    """

    def __init__(self, org: str, api: Api, settings: HookSettings, metrics: Metrics, clock: Clock) -> None:
        self._org = org
        self._hooks = HookAdmin(api)
        self._settings = settings
        self._gauge = metrics.hook_verified
        self._clock = clock
        self._trouble: object = None
        self._heals = 0
        self._heal_at = 0.0
        self.state = HookState(Condition.UNKNOWN, clock.now())

    def hook_id(self) -> str | None:
        """The id of our hook, as `targetEventHookIds` names it; None while it is not known."""
        return self.state.hook_id

    async def run(self) -> None:
        """Look now, and then every `watch`, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._settings.watch)

    async def look(self) -> None:
        """Ask Okta once, and tell what has changed. Where Okta does not answer, what is known stays."""
        try:
            hook = await self._find()
            if hook is not None and self._shall_heal(hook):
                hook = await self._heal(hook)
        except OktaError as error:
            self._not_answered(error)
            return
        self._answered(hook)

    async def _find(self) -> Hook | None:
        """Our hook: the one that it was, under whatever name, else the one of our name, else the only one that posts to
        our address."""
        if self.state.hook_id is not None:
            try:
                return await self._hooks.get(self.state.hook_id)
            except OktaRefusedError as error:
                if error.status != 404:
                    raise
        hooks = await self._hooks.all()
        found = find(hooks, self._settings.name) or [hook for hook in hooks if hook.uri == self._settings.uri]
        return found[0] if len(found) == 1 else None

    def _shall_heal(self, hook: Hook) -> bool:
        """Only what nobody can have meant is healed: a hook is deactivated on purpose."""
        if hook.verified:
            self._heals = 0
            return False
        return self._settings.heal and hook.active and self._clock.monotonic() >= self._heal_at

    async def _heal(self, hook: Hook) -> Hook:
        """The hook after one more verification, rarer each time that it fails."""
        wait = min(MAX_HEAL_WAIT, self._settings.watch * 2.0 ** min(self._heals, 32))
        self._heals, self._heal_at = self._heals + 1, self._clock.monotonic() + wait
        try:
            hook = await self._hooks.verify(hook)
        except OktaError as error:
            _logger.warning(
                "the hook could not be verified again",
                action="hook_reverify_failed",
                org=self._org,
                error=str(error),
            )
        else:
            _logger.info("the hook is verified again", action="hook_healed", org=self._org, hook=hook.id)
        return hook

    def _not_answered(self, error: OktaError) -> None:
        self.state = msgspec.structs.replace(self.state, error=str(error))
        trouble = (type(error), getattr(error, "status", None))
        if trouble != self._trouble:
            self._trouble = trouble
            _logger.warning(
                "cannot see whether Okta still sends to the hook",
                action="hook_unknown",
                org=self._org,
                error=str(error),
            )

    def _answered(self, hook: Hook | None) -> None:
        condition = _condition(hook)
        before = self.state
        changed = condition is not before.condition
        self.state = HookState(
            condition=condition,
            since=self._clock.now() if changed else before.since,
            hook_id=hook.id if hook else None,
            status=hook.status if hook else None,
            verification=hook.verification if hook else None,
        )
        self._gauge.labels(self._org).set(1 if condition is Condition.LIVE else 0)
        if changed or self._trouble is not None:
            self._trouble = None
            self._tell(condition)

    def _tell(self, condition: Condition) -> None:
        log = _logger.info if condition is Condition.LIVE else _logger.warning
        log(
            _WORDS[condition],
            action=f"hook_{condition}",
            org=self._org,
            hook=self.state.hook_id or self._settings.name,
        )


def _condition(hook: Hook | None) -> Condition:
    if hook is None:
        return Condition.ABSENT
    if not hook.active:
        return Condition.INACTIVE
    return Condition.LIVE if hook.verified else Condition.UNVERIFIED
