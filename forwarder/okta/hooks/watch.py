"""Watches whether Okta still sends events to our hook.

Okta silently un-verifies a hook when its address, header or secret changes, and anyone who may edit hooks can deactivate
it. In both cases Okta stops sending events, and only the status of the hook shows that.
"""

from enum import StrEnum
from typing import ClassVar

import msgspec

from forwarder import logs
from forwarder.control_socket.messages import ControlRequest
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.core.urls import same_url
from forwarder.metrics import Metrics
from forwarder.okta.api.port import Api
from forwarder.okta.hooks.admin import HookAdmin
from forwarder.okta.hooks.hook import Hook
from forwarder.okta.settings import HookSettings

MAX_REVERIFY_WAIT = 3600.0
"""The longest wait between two attempts to verify the hook again, in seconds. The wait grows with each attempt, because
each attempt is an event in the org's System Log."""

_logger = logs.get("okta")


class Condition(StrEnum):
    """The state of our hook."""

    LIVE = "live"
    """ACTIVE and VERIFIED, with the address `hook.uri`: Okta sends us events."""
    REDIRECTED = "redirected"
    """ACTIVE, with another address than `hook.uri`."""
    UNVERIFIED = "unverified"
    INACTIVE = "inactive"
    MISSING = "missing"
    """The org has no such hook."""
    UNKNOWN = "unknown"
    """Okta has not answered yet."""


MESSAGES = {
    Condition.LIVE: "the hook is active and verified",
    Condition.REDIRECTED: "the hook has another address than `hook.uri`, so its events do not come to this forwarder",
    Condition.UNVERIFIED: "Okta sends nothing to the hook, because it is not verified",
    Condition.INACTIVE: "Okta sends nothing to the hook, because it was deactivated",
    Condition.MISSING: "the org has no event hook with the configured name",
}
"""The text of the log line that is written when our hook enters this condition."""

HINTS = {
    Condition.REDIRECTED: (
        "`forwarder hooks show --org {org}` shows the address, `forwarder hooks sync --org {org}` changes it to `hook.uri`; "
        "if another forwarder uses this hook, give each forwarder a hook of its own (`hook.name`)"
    ),
    Condition.UNVERIFIED: "run `forwarder hooks verify --org {org}`",
    Condition.INACTIVE: "if the hook was not deactivated on purpose, run `forwarder hooks sync --org {org}`",
    Condition.MISSING: "run `forwarder hooks sync --org {org}`, which creates it",
}
"""What an operator should do while our hook is in this condition; `{org}` stands for the name of the org."""


class HookState(msgspec.Struct, frozen=True):
    """The last known state of our hook.

    Attributes:
        condition: the condition at the last successful check.
        since: when a check first found this condition.
        hook_id: Okta's id of the hook; None if the hook was not found.
        error: why the last check failed; None if it succeeded. After a failed check, all other attributes still show
            the last successful check.
    """

    condition: Condition
    since: Micros
    hook_id: str | None = None
    error: str | None = None


class CheckHookRequest(ControlRequest, frozen=True, tag="check_hook"):
    """Asks the running forwarder to check the hook of an org now, because a command has changed it."""

    returns: ClassVar[type] = bool

    org: str


