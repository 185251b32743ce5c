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
        status: the HTTP status; 0 if there was no response.
        body: decoded JSON, or None.
        code: Okta's `errorCode`, or the field `error` of an OAuth response; empty if there is none.
        text: for an operator: what was refused, and what to do. After a 2xx, the text is empty, or names something
            unexpected.
        sent: False if the call certainly did not reach the server; True if it reached the server or may have reached
            it.
        error_id, request_id: the ids that Okta gave to the error and to the request.
        retry_at: the server refuses calls until this time, at most an hour from now; None if the server does not say.
        links: the URLs in the `Link` header of the response, by the value of `rel`.
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
        """False if no call was made, because the webhook or the receiver is no longer in the configuration. True for an
        org whose `api` is no longer configured: such a call is tried again."""
        return self.status != 0 or self.code != NOT_CONFIGURED

    @property
    def is_retryable(self) -> bool:
        """Whether the call may succeed if it is sent again later: a configured server did not respond, or the status is
        408, 425, 429 or 5xx."""
        return self.is_configured and (self.status in {0, 408, 425, 429} or self.status >= 500)


def retry_at(headers: Mapping[str, str], now: Micros) -> Micros | None:
    """Return the time in the header `Retry-After`, by the forwarder's clock, but at most an hour from `now`; None if
    the header does not name a usable time.

    The maximum is needed because a wrong header could otherwise delay an action or an undo for years. The names in
    `headers` must be in lower case, unless the mapping ignores case.
    """
    wait = retry_after(headers, now)
    return None if wait is None else now + min(round(wait * SECOND), _LONGEST_PAUSE)


def okta_retry_at(status: int, headers: Mapping[str, str], now: Micros) -> Micros | None:
    """Return the time until which Okta refuses calls, by the forwarder's clock; None if Okta does not name a time.

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
    """Return an answer to use in place of `answer`, a 2xx with an unexpected body, such as the page of a proxy. The
    returned answer counts as no response. `what` names the call."""
    text = f"the response to {what} cannot be read: it is not what Okta's API describes; a proxy may have sent it"
    return Answer(0, text=text, request_id=answer.request_id)


class OktaCall(Protocol):
    """The API of one org. Each call is sent only once: the caller decides about retries."""

    async def ready(self, method: str, path: str) -> None:
        """Wait until the rate limit allows a call of `path`."""

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        """Send one call and return the answer. An error of Okta or the network is also an answer, not an exception."""


class Okta(Protocol):
    """The APIs of all orgs."""

    def org(self, name: str) -> OktaCall | None:
        """Return the API of the org `name`; None if the configuration has no `api` for the org."""


class Seen(msgspec.Struct, frozen=True):
    """The state of an action's target, as a look-up found it.

    Attributes:
        answer: the answer to the look-up. If the answer is not `ok`, the other attributes have no meaning.
        state: the part of the target that the action would change, in the form that is stored with the action: for
            example the user's status, or whether the user is a member of the group.
        is_so: whether the target is already in the state that the action would set.
        is_partly_so: whether the target already has a part of the action's effect, but not all of it. The call is
            needed for the rest of the effect.
        text: a note for an operator: why the state is set but has no effect, or what else in Okta also has the effect
            of the action. Usually empty.
    """

    answer: Answer
    state: Any = None
    is_so: bool = False
    is_partly_so: bool = False
    text: str = ""

    @property
    def is_there(self) -> bool:
        """Whether there is an effect to undo, complete or partial: `is_so` or `is_partly_so`."""
        return self.is_so or self.is_partly_so


class KnownRule(msgspec.Struct, frozen=True):
    """A loaded rule, with the fields that an entry of `reactions.on` can choose it by.

    Attributes:
        name: the short name by which `reactions.on` and other rules may refer to the rule; often empty.
        alerts: whether the rule alerts by itself; false if its matches are only counted by a correlation.
    """

    id: str
    title: str
    level: str
    name: str = ""
    tags: Sequence[str] = ()
    alerts: bool = True
