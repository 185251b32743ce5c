"""Event hooks and their life, by Okta's rules. Where Okta documents nothing, the comment says what was chosen."""

from collections.abc import Callable
from random import Random
from typing import Any, Literal

from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.emulator.events.fixtures import okta_id
from forwarder.emulator.events.payloads import timestamp
from forwarder.emulator.hooks.spec import Spec, read_spec
from forwarder.emulator.http.errors import forbidden, invalid, not_found

_MAX_LIVE = 25
_SECOND = 1_000_000

Change = Literal["created", "updated", "activated", "deactivated", "deleted"]
"""What an admin does with a hook."""

Items = frozenset[str]
"""Event types."""


class Hook:
    """One event hook.

    Attributes:
        id: Okta's id.
        spec: what it shall be.
        active: `status` is ACTIVE.
        verified: `verificationStatus` is VERIFIED.
    """

    def __init__(self, hook_id: str, spec: Spec, created_by: str, now: Micros) -> None:
        self.id = hook_id
        self.spec = spec
        self.active = True
        self.verified = False
        self.updated = now
        self._created = now
        self._created_by = created_by
        self._before: Items = frozenset()
        self._in_force_from = now

    @property
    def live(self) -> bool:
        """Only then does Okta send it events."""
        return self.active and self.verified

    def wanted(self, now: Micros) -> Items:
        """Types of the events that go to it now."""
        if now < self._in_force_from:
            return self._before
        return self.spec.events.items if self.live else frozenset()

    def change(self, now: Micros, in_force_from: Micros, **changes: Any) -> None:
        """Set attributes.

        Args:
            now: the time.
            in_force_from: until then events go to it as before: Okta takes up to minutes to hear of a change.
            changes: attributes with their new values.
        """
        self._before = self.wanted(now)
        self._in_force_from = in_force_from
        for name, value in changes.items():
            setattr(self, name, value)
        self.updated = now

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that the operator configured, byte for byte: the secret's own, and all others."""
        config = self.spec.channel.config
        pairs = [(header.key, header.value) for header in config.headers or ()]
        if config.auth_scheme and config.auth_scheme.value:
            pairs.append((config.auth_scheme.key, config.auth_scheme.value))
        return [(key.encode(), value.encode()) for key, value in pairs]

    def view(self, org_url: str, *, updated: Micros | None = None) -> dict[str, Any]:
        """What the API shows of it; `updated` in place of when it was really updated."""
        config = self.spec.channel.config
        auth = config.auth_scheme
        return {
            "id": self.id,
            "status": "ACTIVE" if self.active else "INACTIVE",
            "verificationStatus": "VERIFIED" if self.verified else "UNVERIFIED",
            "name": self.spec.name,
            "description": self.spec.description,
            "created": _whole_second(self._created),
            "createdBy": self._created_by,
            "lastUpdated": _whole_second(self.updated if updated is None else updated),
            "events": {
                "type": "EVENT_TYPE",
                # Okta does not keep the order; sorted from the back, the types never come as they were sent.
                "items": sorted(self.spec.events.items, key=lambda name: name[::-1]),
                "filter": self.spec.events.filter,
            },
            "channel": {
                "type": "HTTP",
                "version": "1.0.0",
                "config": {
                    "uri": config.uri,
                    "headers": config.headers or (),
                    "method": "POST",
                    "authScheme": {"type": "HEADER", "key": auth.key} if auth else None,
                },
            },
            "_links": self._links(f"{org_url}/api/v1/eventHooks/{self.id}"),
        }

    def _links(self, url: str) -> dict[str, Any]:
        def step(verb: str) -> dict[str, Any]:
            return {"href": f"{url}/lifecycle/{verb}", "hints": {"allow": ["POST"]}}

        if self.active:
            return {"self": {"href": url}, "verify": step("verify"), "deactivate": step("deactivate")}
        delete = {"href": url, "hints": {"allow": ["DELETE"]}}
        return {"activate": step("activate"), "self": {"href": url}, "delete": delete}


