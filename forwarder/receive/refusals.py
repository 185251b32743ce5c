"""Records requests without a valid secret, so that the status can show that Okta's requests are refused."""

from collections import deque

import msgspec

from forwarder.core.time import SECOND, Micros

_KEPT = 1_000
_RECENT = 20
_HOUR: Micros = 3600 * SECOND
_MOST_TEXT = 200  # characters
OKTA = "Okta-Integrations"
"""The user agent of Okta's requests. Other clients can send it too; the status then reports a problem that
does not exist."""
_RELEVANT: Micros = 24 * 3600 * SECOND


class OrgRequests(msgspec.Struct, frozen=True):
    """The requests for one org since the process started.

    Attributes:
        accepted_at: when the last POST with the org's secret came; None if there was none.
        refused: number of requests to the org's path without a valid secret, after `accepted_at` and in the
            last 24 hours.
        refused_at: when the last request in `refused` came; None if there is none.
        refused_from_okta: number of requests to the path without a valid secret in the last hour that have
            Okta's user agent, including those before `accepted_at`.
    """

    accepted_at: Micros | None
    refused: int
    refused_at: Micros | None
    refused_from_okta: int = 0


class Refused(msgspec.Struct, frozen=True):
    """One request without a valid secret: when it came, to which path, from which address, and why it was
    refused."""

    at: Micros
    path: str
    client: str
    reason: str
    user_agent: str


class Refusals:
    """The latest requests with and without a valid secret. Up to 1,000 refused requests are counted for each
    path.

    Attributes:
        recent: the last refused requests, oldest first.
    """

    def __init__(self) -> None:
        self._accepted: dict[str, Micros] = {}
        self._refused: dict[str, deque[Micros]] = {}
        self._from_okta: dict[str, deque[Micros]] = {}
        self.recent: deque[Refused] = deque(maxlen=_RECENT)

    def accept(self, org: str, now: Micros) -> None:
        """Record a POST with a valid secret of `org`."""
        self._accepted[org] = now

    def refuse(
        self, path: str, now: Micros, *, client: str = "", reason: str = "", user_agent: str = ""
    ) -> None:
        """Record a request without a valid secret. `path` must be a configured path, because each new path
        takes memory."""
        self._refused.setdefault(path, deque(maxlen=_KEPT)).append(now)
        if user_agent == OKTA:
            self._from_okta.setdefault(path, deque(maxlen=_KEPT)).append(now)
        self.recent.append(Refused(now, path, client, reason, user_agent[:_MOST_TEXT]))

    def requests(self, org: str, path: str, now: Micros) -> OrgRequests:
        """Return the requests for `org`, whose hook posts to `path`."""
        accepted_at = self._accepted.get(org)
        since = max(accepted_at or 0, now - _RELEVANT)
        refused = [at for at in self._refused.get(path, ()) if at > since]
        from_okta = sum(at > now - _HOUR for at in self._from_okta.get(path, ()))
        return OrgRequests(accepted_at, len(refused), refused[-1] if refused else None, from_okta)
