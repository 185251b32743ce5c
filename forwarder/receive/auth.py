"""Identifies the org of a request by its secret.

A `Keyring` is immutable. A reload replaces it by a new keyring, so that no request sees half of a change.
"""

import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum

from forwarder.receive.settings import HookEndpointSettings


class AuthFailure(StrEnum):
    """Why a request has no valid secret. The values are also values of a metric's label."""

    MISSING = "missing"  # the request does not have the header
    WRONG = "wrong"  # the value of the header is not one of the valid secrets
    DUPLICATE = "duplicate"  # the request has the header more than once, so it is unclear which value counts


class Keyring:
    """The valid secrets of the orgs that share one path. No `repr` shows the secrets.

    Attributes:
        open_challenge: whether a verification GET without a secret is answered, because an org of this path
            has `challenge_needs_secret: false`.
        path: the URL path to which the hooks of these orgs post.
        default_org: the org in whose metrics a request without a valid secret is counted. This is the only
            org of this path, or the empty string if several orgs share the path.
    """

    def __init__(self, path: str, orgs: Mapping[str, HookEndpointSettings]) -> None:
        self.path = path
        self.open_challenge = any(not org.challenge_needs_secret for org in orgs.values())
        self.default_org = next(iter(orgs)) if len(orgs) == 1 else ""
        self._keys = [
            (name, org.header.lower().encode(), secret.reveal().strip(" \t").encode())
            for name, org in orgs.items()
            for secret in org.secrets
        ]
        self._headers = {header for _, header, _ in self._keys}

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> str | AuthFailure:
        """Return the org whose secret the request carries, or why the request is rejected. The names in
        `headers` must be in lower case. This method always compares all secrets, so that timing reveals
        nothing about a near match."""
        presented = [(name, value.strip(b" \t")) for name, value in headers if name in self._headers]
        if not presented:
            return AuthFailure.MISSING
        if len({name for name, _ in presented}) < len(presented):
            return AuthFailure.DUPLICATE
        org: str | AuthFailure = AuthFailure.WRONG
        for owner, header, secret in self._keys:
            for name, value in presented:
                if hmac.compare_digest(value, secret) and name == header:
                    org = owner
        return org


def endpoint_path(org: HookEndpointSettings) -> str:
    """Return the path at which requests of `org` are served."""
    return org.path.rstrip("/") or "/"


def keyrings(orgs: Mapping[str, HookEndpointSettings]) -> dict[str, Keyring]:
    """Build one keyring for each path. An org without secrets has no hook, so it is in none of the
    keyrings."""
    paths: dict[str, dict[str, HookEndpointSettings]] = {}
    for name, org in orgs.items():
        if org.secrets:
            paths.setdefault(endpoint_path(org), {})[name] = org
    return {path: Keyring(path, sharing) for path, sharing in paths.items()}
