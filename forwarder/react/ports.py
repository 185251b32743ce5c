"""What reactions need of the other rooms. `reactions/` joins them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from forwarder.core.action import Action
from forwarder.core.time import Micros

NOT_CONFIGURED = "not_configured"
"""`Answer.code` of what no call was made for: its server is not in the configuration any more."""


class Answer(msgspec.Struct, frozen=True):
    """What became of one call. A refusal is an answer, no exception: what happens next depends on it.

    Attributes:
        status: the HTTP status; 0 if there was no answer.
        body: decoded JSON, or None.
        headers: in lower case; only some.
        code: Okta's `errorCode`, or the `error` of OAuth.
        text: for a person: what was refused, with what to do about it; for a 2xx what is not as one would expect, mostly empty.
        sent: whether the other side may have received the call, and carried it out.
        error_id, request_id: Okta's.
        again_at: before this, another call will be refused too; None if that is not known.
        links: address by `rel`.
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
        """Whether it was carried out."""
        return 200 <= self.status < 300

    @property
    def is_configured(self) -> bool:
        """False if the configuration does not have the server any more, so that there was no call."""
        return self.status != 0 or self.code != NOT_CONFIGURED

    @property
    def may_help_again(self) -> bool:
        """Whether the same call may succeed later: 408, 425, 429, 5xx, or no answer of a server that is configured."""
        return self.is_configured and (self.status in {0, 408, 425, 429} or self.status >= 500)


class OktaCall(Protocol):
    """One org's API. It sends each call once: reactions decide themselves what is repeated, and when."""

    async def ready(self, method: str, path: str) -> None:
        """Return when the rate limit allows such a call. Guards run after this, right before the call."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """Send one call. Never raises for what the other side does."""


class Okta(Protocol):
    """The orgs' APIs."""

    def org(self, name: str) -> OktaCall | None:
        """Return the API of an org; None if it has none (any more)."""


class Seen(msgspec.Struct, frozen=True):
    """What a look at an action's target found.

    Attributes:
        answer: of the look-up; if it is not `ok`, nothing else is known.
        state: what the action would change, for the row: a status, a membership, an entry.
        is_so: the action would change nothing.
        is_partly_so: part of its effect is there, so the call is needed all the same.
        text: for a person: what to do so that the effect counts.
    """

    answer: Answer
    state: Any = None
    is_so: bool = False
    is_partly_so: bool = False
    text: str = ""

    @property
    def is_there(self) -> bool:
        """Whether there is anything to undo."""
        return self.is_so or self.is_partly_so


class Looks(Protocol):
    """Looks at the target of an action, and changes nothing."""

    async def look(self, action: Action) -> Seen:
        """Ask for the state that the action would change. An action that changes no state is never so already."""


class KnownRule(msgspec.Struct, frozen=True):
    """A rule that is loaded, as reactions choose it.

    Attributes:
        name: often empty.
        alerts: whether it alerts by itself, and does not only feed a correlation.
    """

    id: str
    title: str
    level: str
    name: str = ""
    tags: Sequence[str] = ()
    alerts: bool = True
