"""Remembers which requests were refused for want of a secret, so that the status can say that Okta is."""

from collections import deque

import msgspec

from forwarder.core.time import SECOND, Micros

_KEPT = 1_000
_RELEVANT: Micros = 24 * 3600 * SECOND


class OrgRequests(msgspec.Struct, frozen=True):
    """What came for one org.

    Attributes:
        accepted_at: when the last POST with its secret came; None if none came since the start.
        refused: requests to its path without a valid secret since then, of the last 24 hours.
        refused_at: when the last of them came; None if there is none.
    """

    accepted_at: Micros | None
    refused: int
    refused_at: Micros | None


class Refusals:
    """The latest requests with and without a valid secret. Counts up to 1,000 refusals a path."""

    def __init__(self) -> None:
        self._accepted: dict[str, Micros] = {}
        self._refused: dict[str, deque[Micros]] = {}

    def accept(self, org: str, now: Micros) -> None:
        """Record a POST of `org`."""
        self._accepted[org] = now

    def refuse(self, path: str, now: Micros) -> None:
        """Record a request without a valid secret. `path` is a configured one, so their number is bounded."""
        self._refused.setdefault(path, deque(maxlen=_KEPT)).append(now)

    def requests(self, org: str, path: str, now: Micros) -> OrgRequests:
        """Return what came for `org`, which listens at `path`."""
        accepted_at = self._accepted.get(org)
        since = max(accepted_at or 0, now - _RELEVANT)
        refused = [at for at in self._refused.get(path, ()) if at > since]
        return OrgRequests(accepted_at, len(refused), refused[-1] if refused else None)
