"""Identifies the org of a request by its secret, and records the requests without a valid secret, for the status.

A `Keyring` is immutable. A reload replaces each keyring by a new one, so no request is compared with a mix of old and
new secrets.
"""

import hmac
from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from forwarder.core.time import SECOND, Micros
from forwarder.receive.settings import HookEndpointSettings

_KEPT = 1_000
_RECENT = 20
_HOUR: Micros = 3600 * SECOND
_MOST_TEXT = 200  # characters
OKTA = "Okta-Integrations"
"""The beginning of the user agent of Okta's requests. Another client can send this user agent too. If its requests have
no valid secret, the status reports them as a problem of the hook, although the hook works."""
_RELEVANT: Micros = 24 * 3600 * SECOND


class AuthFailure(StrEnum):
    """The reason why a request has no valid secret. Each value is also a value of the label `reason` of a metric."""

    MISSING = "missing"  # the request does not have the header
    WRONG = "wrong"  # the value of the header is not one of the valid secrets
    DUPLICATE = "duplicate"  # the request has the header more than once, so it is unclear which value counts


class Sender(StrEnum):
    """Who seems to have sent a request. Each value is also a value of the label `sender` of a metric."""

    OKTA = "okta"
    OTHER = "other"


def sender(user_agent: str) -> Sender:
    """Return who seems to have sent a request with the header `User-Agent: user_agent`."""
    return Sender.OKTA if user_agent.startswith(OKTA) else Sender.OTHER


class Keyring:
    """The valid secrets of the orgs that share one path. The `repr` of a keyring does not show the secrets.

    Attributes:
        open_challenge: whether a verification GET without a secret is answered, because an org of this path has
            `challenge_needs_secret: false`.
        path: the URL path to which the hooks of these orgs post.
        default_org: the name of the org in whose metrics a request without a valid secret is counted: the only org of
            this path, or the empty string if several orgs share the path.
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
        """Return the name of the org whose secret the request carries, or the reason why the request is rejected.

        The names in `headers` must be in lower case. The method compares every secret, even after a match, so the time
        that a comparison takes reveals nothing about the secrets.
        """
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
    """Return the URL path at which the receiver serves the hook of `org`: the configured path, without slashes at its
    end."""
    return org.path.rstrip("/") or "/"


def keyrings(orgs: Mapping[str, HookEndpointSettings]) -> dict[str, Keyring]:
    """Return one keyring for each path, by path. An org without secrets has no hook, so no keyring contains this
    org."""
    paths: dict[str, dict[str, HookEndpointSettings]] = {}
    for name, org in orgs.items():
        if org.secrets:
            paths.setdefault(endpoint_path(org), {})[name] = org
    return {path: Keyring(path, sharing) for path, sharing in paths.items()}


class OrgRequests(msgspec.Struct, frozen=True):
    """The number and the times of the requests for one org since the process started.

    Attributes:
        accepted_at: when the last POST with the org's secret came; None if no such POST has come.
        refused: number of requests to the org's path without a valid secret that came after the last request with the
            org's secret, and not more than 24 hours ago. A GET counts only if it has Okta's user agent.
        refused_at: when the last of the requests that `refused` counts came; None if `refused` is 0.
        okta_refused: how many of the requests that `refused` counts have Okta's user agent.
        refused_from_okta: number of requests to the org's path without a valid secret, but with Okta's user agent, in
            the last hour. Requests before the last request with the org's secret count too.
    """

    accepted_at: Micros | None
    refused: int
    refused_at: Micros | None
    okta_refused: int = 0
    refused_from_okta: int = 0


class Refused(msgspec.Struct, frozen=True):
    """One request without a valid secret.

    Attributes:
        at: when the request came.
        client: the IP address of the client; empty if unknown.
        reason: the value of an `AuthFailure`.
        user_agent: the beginning of the header `User-Agent`; empty if the request has none.
    """

    at: Micros
    path: str
    client: str
    reason: str
    user_agent: str


class _Refusal(NamedTuple):
    number: int
    at: Micros


class Refusals:
    """Records the requests with and without a valid secret. For each path, it keeps the times of the last 1,000 refused
    requests of Okta, and of others.

    Requests have numbers, because the order of times can be wrong: the clock of the machine can be set back.

    Attributes:
        recent: the last 20 refused requests of all paths, oldest first.
    """

    def __init__(self) -> None:
        self._accepted: dict[str, Micros] = {}
        self._number = 0  # of the last refused request
        self._proven: dict[str, int] = {}  # by org, the number of the last refused request before one with the secret
        self._refused: dict[tuple[str, Sender], deque[_Refusal]] = {}
        self.recent: deque[Refused] = deque(maxlen=_RECENT)

    def accept(self, org: str, now: Micros) -> None:
        """Record a POST with a valid secret of `org`."""
        self._accepted[org] = now
        self.verify(org)

    def verify(self, org: str) -> None:
        """Record a request with a valid secret of `org` that is not a POST: a verification."""
        self._proven[org] = self._number

    def refuse(
        self, path: str, now: Micros, *, method: str = "POST", client: str = "", reason: str = "", user_agent: str = ""
    ) -> None:
        """Record a request without a valid secret. `path` must be a configured path: each different path takes memory,
        and a client can send any number of paths."""
        sent_by = sender(user_agent)
        if method == "POST" or sent_by is Sender.OKTA:
            self._number += 1
            kept = self._refused.setdefault((path, sent_by), deque(maxlen=_KEPT))
            kept.append(_Refusal(self._number, now))
        self.recent.append(Refused(now, path, client, reason, user_agent[:_MOST_TEXT]))

    def requests(self, org: str, path: str, now: Micros) -> OrgRequests:
        """Return the number and the times of the requests for `org`, whose hook posts to `path`."""
        from_okta, from_others = (self._refused.get((path, each), ()) for each in Sender)
        proven = self._proven.get(org, 0)

        def after_proof(refusals: Iterable[_Refusal]) -> list[_Refusal]:
            return [each for each in refusals if each.number > proven and each.at > now - _RELEVANT]

        of_okta = after_proof(from_okta)
        refused = [*of_okta, *after_proof(from_others)]
        return OrgRequests(
            self._accepted.get(org),
            len(refused),
            max(refused).at if refused else None,
            len(of_okta),
            sum(each.at > now - _HOUR for each in from_okta),
        )
