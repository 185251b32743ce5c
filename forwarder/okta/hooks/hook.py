"""An event hook as Okta has it, as the operator wants it, and what lies between the two. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec

from forwarder.config_types import Secret
from forwarder.core.errors import OktaError

MAX_LIVE = 25
"""Okta's limit of hooks in one org that are ACTIVE and VERIFIED."""


class Wanted(msgspec.Struct, frozen=True):
    """The hook that the operator wants.

    Attributes:
        name: in Okta.
        uri: where Okta posts.
        types: event types.
        header: which header carries the secret.
        secret: its value. Okta never shows it again.
        filters: event type → expression; None leaves alone what the hook has.
    """

    name: str
    uri: str
    types: frozenset[str]
    header: str
    secret: Secret
    filters: Mapping[str, str] | None = None


class Hook(msgspec.Struct, frozen=True):
    """A hook as Okta shows it.

    Attributes:
        id: Okta's.
        name: as set.
        status: ACTIVE or INACTIVE.
        verification: VERIFIED or UNVERIFIED.
        uri: where it posts.
        header: which header carries the secret; None where the hook has none.
        types: event types. Okta does not keep their order.
        raw: all of it, so that what we do not know survives a replacement.
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
        """Read what Okta answered.

        Raises:
            OktaError: it is no hook.
        """
        try:
            config = raw["channel"]["config"]
            scheme = config.get("authScheme") or {}
            return cls(
                id=raw["id"],
                name=raw["name"],
                status=raw["status"],
                verification=raw["verificationStatus"],
                uri=config["uri"],
                header=scheme.get("key"),
                types=frozenset(raw["events"]["items"]),
                raw=raw,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise OktaError(f"Okta answered with something that is no event hook: {error!r}") from None

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"

    @property
    def verified(self) -> bool:
        return self.verification == "VERIFIED"

    @property
    def live(self) -> bool:
        """Only then does Okta send it events."""
        return self.active and self.verified

    @property
    def custom_headers(self) -> list[dict[str, Any]]:
        """The headers that it sends beside the secret. Okta shows their values to everybody who may read hooks."""
        return list(self.raw["channel"]["config"].get("headers") or ())

    @property
    def filters(self) -> dict[str, str]:
        """Event type → expression."""
        return {
            entry.get("event", ""): (entry.get("condition") or {}).get("expression") or ""
            for entry in self._entries
        }

    def filter_for(self, types: frozenset[str]) -> dict[str, Any] | None:
        """Its filter as Okta takes it back, without what is about other types; None if nothing is left."""
        kept = [entry for entry in self._entries if entry.get("event") in types]
        return {**self.raw["events"]["filter"], "eventFilterMap": kept} if kept else None

    @property
    def _entries(self) -> list[dict[str, Any]]:
        return list((self.raw["events"].get("filter") or {}).get("eventFilterMap") or ())


class Difference(msgspec.Struct, frozen=True):
    """Something that is not as wanted.

    Attributes:
        what: in the words of Okta's console.
        has: what is there and not wanted.
        wants: what is wanted and not there.
    """

    what: str
    has: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What makes a hook as wanted.

    Attributes:
        differences: for a human.
        create: there is none.
        replace: one call replaces all of it.
        activate: it is INACTIVE.
        verify: it is UNVERIFIED, or will be after this.
    """

    differences: tuple[Difference, ...]
    create: bool = False
    replace: bool = False
    activate: bool = False
    verify: bool = False

    @property
    def empty(self) -> bool:
        """Nothing differs."""
        return not (self.create or self.replace or self.activate or self.verify)


def plan(wanted: Wanted, hook: Hook | None, *, resend_secret: bool = False) -> Plan:
    """What makes `hook` as `wanted`.

    Args:
        wanted: the hook to have.
        hook: the one that is there, if any.
        resend_secret: replace the secret though nobody can see whether it differs.
    """
    if hook is None:
        return Plan(tuple(_new(wanted)), create=True, verify=True)
    channel = list(_channel(wanted, hook, resend_secret=resend_secret))
    state = list(_state(hook))
    body = [*_content(wanted, hook), *channel]
    return Plan(
        differences=(*body, *state),
        replace=bool(body),
        activate=not hook.active,
        # Okta drops a hook to UNVERIFIED when its channel changes, says nothing, and sends nothing from then on.
        verify=bool(channel) or not hook.verified,
    )


