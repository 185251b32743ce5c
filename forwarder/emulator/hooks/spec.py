"""What a caller says that an event hook shall be, and what of it Okta refuses."""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from forwarder.emulator.events.event_templates import HOOK_TYPES
from forwarder.emulator.http.errors import invalid, malformed

_ELIGIBLE = frozenset(HOOK_TYPES)
_MAX_TYPES = 300


class AuthScheme(msgspec.Struct, frozen=True):
    """The header that carries the secret. `value` is written and never shown."""

    type: Literal["HEADER"]
    key: str
    value: str = ""


class Header(msgspec.Struct, frozen=True):
    """A header of the operator's own, shown in clear."""

    key: str
    value: str


class Config(msgspec.Struct, frozen=True, rename="camel"):
    """Where a hook posts."""

    uri: str
    headers: tuple[Header, ...] | None = None
    auth_scheme: AuthScheme | None = None


class Channel(msgspec.Struct, frozen=True):
    """How a hook posts."""

    type: Literal["HTTP"]
    version: Literal["1.0.0"]
    config: Config


class Subscription(msgspec.Struct, frozen=True):
    """What a hook posts. A filter is kept and shown; the emulator does not evaluate it."""

    type: Literal["EVENT_TYPE"]
    items: frozenset[str]
    filter: dict[str, Any] | None = None


class Spec(msgspec.Struct, frozen=True):
    """What a caller says that a hook shall be."""

    name: str
    events: Subscription
    channel: Channel
    description: str | None = None
    status: Literal["ACTIVE", "INACTIVE"] | None = None


_decode = msgspec.json.Decoder(Spec).decode


def read_spec(body: bytes, taken: Collection[str]) -> Spec:
    """Read what a caller posts.

    Args:
        body: as received.
        taken: names of other hooks.

    Raises:
        OktaApiError: it describes no hook that Okta takes. All that is wrong with it is told at once.
    """
    try:
        spec = _decode(body)
    except msgspec.ValidationError as error:
        raise invalid("eventHook", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed() from error
    faults = _faults(spec)
    if spec.name in taken:
        # Okta documents no rule for this; two hooks that cannot be told apart serve nobody.
        faults.append("name: An event hook with this name exists already")
    if faults:
        raise invalid("eventHook", *faults)
    return spec


def _faults(spec: Spec) -> list[str]:
    """What Okta would refuse in `spec`, beyond its form."""
    faults = []
    if not spec.name.strip():
        faults.append("name: The field cannot be left blank")
    if not spec.events.items:
        faults.append("events.items: The field cannot be left blank")
    if len(spec.events.items) > _MAX_TYPES:
        faults.append(f"events.items: No more than {_MAX_TYPES} event types are allowed")
    refused = sorted(spec.events.items - _ELIGIBLE)
    if refused:
        faults.append(f"events.items: Not eligible for event hooks: {', '.join(refused[:5])}")
    if not _is_address(spec.channel.config.uri):
        faults.append("channel.config.uri: invalid URL provided")
    return faults


def _is_address(uri: str) -> bool:
    """Okta takes https alone. The emulator takes http as well, but only to the machine that it runs on: a demo and a
    test need no certificate there, and a secret never crosses a network in clear."""
    try:
        parts = urlsplit(uri)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        return False
    if not parts.hostname or not port_is_sound:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
