"""The interfaces that reactions need from other packages. `reaction_runner/` implements them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from forwarder.core.time import SECOND, Micros, retry_after, server_time

NOT_CONFIGURED = "not_configured"
"""The `Answer.code` of a call that was not made, because its server is no longer in the configuration."""


_LONGEST_PAUSE: Micros = 3600 * SECOND


class Answer(msgspec.Struct, frozen=True):
    """The result of one call. A refusal is also an Answer, not an exception, because the next step depends on it.

    Attributes:
        status: the HTTP status; 0 if there was no answer.
        body: decoded JSON, or None.
        code: Okta's `errorCode`, or the field `error` of an OAuth response; empty if there is none.
        text: for an operator: what was refused, and what to do. After a 2xx, the text is empty, or names something
            unexpected.
        sent: False if the call certainly did not reach the server, else True.
        error_id, request_id: the ids that Okta gave to the error and to the request.
        retry_at: the server refuses calls until this time, at most an hour from now; None if the server does not say.
        links: the URLs in the `Link` header of the response, by their `rel`.
    """

    status: int
    body: Any = None
    code: str = ""
    text: str = ""
    sent: bool = True
    error_id: str = ""
    request_id: str = ""
    retry_at: Micros | None = None
    links: Mapping[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether the call was carried out (2xx)."""
        return 200 <= self.status < 300

    @property
    def is_configured(self) -> bool:
        """False if no call was made, because the server is no longer in the configuration."""
        return self.status != 0 or self.code != NOT_CONFIGURED

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may succeed later: a configured server did not respond, or the status is 408, 425, 429
        or 5xx."""
        return self.is_configured and (self.status in {0, 408, 425, 429} or self.status >= 500)


def retry_at(headers: Mapping[str, str], now: Micros) -> Micros | None:
    """Return the time in `Retry-After`, by our clock, but at most an hour from `now`; None if the server does not say.

    Without the maximum, an action could wait for years because of a wrong header, or an effect would not be undone in time.
    Names in `headers` must be in lower case, unless the mapping ignores case.
    """
    wait = retry_after(headers, now)
    return None if wait is None else now + min(round(wait * SECOND), _LONGEST_PAUSE)


def okta_retry_at(status: int, headers: Mapping[str, str], now: Micros) -> Micros | None:
    """Return the time until which Okta refuses calls, by our clock; None if Okta does not say.

    The time is that of `Retry-After` or, after a 429, the end of the rate limit's window; at most an hour from `now`.
    """
    if (at := retry_at(headers, now)) is not None:
        return at
    ends = headers.get("x-rate-limit-reset", "")
    if status == 429 and ends.isdecimal() and len(ends) < 12:
        left = (int(ends) + 1) * SECOND - server_time(headers, now)
        return now + min(max(0, left), _LONGEST_PAUSE)
    return None


def unreadable(answer: Answer, what: str) -> Answer:
    """Return the answer that replaces a 2xx with an unexpected body, such as the page of a proxy. The answer counts as
    no response. `what` names the call."""
    text = f"the response to {what} cannot be read: it is not what Okta's API describes; a proxy may have sent it"
    return Answer(0, text=text, request_id=answer.request_id)


class OktaCall(Protocol):
    """One org's API. Sends each call once: the caller decides about retries."""

    async def ready(self, method: str, path: str) -> None:
        """Wait until the rate limit allows a call of `path`."""

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        """Send one call and return the answer. Raises nothing for an error of Okta or the network."""


class Okta(Protocol):
    """The APIs of all orgs."""

    def org(self, name: str) -> OktaCall | None:
        """Return the API of the org `name`; None if the configuration has no `api` for the org."""


class Seen(msgspec.Struct, frozen=True):
    """The state of an action's target, as a look-up found it.

    Attributes:
        answer: the answer to the look-up. If the answer is not `ok`, the other attributes have no meaning.
        state: what the action would change, in the form that the row stores: for example the user's status, or whether
            the user is a member of the group.
        is_so: whether the target is already in the state that the action would set.
        is_partly_so: whether only a part of the action's effect is there already. The call is needed for the rest.
        text: a note for an operator: why the state is set but has no effect, or what else has the same effect.
            Usually empty.
    """

    answer: Answer
    state: Any = None
    is_so: bool = False
    is_partly_so: bool = False
    text: str = ""

    @property
    def is_there(self) -> bool:
        """Whether there is anything to undo: `is_so` or `is_partly_so`."""
        return self.is_so or self.is_partly_so


class KnownRule(msgspec.Struct, frozen=True):
    """A loaded rule, with the fields that an entry of `reactions.on` can choose it by.

    Attributes:
        name: the short name by which `reactions.on` and other rules may refer to the rule; often empty.
        alerts: whether the rule alerts by itself; false if it only feeds a correlation.
    """

    id: str
    title: str
    level: str
    name: str = ""
    tags: Sequence[str] = ()
    alerts: bool = True
