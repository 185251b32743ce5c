"""An event hook: as Okta has it, as the operator wants it, and the plan of the changes between the two. Does no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

import msgspec

from forwarder.config.types import Secret
from forwarder.core.urls import same_url
from forwarder.okta.api.port import not_okta
from forwarder.okta.settings import HookSettings

MAX_LIVE = 25
"""Okta's limit for the hooks of one org that are ACTIVE and VERIFIED."""


class DesiredHook(msgspec.Struct, frozen=True):
    """The hook that the operator wants.

    Attributes:
        header: name of the header in which Okta sends `secret`.
        secret: the secret. Okta never shows a secret that it has stored.
        filters: event type → Okta expression; None keeps the filters that the hook has.
    """

    name: str
    uri: str
    types: frozenset[str]
    header: str
    secret: Secret
    filters: Mapping[str, str] | None = None


def desired_hook(settings: HookSettings, types: frozenset[str], header: str, secrets: Sequence[Secret]) -> DesiredHook:
    """Return the hook that `settings` describe, with the event types `types`, the header `header`, and the last secret
    in `secrets`. `secrets` must not be empty."""
    # The last secret is the newest one, because a rotation adds it at the end. Blanks around it are removed: the
    # receiver ignores them in the configuration, but Okta would send them.
    newest = Secret(secrets[-1].reveal().strip(" \t"))
    return DesiredHook(settings.name, settings.uri, types, header, newest, settings.filters)


class _AuthScheme(msgspec.Struct):
    key: str | None = None


class _Config(msgspec.Struct):
    uri: str
    auth_scheme: _AuthScheme | None = msgspec.field(name="authScheme", default=None)
    headers: list[dict[str, Any]] | None = None


class _Channel(msgspec.Struct):
    config: _Config


class _Filter(msgspec.Struct):
    entries: list[dict[str, Any]] | None = msgspec.field(name="eventFilterMap", default=None)


class _Events(msgspec.Struct):
    items: frozenset[str]
    filter: _Filter | None = None


class _HookBody(msgspec.Struct):
    """The parts of a hook that this module reads. They are validated when Okta's response arrives.

    The characters of `id` are restricted, because it becomes part of URL paths and is searched for in events.
    """

    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,100}$")]
    name: str
    status: str
    verification: str = msgspec.field(name="verificationStatus")
    channel: _Channel
    events: _Events


class Hook(msgspec.Struct, frozen=True):
    """A hook as Okta shows it.

    Attributes:
        status: ACTIVE or INACTIVE.
        verification: VERIFIED or UNVERIFIED.
        header: name of the header in which Okta sends the secret; None if the hook has no secret.
        types: the event types. Okta does not keep their order.
        raw: the whole object. A request that replaces the hook copies from `raw` the properties that `DesiredHook` does
            not have.
    """

    id: str
    name: str
    status: str
    verification: str
    uri: str
    header: str | None
    types: frozenset[str]
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, raw: Any) -> Self:
        """Read a hook from Okta's response.

        Raises:
            OktaError: `raw` is not a hook.
        """
        try:
            body = msgspec.convert(raw, _HookBody)
        except msgspec.ValidationError as error:
            raise not_okta("an event hook", error) from None
        config = body.channel.config
        return cls(
            id=body.id,
            name=body.name,
            status=body.status,
            verification=body.verification,
            uri=config.uri,
            header=config.auth_scheme.key if config.auth_scheme else None,
            types=body.events.items,
            raw=raw,
        )

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"

    @property
    def verified(self) -> bool:
        return self.verification == "VERIFIED"

    @property
    def live(self) -> bool:
        """Whether Okta sends events to this hook: it is ACTIVE and VERIFIED."""
        return self.active and self.verified

    @property
    def custom_headers(self) -> list[dict[str, Any]]:
        """The headers that Okta sends in addition to the secret. Everyone who may read hooks can see their values."""
        return list(self.raw["channel"]["config"].get("headers") or ())

    @property
    def filters(self) -> dict[str, str]:
        """The hook's filters: event type → Okta expression."""
        return {
            entry.get("event", ""): (entry.get("condition") or {}).get("expression") or "" for entry in self._entries
        }

    def filter_for(self, types: frozenset[str]) -> dict[str, Any] | None:
        """Return the hook's filter for a request body, with only the entries for `types`; None if no entry is left."""
        kept = [entry for entry in self._entries if entry.get("event") in types]
        return {**self.raw["events"]["filter"], "eventFilterMap": kept} if kept else None

    @property
    def _entries(self) -> list[dict[str, Any]]:
        return list((self.raw["events"].get("filter") or {}).get("eventFilterMap") or ())


