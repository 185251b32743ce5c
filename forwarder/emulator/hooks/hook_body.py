"""The configurable part of an event hook, with Okta's rules for it."""

from collections.abc import Collection, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from forwarder.config.hosts import is_loopback
from forwarder.core.urls import normalized
from forwarder.emulator.events.event_templates import HOOK_TYPES
from forwarder.emulator.http.errors import decode, invalid

_ELIGIBLE = frozenset(HOOK_TYPES)
_MAX_TYPES = 300
_FRAMING = {"content-length", "transfer-encoding"}
"""Headers that the org sets itself, because they say where a request ends. Okta documents no rule for them."""


class _AuthScheme(msgspec.Struct, frozen=True):
    type: Literal["HEADER"]
    key: str
    value: str | None = None  # callers can write it, but not read it


class _Header(msgspec.Struct, frozen=True):
    key: str
    value: str


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    uri: str
    headers: tuple[_Header, ...] | None = None
    auth_scheme: _AuthScheme | None = None

    def comparable(self) -> tuple[Any, ...]:
        """Return the URL, the headers and the secret in a normal form, for comparing two specs. Different spellings of
        one value have one normal form."""
        auth = self.auth_scheme
        secret = (auth.key.lower(), auth.value or "") if auth else None
        headers = sorted((header.key.lower(), header.value) for header in self.headers or ())
        return normalized(self.uri), headers, secret


class _Channel(msgspec.Struct, frozen=True):
    type: Literal["HTTP"]
    version: Literal["1.0.0"]
    config: _Config


class _Events(msgspec.Struct, frozen=True):
    type: Literal["EVENT_TYPE"]
    items: frozenset[str]
    filter: dict[str, Any] | None = None  # stored and shown, but not evaluated


class HookSpec(msgspec.Struct, frozen=True):
    """The part of a hook that a caller of the API configures."""

    name: str
    events: _Events
    channel: _Channel
    description: str | None = None
    status: Literal["ACTIVE", "INACTIVE"] | None = None


def read_spec(body: bytes, taken: Collection[str]) -> HookSpec:
    """Read the body of a call that creates or replaces a hook; `taken` are the names of all other hooks.

    Raises:
        OktaApiError: Okta would refuse this hook. The error names all problems.
    """
    spec = decode(body, HookSpec, "eventHook")
    problems = _problems(spec)
    if spec.name in taken:
        # Okta documents no rule for this, but two hooks with the same name help no one.
        problems.append("name: An event hook with this name exists already")
    if problems:
        raise invalid("eventHook", *problems)
    return spec


def build_spec(uri: str, secret: str, *, name: str, header: str, types: Sequence[str]) -> bytes:
    """Write the body of `POST /api/v1/eventHooks` for a hook whose `header` carries `secret`."""
    auth = {"type": "HEADER", "key": header, "value": secret}
    spec = {
        "name": name,
        "events": {"type": "EVENT_TYPE", "items": types},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": uri, "authScheme": auth}},
    }
    return msgspec.json.encode(spec)


def _problems(spec: HookSpec) -> list[str]:
    """Return the reasons why Okta would refuse `spec`. The types of its fields are already checked."""
    problems = []
    if not spec.name.strip():
        problems.append("name: The field cannot be left blank")
    if not spec.events.items:
        problems.append("events.items: The field cannot be left blank")
    if len(spec.events.items) > _MAX_TYPES:
        problems.append(f"events.items: No more than {_MAX_TYPES} event types are allowed")
    refused = sorted(spec.events.items - _ELIGIBLE)
    if refused:
        problems.append(f"events.items: Not eligible for event hooks: {', '.join(refused[:5])}")
    if not _is_allowed(spec.channel.config.uri):
        problems.append("channel.config.uri: invalid URL provided")
    problems += [f"channel.config.headers: {key} cannot be set" for key in _framing(spec.channel.config)]
    return problems


def _framing(config: _Config) -> list[str]:
    scheme = (config.auth_scheme,) if config.auth_scheme else ()
    return [each.key for each in (*(config.headers or ()), *scheme) if each.key.strip().lower() in _FRAMING]


def _is_allowed(uri: str) -> bool:
    """Whether `uri` is https, or http to a loopback address.

    Okta accepts only https. With http to a loopback address, a demo needs no certificate, and no secret crosses a
    network in clear text.
    """
    try:
        parts = urlsplit(uri)
        is_port_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    if not parts.hostname or not is_port_valid:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