class HookWatch:
    """Checks one org's hook periodically. `state` is what the last checks found."""

    def __init__(self, org: str, api: Api, settings: HookSettings, metrics: Metrics, clock: Clock) -> None:
        self._org = org
        self._hooks = HookAdmin(api)
        self._settings = settings
        self._gauge = metrics.hook_verified
        self._clock = clock
        self._failure: object = None
        self._backoff = Backoff(settings.check_interval, MAX_REVERIFY_WAIT)
        self._reverifications = 0
        self._reverify_at = 0.0
        self.state = HookState(Condition.UNKNOWN, clock.now())

    def hook_id(self) -> str | None:
        """Return the id of our hook, which events contain in `targetEventHookIds`; None if the id is not known."""
        return self.state.hook_id

    async def run(self) -> None:
        """Check now, and then every `check_interval`, until cancelled."""
        while True:
            await self.check()
            await self._clock.sleep(self._settings.check_interval)

    async def check(self) -> None:
        """Read our hook from Okta once, verify the hook again if a verification is due, and log the condition if it
        changed.

        If Okta does not answer or refuses a call, no exception is raised, and only `state.error` changes.
        """
        try:
            hook = await self._find()
            if hook is not None and self._should_reverify(hook):
                hook = await self._reverify(hook)
        except OktaError as error:
            self._check_failed(error)
            return
        self._checked(hook)

    async def _find(self) -> Hook | None:
        """Find our hook by its last known id; if no hook has this id, by name; if no hook has the name, by URI.

        If the hook with this id was renamed, and another hook has the name now, that hook is ours.

        Return None if several hooks match, or none.
        """
        known = await self._known()
        if known is not None and known.name == self._settings.name:
            return known
        hooks = await self._hooks.all()
        found = [hook for hook in hooks if hook.name == self._settings.name]
        if known is not None:
            return found[0] if len(found) == 1 else known
        found = found or [hook for hook in hooks if same_url(hook.uri, self._settings.uri)]
        return found[0] if len(found) == 1 else None

    async def _known(self) -> Hook | None:
        """Return the hook with the last known id; None if it is gone, or if no id is known."""
        if self.state.hook_id is None:
            return None
        try:
            return await self._hooks.get(self.state.hook_id)
        except OktaRefusedError as error:
            if error.status != 404:
                raise
            return None

    def _should_reverify(self, hook: Hook) -> bool:
        """Whether to verify `hook` again now. A deactivated hook is left as it is, because an admin deactivated it. A
        hook with another address is left as it is, because a verification would not bring its events here."""
        if hook.verified:
            self._reverifications = 0
            return False
        ours = hook.active and same_url(hook.uri, self._settings.uri)
        return self._settings.auto_verify and ours and self._clock.monotonic() >= self._reverify_at

    async def _reverify(self, hook: Hook) -> Hook:
        """Verify `hook` again, log the result, and return the hook. The wait before the next attempt grows with each
        attempt."""
        self._reverifications += 1
        wait = self._backoff.delay(self._reverifications)
        self._reverify_at = self._clock.monotonic() + wait
        try:
            hook = await self._hooks.verify(hook)
        except OktaError as error:
            _logger.warning(
                "Okta could not verify the hook again; the forwarder asks again later",
                action="hook_reverify_failed",
                org=self._org,
                error=str(error),
            )
        else:
            _logger.info("the hook is verified again", action="hook_reverified", org=self._org, hook=hook.id)
        return hook

    def _check_failed(self, error: OktaError) -> None:
        self.state = msgspec.structs.replace(self.state, error=str(error))
        failure = (type(error), getattr(error, "status", None))
        if failure != self._failure:
            self._failure = failure
            _logger.warning(
                "cannot check whether Okta still sends to the hook",
                action="hook_unknown",
                org=self._org,
                error=str(error),
            )

    def _checked(self, hook: Hook | None) -> None:
        condition = _condition(hook, self._settings.uri)
        before = self.state
        changed = condition is not before.condition
        since = self._clock.now() if changed else before.since
        self.state = HookState(condition, since, hook.id if hook else None)
        self._gauge.labels(self._org).set(1 if condition is Condition.LIVE else 0)
        if changed or self._failure is not None:
            self._failure = None
            fields = {"org": self._org, "hook": self.state.hook_id or self._settings.name}
            if condition in HINTS:
                hint = HINTS[condition].format(org=self._org)
                _logger.warning(MESSAGES[condition], action=f"hook_{condition}", hint=hint, **fields)
            else:
                _logger.info(MESSAGES[condition], action=f"hook_{condition}", **fields)


def _condition(hook: Hook | None, uri: str) -> Condition:
    if hook is None:
        return Condition.MISSING
    if not hook.active:
        return Condition.INACTIVE
    if not same_url(hook.uri, uri):
        return Condition.REDIRECTED
    return Condition.LIVE if hook.verified else Condition.UNVERIFIED
