"""The interfaces that reactions need from other packages. `reaction_runner/` implements them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from forwarder.core.action import Action
from forwarder.core.time import Micros

NOT_CONFIGURED = "not_configured"
"""`Answer.code` if no call was made, because the server is not in the configuration any more."""


class Answer(msgspec.Struct, frozen=True):
    """The result of one call. A refusal is an Answer too, not an exception, because it decides what happens next.

    Attributes:
        status: the HTTP status; 0 if there was no answer.
        body: decoded JSON, or None.
        headers: some of the response's headers, their names in lower case.
        code: Okta's `errorCode`, or the `error` of OAuth.
        text: for a person: what was refused, and what to do about it. For a 2xx it is usually empty, else it says what
            is not as expected.
        sent: whether the other side may have received the call, and carried it out.
        error_id, request_id: the ids that Okta gave to the error and to the request.
        again_at: another call before this time will be refused too; None if unknown.
        links: the addresses in the header Link, by `rel`.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    code: str = ""
    text: str = ""
    sent: bool = True
    error_id: str = ""
    request_id: str = ""
    again_at: Micros | None = None
    links: Mapping[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether the call was carried out (2xx)."""
        return 200 <= self.status < 300

    @property
    def is_configured(self) -> bool:
        """False if there was no call, because the configuration does not have the server any more."""
        return self.status != 0 or self.code != NOT_CONFIGURED

    @property
    def may_help_again(self) -> bool:
        """Whether the same call may succeed later: after 408, 425, 429, 5xx, or no answer from a configured server."""
        return self.is_configured and (self.status in {0, 408, 425, 429} or self.status >= 500)


class OktaCall(Protocol):
    """One org's API. Sends each call once: the caller decides about retries."""

    async def ready(self, method: str, path: str) -> None:
        """Wait until the rate limit allows a call of `path`."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """Send one call and return the answer. Raises nothing for an error of Okta or the network."""


class Okta(Protocol):
    """The orgs' APIs."""

    def org(self, name: str) -> OktaCall | None:
        """Return the API of the org `name`; None if the org has no API (any more)."""


class Seen(msgspec.Struct, frozen=True):
    """The result of a look at an action's target.

    Attributes:
        answer: the answer to the look-up; if it is not `ok`, nothing else is known.
        state: the state that the action would change, as the row stores it: a status, a membership, or an entry.
        is_so: whether the action would change nothing.
        is_partly_so: whether a part of the effect is there; the call is still needed.
        text: for a person: why an effect that is there does not work, or what else has this effect; usually empty.
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


class Looks(Protocol):
    """Looks at the target of an action, and changes nothing."""

    async def look(self, action: Action) -> Seen:
        """Return the state that the action would change. For an action that changes no state, `is_so` is
        false."""


class KnownRule(msgspec.Struct, frozen=True):
    """A loaded rule, with the fields by which an entry of `reactions.on` chooses it.

    Attributes:
        name: the short name by which others may refer to the rule; often empty.
        alerts: whether the rule alerts by itself; false if it only feeds a correlation.
    """

    id: str
    title: str
    level: str
    name: str = ""
    tags: Sequence[str] = ()
    alerts: bool = True