def body_of(wanted: Wanted, hook: Hook | None = None) -> dict[str, Any]:
    """What Okta is sent to create the hook, or to replace `hook`.

    A replacement is of the whole: what it leaves out is gone. So it carries what `hook` has and `wanted` says nothing
    about, and always the secret, which Okta does not show and so cannot be carried over.
    """
    config: dict[str, Any] = {
        "uri": wanted.uri,
        "headers": hook.custom_headers if hook else [],
        "authScheme": {"type": "HEADER", "key": wanted.header, "value": wanted.secret.reveal()},
    }
    body: dict[str, Any] = {
        "name": wanted.name,
        "events": {
            "type": "EVENT_TYPE",
            "items": sorted(wanted.types),
            "filter": _filter(wanted, hook),
        },
        "channel": {"type": "HTTP", "version": "1.0.0", "config": config},
    }
    if hook is not None:
        # Okta takes `status` from the body, though it calls it read-only.
        body |= {"description": hook.raw.get("description"), "status": hook.status}
    return body


def find(hooks: Iterable[Hook], name: str) -> list[Hook]:
    """The hooks of this name."""
    return [hook for hook in hooks if hook.name == name]


def _filter(wanted: Wanted, hook: Hook | None) -> dict[str, Any] | None:
    if wanted.filters is None:
        return hook.filter_for(wanted.types) if hook else None
    if not wanted.filters:
        return None
    entries = [
        {"event": name, "condition": {"version": None, "expression": expression}}
        for name, expression in sorted(wanted.filters.items())
    ]
    return {"type": "EXPRESSION_LANGUAGE", "eventFilterMap": entries}


def _new(wanted: Wanted) -> Iterable[Difference]:
    yield Difference("name", wants=(wanted.name,))
    yield Difference("events", wants=tuple(sorted(wanted.types)))
    if wanted.filters:
        yield Difference("filters", wants=_written(wanted.filters))
    yield Difference("URL", wants=(wanted.uri,))
    yield Difference("authentication field", wants=(wanted.header,))


def _content(wanted: Wanted, hook: Hook) -> Iterable[Difference]:
    """What differs and does not touch the channel."""
    if hook.name != wanted.name:
        yield Difference("name", (hook.name,), (wanted.name,))
    if hook.types != wanted.types:
        yield Difference(
            "events", tuple(sorted(hook.types - wanted.types)), tuple(sorted(wanted.types - hook.types))
        )
    kept = {name: text for name, text in hook.filters.items() if name in wanted.types}
    has, wants = (
        set(_written(hook.filters)),
        set(_written(kept if wanted.filters is None else wanted.filters)),
    )
    if has != wants:
        yield Difference("filters", tuple(sorted(has - wants)), tuple(sorted(wants - has)))


def _channel(wanted: Wanted, hook: Hook, *, resend_secret: bool) -> Iterable[Difference]:
    """What differs and makes Okta forget that the hook was verified."""
    if hook.uri != wanted.uri:
        yield Difference("URL", (hook.uri,), (wanted.uri,))
    if (hook.header or "").lower() != wanted.header.lower():
        yield Difference("authentication field", (hook.header,) if hook.header else (), (wanted.header,))
    if resend_secret:
        yield Difference("authentication secret", wants=("the newest of `secrets`",))


def _state(hook: Hook) -> Iterable[Difference]:
    if not hook.active:
        yield Difference("status", (hook.status,), ("ACTIVE",))
    if not hook.verified:
        yield Difference("verification", (hook.verification,), ("VERIFIED",))


def _written(filters: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}: {expression}" for name, expression in sorted(filters.items()))