class Hooks:
    """All event hooks of one org.

    Args:
        clock: what time it is.
        random: draws ids.
        changed: told of every change.
        propagation: seconds from a change until events go by it.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        changed: Callable[[Hook, Change], None],
        *,
        propagation: float = 0.0,
    ) -> None:
        self._clock = clock
        self._random = random
        self._changed = changed
        self._propagation = round(propagation * _SECOND)
        self._created_by = okta_id("00u", random)
        self._hooks: dict[str, Hook] = {}

    def all(self) -> list[Hook]:
        """Every hook, in the order of creation."""
        return list(self._hooks.values())

    def get(self, hook_id: str) -> Hook:
        """One hook.

        Raises:
            OktaApiError: there is none.
        """
        if hook_id not in self._hooks:
            raise not_found(f"Resource not found: {hook_id} (EventHook)")
        return self._hooks[hook_id]

    def create(self, body: bytes) -> Hook:
        """A new hook, ACTIVE and UNVERIFIED. Nothing is sent to its address yet.

        Raises:
            OktaApiError: `body` describes no hook that Okta takes.
        """
        spec = read_spec(body, self._names())
        hook = Hook(okta_id("who", self._random), spec, self._created_by, self._clock.now())
        self._hooks[hook.id] = hook
        self._changed(hook, "created")
        return hook

    def replace(self, hook_id: str, body: bytes) -> Hook:
        """Replace all of a hook. Another channel drops it to UNVERIFIED while it stays ACTIVE.

        The secret is part of the channel and cannot be read back: a caller that leaves it out takes it away (what Okta
        does then is not documented; a full replacement is the plain reading). `status` in the body is honoured.

        Raises:
            OktaApiError: there is no such hook, or `body` describes none that Okta takes.
        """
        hook = self.get(hook_id)
        spec = read_spec(body, self._names(but=hook))
        active = spec.status == "ACTIVE" if spec.status else hook.active
        verified = hook.verified and spec.channel == hook.spec.channel
        self._make_room(hook, active=active, verified=verified)
        self._change(hook, spec=spec, active=active, verified=verified)
        self._changed(hook, "updated")
        return hook

    def activate(self, hook_id: str) -> Hook:
        """Make it ACTIVE; whether it is verified does not change.

        Raises:
            OktaApiError: there is no such hook, or too many are live.
        """
        hook = self.get(hook_id)
        self._make_room(hook, active=True, verified=hook.verified)
        self._change(hook, active=True)
        self._changed(hook, "activated")
        return hook

    def deactivate(self, hook_id: str) -> Hook:
        """Make it INACTIVE; whether it is verified does not change.

        Raises:
            OktaApiError: there is no such hook.
        """
        hook = self.get(hook_id)
        self._change(hook, active=False)
        self._changed(hook, "deactivated")
        return hook

    def set_verified(self, hook: Hook) -> Hook:
        """Its address has answered the challenge.

        Raises:
            OktaApiError: too many are live.
        """
        self._make_room(hook, active=hook.active, verified=True)
        self._change(hook, verified=True)
        return hook

    def delete(self, hook_id: str) -> None:
        """Forget it for good.

        Raises:
            OktaApiError: there is no such hook, or it is ACTIVE (the only fitting status that Okta lists is 403).
        """
        hook = self.get(hook_id)
        if hook.active:
            raise forbidden("The event hook must be deactivated before it is deleted")
        del self._hooks[hook_id]
        self._changed(hook, "deleted")

    def _change(self, hook: Hook, **changes: Any) -> None:
        now = self._clock.now()
        hook.change(now, now + self._propagation, **changes)

    def _make_room(self, hook: Hook, *, active: bool, verified: bool) -> None:
        others = sum(other.live for other in self._hooks.values() if other is not hook)
        if active and verified and others >= _MAX_LIVE:
            raise invalid("eventHook", f"No more than {_MAX_LIVE} event hooks can be active and verified")

    def _names(self, *, but: Hook | None = None) -> set[str]:
        return {hook.spec.name for hook in self._hooks.values() if hook is not but}


def _whole_second(at: Micros) -> str:
    return timestamp(at - at % _SECOND)
