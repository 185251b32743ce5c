"""Event hooks and their life cycle, by Okta's rules. Comments name the rules that Okta does not document."""

from collections.abc import Callable
from random import Random
from typing import Any

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros, iso
from forwarder.emulator.events.fixtures import okta_id
from forwarder.emulator.hooks.hook_body import HookSpec, read_spec
from forwarder.emulator.http.errors import forbidden, invalid
from forwarder.emulator.object_collection import Objects

_MAX_LIVE = 25


class EmulatedHook:
    """One event hook."""

    def __init__(self, hook_id: str, spec: HookSpec, created_by: str, now: Micros) -> None:
        self.id = hook_id
        self.spec = spec
        self.active = True
        self.verified = False
        self.updated = now
        self._created = now
        self._created_by = created_by

    @property
    def live(self) -> bool:
        """Whether Okta sends events to this hook: it is ACTIVE and VERIFIED."""
        return self.active and self.verified

    @property
    def types(self) -> frozenset[str]:
        """The types of the events that Okta sends to this hook."""
        return self.spec.events.items if self.live else frozenset()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return all headers that the hook's owner configured, unchanged, including the header with the
        secret."""
        config = self.spec.channel.config
        pairs = [(header.key, header.value) for header in config.headers or ()]
        if config.auth_scheme and config.auth_scheme.value:
            pairs.append((config.auth_scheme.key, config.auth_scheme.value))
        return [(key.encode(), value.encode()) for key, value in pairs]

    def view(self, org_url: str, *, updated: Micros | None = None) -> dict[str, Any]:
        """Return the hook as the API shows it; `updated` replaces the real time of `lastUpdated`."""
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
                # Okta does not keep the order of the types. This order usually differs from the caller's.
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


class Hooks(Objects[EmulatedHook]):
    """All event hooks of one org. Methods raise OktaApiError where Okta would refuse the call.

    `on_change` is called with the change (created, updated, activated, deactivated or deleted) and the hook.
    """

    kind = "EventHook"

    def __init__(self, clock: Clock, random: Random, on_change: Callable[[str, EmulatedHook], None]) -> None:
        super().__init__()
        self._clock = clock
        self._random = random
        self._on_change = on_change
        self.created_by = okta_id("00u", random)

    def create(self, body: bytes) -> EmulatedHook:
        """Create a hook, ACTIVE and UNVERIFIED. Nothing is sent to its address yet."""
        spec = read_spec(body, self._names())
        hook = EmulatedHook(okta_id("who", self._random), spec, self.created_by, self._clock.now())
        self._by_id[hook.id] = hook
        self._on_change("created", hook)
        return hook

    def replace(self, hook_id: str, body: bytes) -> EmulatedHook:
        """Replace all settings of a hook. If the hook's channel (URL, headers and secret) changes, the hook becomes
        UNVERIFIED.

        A body without the secret removes the secret from the hook. (Okta does not document this removal. It follows,
        because a PUT replaces the whole hook, and no call of the API returns the secret.) The status of the hook
        changes only if the body has a `status`.
        """
        hook = self.find(hook_id)
        spec = read_spec(body, self._names(but=hook))
        active = spec.status == "ACTIVE" if spec.status else hook.active
        same = spec.channel.config.comparable() == hook.spec.channel.config.comparable()
        return self._update(hook, "updated", spec=spec, active=active, verified=hook.verified and same)

    def activate(self, hook_id: str) -> EmulatedHook:
        """Make a hook ACTIVE; its verification does not change."""
        hook = self.find(hook_id)
        return self._update(hook, "activated", active=True, verified=hook.verified)

    def deactivate(self, hook_id: str) -> EmulatedHook:
        """Make a hook INACTIVE; its verification does not change."""
        hook = self.find(hook_id)
        return self._update(hook, "deactivated", active=False, verified=hook.verified)

    def set_verified(self, hook: EmulatedHook) -> EmulatedHook:
        """Make a hook VERIFIED, because its receiver echoed the challenge."""
        return self._update(hook, None, active=hook.active, verified=True)

    def delete(self, hook_id: str) -> None:
        """Delete a hook."""
        hook = self.find(hook_id)
        if hook.active:  # 403 is the only suitable status that Okta lists
            raise forbidden("The event hook must be deactivated before it is deleted")
        del self._by_id[hook_id]
        self._on_change("deleted", hook)

    def _update(
        self, hook: EmulatedHook, change: str | None, *, active: bool, verified: bool, spec: HookSpec | None = None
    ) -> EmulatedHook:
        others = sum(other.live for other in self._by_id.values() if other is not hook)
        if active and verified and others >= _MAX_LIVE:
            raise invalid("eventHook", f"No more than {_MAX_LIVE} event hooks can be active and verified")
        hook.spec, hook.active, hook.verified = spec or hook.spec, active, verified
        hook.updated = self._clock.now()
        if change:
            self._on_change(change, hook)
        return hook

    def _names(self, *, but: EmulatedHook | None = None) -> set[str]:
        return {hook.spec.name for hook in self._by_id.values() if hook is not but}


def _whole_second(at: Micros) -> str:
    return iso(at - at % SECOND, "milliseconds")
