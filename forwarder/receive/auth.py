"""Identifies the org of a request by its secret.

A `Keyring` is immutable. A reload builds a new one and swaps it in, so that no request sees half of a change.
"""

import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from forwarder.receive.settings import HookEndpointSettings


class AuthFailure(StrEnum):
    """Why a request was rejected: the value of a metric's label."""

    MISSING = "missing"  # no header with a secret
    WRONG = "wrong"  # no live secret has this value
    DUPLICATE = "duplicate"  # the header is there more than once, so it is unclear which one counts


class _Key(msgspec.Struct, frozen=True):
    """One live secret of one org. It has its own `repr`, because msgspec's would show the value."""

    org: str
    header: bytes
    value: bytes

    def __repr__(self) -> str:
        return f"_Key({self.org!r}, {self.header!r}, '***')"

    __str__ = __repr__


class Keyring(msgspec.Struct, frozen=True):
    """The live secrets of one path.

    Attributes:
        orgs: the orgs whose hooks post there.
        open_challenge: the verification GET needs no secret, because an org of this path lifts it.
        headers: names of the headers that carry the secrets, in lower case.
    """

    orgs: tuple[str, ...]
    open_challenge: bool
    keys: tuple[_Key, ...]
    headers: frozenset[bytes]

    @property
    def default_org(self) -> str:
        """The org to count a request without a valid secret for: the path's only one, else the empty name."""
        return self.orgs[0] if len(self.orgs) == 1 else ""

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> str | AuthFailure:
        """Return the org whose secret the request carries, or why it is rejected.

        It always compares every key, so that timing reveals nothing about a near match.

        Args:
            headers: names in lower case, values as received.
        """
        presented = [(name, value.strip(b" \t")) for name, value in headers if name in self.headers]
        if not presented:
            return AuthFailure.MISSING
        if len({name for name, _ in presented}) < len(presented):
            return AuthFailure.DUPLICATE
        org: str | AuthFailure = AuthFailure.WRONG
        for key in self.keys:
            for name, value in presented:
                if hmac.compare_digest(value, key.value) and name == key.header:
                    org = key.org
        return org


def keyrings(orgs: Mapping[str, HookEndpointSettings]) -> dict[str, Keyring]:
    """Build the keyring of every path. An org without secrets has no hook, so it is in none."""
    paths: dict[str, dict[str, HookEndpointSettings]] = {}
    for name, org in orgs.items():
        if org.secrets:
            paths.setdefault(org.path.rstrip("/") or "/", {})[name] = org
    return {path: _keyring(sharing) for path, sharing in paths.items()}


def _keyring(orgs: Mapping[str, HookEndpointSettings]) -> Keyring:
    keys = tuple(
        _Key(name, org.header.lower().encode(), secret.reveal().strip(" \t").encode())
        for name, org in orgs.items()
        for secret in org.secrets
    )
    return Keyring(
        tuple(orgs),
        any(not org.challenge_needs_secret for org in orgs.values()),
        keys,
        frozenset(key.header for key in keys),
    )
