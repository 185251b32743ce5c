"""Whose hook is this: the secret that a request carries, against every live secret of its path.

A `Keyring` never changes. Reloading secrets means to build a new one and to swap it in, so that no request ever
sees half of a change.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from forwarder.receive.settings import HookEndpointSettings


class AuthFailure(StrEnum):
    """Why a request was refused: a label value, so the set is small and fixed."""

    MISSING = "missing"  # the header is not there
    WRONG = "wrong"  # no live secret has this value
    DUPLICATE = "duplicate"  # the header is there more than once: which one counts is anybody's guess


class _Key(msgspec.Struct, frozen=True):
    """One live secret of one org. Its `repr` is cut short, because msgspec's would show the value."""

    org: str
    header: bytes
    value: bytes

    def __repr__(self) -> str:
        return f"_Key({self.org!r}, {self.header!r}, '***')"

    __str__ = __repr__


class Keyring(msgspec.Struct, frozen=True):
    """All secrets that are live on one path.

    Attributes:
        orgs: the orgs whose hooks post there.
        open_challenge: the verification GET needs no secret (an org of this path lifts it).
        keys: the secrets.
        headers: names of the headers that carry them, in lower case.
    """

    orgs: tuple[str, ...]
    open_challenge: bool
    keys: tuple[_Key, ...]
    headers: frozenset[bytes]

    @property
    def label(self) -> str:
        """The org to blame for a request that showed no right secret: the path's only one, else the empty name."""
        return self.orgs[0] if len(self.orgs) == 1 else ""

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> str | AuthFailure:
        """The org whose secret the request carries, or why it is refused.

        Every key is compared, whatever the earlier ones gave, so that the time tells nothing of which one was near.

        Args:
            headers: names in lower case, values as received.
        """
        shown = [(name, value.strip(b" \t")) for name, value in headers if name in self.headers]
        if not shown:
            return AuthFailure.MISSING
        if len({name for name, _ in shown}) < len(shown):
            return AuthFailure.DUPLICATE
        org: str | AuthFailure = AuthFailure.WRONG
        for key in self.keys:
            for name, value in shown:
                if hmac.compare_digest(value, key.value) and name == key.header:
                    org = key.org
        return org


def keyrings(orgs: Mapping[str, HookEndpointSettings]) -> dict[str, Keyring]:
    """The keyring of every path."""
    paths: dict[str, list[str]] = {}
    for name, org in orgs.items():
        if org.secrets:  # else no hook can come from it
            paths.setdefault(org.path.rstrip("/") or "/", []).append(name)
    return {path: _keyring([(name, orgs[name]) for name in names]) for path, names in paths.items()}


def _keyring(orgs: Sequence[tuple[str, HookEndpointSettings]]) -> Keyring:
    keys = tuple(
        _Key(name, org.header.lower().encode(), secret.reveal().strip(" \t").encode())
        for name, org in orgs
        for secret in org.secrets
    )
    return Keyring(
        tuple(name for name, _ in orgs),
        any(not org.challenge_needs_secret for _, org in orgs),
        keys,
        frozenset(key.header for key in keys),
    )