class PropertyDifference(msgspec.Struct, frozen=True):
    """A property in which Okta's object differs from the desired one.

    Attributes:
        what: the property's name, as in Okta's Admin Console.
        has: the values of Okta's object that must be removed.
        wants: the values that must be added.
    """

    what: str
    has: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class HookPlan(msgspec.Struct, frozen=True):
    """The steps that bring a hook up to date.

    Attributes:
        differences: the differences between the hook and the desired hook, for display.
        replace: whether to replace the hook, by one call.
        verify: whether to verify the hook, because it is UNVERIFIED, or will be UNVERIFIED after the replacement.
    """

    differences: tuple[PropertyDifference, ...]
    create: bool = False
    replace: bool = False
    activate: bool = False
    verify: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the hook is up to date."""
        return not (self.create or self.replace or self.activate or self.verify)


def plan(desired: DesiredHook, hook: Hook | None, *, resend_secret: bool = False) -> HookPlan:
    """Plan the steps that make `hook` match `desired`. If `resend_secret` is true, send the secret again even if
    nothing differs, because Okta does not show which secret it has."""
    if hook is None:
        return HookPlan(tuple(_new(desired)), create=True, verify=True)
    channel = list(_channel(desired, hook, resend_secret=resend_secret))
    state = list(_state(hook))
    body = [*_content(desired, hook), *channel]
    return HookPlan(
        differences=(*body, *state),
        replace=bool(body),
        activate=not hook.active,
        # Okta silently un-verifies a hook when its channel changes, and sends nothing from then on.
        verify=bool(channel) or not hook.verified,
    )


def to_request(desired: DesiredHook, hook: Hook | None = None) -> dict[str, Any]:
    """Return the request body that creates the hook, or replaces `hook`.

    A replacement removes every property that its body lacks. So the body also has the properties that only `hook` has,
    and always the secret, which cannot be copied from `hook` because Okta does not show it.
    """
    config: dict[str, Any] = {
        "uri": desired.uri,
        "headers": hook.custom_headers if hook else [],
        "authScheme": {"type": "HEADER", "key": desired.header, "value": desired.secret.reveal()},
    }
    body: dict[str, Any] = {
        "name": desired.name,
        "events": {"type": "EVENT_TYPE", "items": sorted(desired.types), "filter": _filter(desired, hook)},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": config},
    }
    if hook is not None:
        # Okta takes `status` from the body, although it documents it as read-only.
        body |= {"description": hook.raw.get("description"), "status": hook.status}
    return body


def _filter(desired: DesiredHook, hook: Hook | None) -> dict[str, Any] | None:
    if desired.filters is None:
        return hook.filter_for(desired.types) if hook else None
    if not desired.filters:
        return None
    entries = [
        {"event": name, "condition": {"version": None, "expression": expression}}
        for name, expression in sorted(desired.filters.items())
    ]
    return {"type": "EXPRESSION_LANGUAGE", "eventFilterMap": entries}


def _new(desired: DesiredHook) -> Iterable[PropertyDifference]:
    yield PropertyDifference("name", wants=(desired.name,))
    yield PropertyDifference("events", wants=tuple(sorted(desired.types)))
    if desired.filters:
        yield PropertyDifference("filters", wants=_written(desired.filters))
    yield PropertyDifference("URL", wants=(desired.uri,))
    yield PropertyDifference("authentication field", wants=(desired.header,))


def _content(desired: DesiredHook, hook: Hook) -> Iterable[PropertyDifference]:
    """Yield the differences in name, events and filters. A change of these three properties leaves a hook verified."""
    if hook.name != desired.name:
        yield PropertyDifference("name", (hook.name,), (desired.name,))
    if hook.types != desired.types:
        yield PropertyDifference(
            "events", tuple(sorted(hook.types - desired.types)), tuple(sorted(desired.types - hook.types))
        )
    kept = {name: text for name, text in hook.filters.items() if name in desired.types}
    has, wants = (set(_written(hook.filters)), set(_written(kept if desired.filters is None else desired.filters)))
    if has != wants:
        yield PropertyDifference("filters", tuple(sorted(has - wants)), tuple(sorted(wants - has)))


def _channel(desired: DesiredHook, hook: Hook, *, resend_secret: bool) -> Iterable[PropertyDifference]:
    """Yield the differences in address, header and secret. A change of one of these three properties un-verifies a
    hook."""
    if not same_url(hook.uri, desired.uri):
        yield PropertyDifference("URL", (hook.uri,), (desired.uri,))
    if (hook.header or "").lower() != desired.header.lower():
        yield PropertyDifference("authentication field", (hook.header,) if hook.header else (), (desired.header,))
    if resend_secret:
        yield PropertyDifference("authentication secret", wants=("the newest of `secrets`",))


def _state(hook: Hook) -> Iterable[PropertyDifference]:
    if not hook.active:
        yield PropertyDifference("status", (hook.status,), ("ACTIVE",))
    if not hook.verified:
        yield PropertyDifference("verification", (hook.verification,), ("VERIFIED",))


def _written(filters: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}: {expression}" for name, expression in sorted(filters.items()))
