"""An event hook as Okta has it, as the operator wants it, and the difference between the two. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

import msgspec

from forwarder.config.types import Secret
from forwarder.core.errors import OktaError
from forwarder.okta.settings import HookSettings

MAX_LIVE = 25
"""Okta's limit of hooks in one org that are ACTIVE and VERIFIED."""


class DesiredHook(msgspec.Struct, frozen=True):
    """The hook that the operator wants. `header` carries `secret`, which Okta never shows again; `filters` maps event
    types to expressions, None leaves the filters that the hook has."""

    name: str
    uri: str
    types: frozenset[str]
    header: str
    secret: Secret
    filters: Mapping[str, str] | None = None


def desired_hook(
    settings: HookSettings, types: frozenset[str], header: str, secrets: Sequence[Secret]
) -> DesiredHook:
    """Return the hook of an org that has these settings, sends these event types, and has at least one secret."""
    # The newest of several valid secrets is the last one: a rotation adds it there. The receiver ignores blanks around
    # it, Okta sends it byte for byte.
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
    """Every part of a hook that is read here, to validate a hook when Okta's response arrives. The id is
    restricted because it is put into paths and searched in events."""

    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,100}$")]
    name: str
    status: str
    verification: str = msgspec.field(name="verificationStatus")
    channel: _Channel
    events: _Events


class Hook(msgspec.Struct, frozen=True):
    """A hook as Okta shows it: `status` is ACTIVE or INACTIVE, `verification` VERIFIED or UNVERIFIED, `header` None if it
    has no secret. Okta does not keep the order of the types. `raw` is the whole object, so that what we do not know
    survives a replacement."""

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
            OktaError: it is not a hook.
        """
        try:
            body = msgspec.convert(raw, _HookBody)
        except msgspec.ValidationError as error:
            raise OktaError(f"Okta answered with something that is not an event hook: {error}") from None
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
        """Headers that Okta sends beside the secret. Okta shows their values to everyone who may read
        hooks."""
        return list(self.raw["channel"]["config"].get("headers") or ())

    @property
    def filters(self) -> dict[str, str]:
        """The hook's filters: event type → Okta expression."""
        return {
            entry.get("event", ""): (entry.get("condition") or {}).get("expression") or ""
            for entry in self._entries
        }

    def filter_for(self, types: frozenset[str]) -> dict[str, Any] | None:
        """Return the hook's filter for a request body, with the entries for `types` only; None if there are
        none."""
        kept = [entry for entry in self._entries if entry.get("event") in types]
        return {**self.raw["events"]["filter"], "eventFilterMap": kept} if kept else None

    @property
    def _entries(self) -> list[dict[str, Any]]:
        return list((self.raw["events"].get("filter") or {}).get("eventFilterMap") or ())


class Difference(msgspec.Struct, frozen=True):
    """A property in which Okta's object differs from the desired one.

    Attributes:
        what: the property's name, as in Okta's console.
        has: values that Okta has and that must be removed.
        wants: values that must be added.
    """

    what: str
    has: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """The steps that bring a hook up to date.

    Attributes:
        differences: between the hook and the desired one, for display.
        create: the hook does not exist yet.
        replace: the hook is replaced, by one call.
        activate: the hook is INACTIVE.
        verify: the hook is UNVERIFIED, or will be after the replacement.
    """

    differences: tuple[Difference, ...]
    create: bool = False
    replace: bool = False
    activate: bool = False
    verify: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the hook is up to date."""
        return not (self.create or self.replace or self.activate or self.verify)


def plan(desired: DesiredHook, hook: Hook | None, *, resend_secret: bool = False) -> Plan:
    """Plan the steps that make `hook` match `desired`.

    Args:
        desired: the hook that the operator wants.
        hook: the existing hook, if any.
        resend_secret: send the secret again: Okta does not show whether its secret differs.
    """
    if hook is None:
        return Plan(tuple(_new(desired)), create=True, verify=True)
    channel = list(_channel(desired, hook, resend_secret=resend_secret))
    state = list(_state(hook))
    body = [*_content(desired, hook), *channel]
    return Plan(
        differences=(*body, *state),
        replace=bool(body),
        activate=not hook.active,
        # Okta silently un-verifies a hook when its channel changes, and sends nothing from then on.
        verify=bool(channel) or not hook.verified,
    )


def to_request(desired: DesiredHook, hook: Hook | None = None) -> dict[str, Any]:
    """Return the request body that creates the hook, or replaces `hook`.

    Okta removes every property that a replacement leaves out. So the body keeps those that `desired` does not
    have, and always contains the secret, which Okta does not show.
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


def _new(desired: DesiredHook) -> Iterable[Difference]:
    yield Difference("name", wants=(desired.name,))
    yield Difference("events", wants=tuple(sorted(desired.types)))
    if desired.filters:
        yield Difference("filters", wants=_written(desired.filters))
    yield Difference("URL", wants=(desired.uri,))
    yield Difference("authentication field", wants=(desired.header,))


def _content(desired: DesiredHook, hook: Hook) -> Iterable[Difference]:
    """Yield the differences in name, events and filters, whose change leaves the hook verified."""
    if hook.name != desired.name:
        yield Difference("name", (hook.name,), (desired.name,))
    if hook.types != desired.types:
        yield Difference(
            "events", tuple(sorted(hook.types - desired.types)), tuple(sorted(desired.types - hook.types))
        )
    kept = {name: text for name, text in hook.filters.items() if name in desired.types}
    has, wants = (
        set(_written(hook.filters)),
        set(_written(kept if desired.filters is None else desired.filters)),
    )
    if has != wants:
        yield Difference("filters", tuple(sorted(has - wants)), tuple(sorted(wants - has)))


def _channel(desired: DesiredHook, hook: Hook, *, resend_secret: bool) -> Iterable[Difference]:
    """Yield the differences in address, header and secret, whose change un-verifies the hook."""
    if hook.uri != desired.uri:
        yield Difference("URL", (hook.uri,), (desired.uri,))
    if (hook.header or "").lower() != desired.header.lower():
        yield Difference("authentication field", (hook.header,) if hook.header else (), (desired.header,))
    if resend_secret:
        yield Difference("authentication secret", wants=("the newest of `secrets`",))


def _state(hook: Hook) -> Iterable[Difference]:
    if not hook.active:
        yield Difference("status", (hook.status,), ("ACTIVE",))
    if not hook.verified:
        yield Difference("verification", (hook.verification,), ("VERIFIED",))


def _written(filters: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}: {expression}" for name, expression in sorted(filters.items()))
