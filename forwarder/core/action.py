"""An action: what a reaction does about an alert, as a row of the store. docs/reactions.md shows its way.

A row exists, fsynced, before anything leaves; whatever happens to the action is a change of its row.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from forwarder.core.ports import Batch
from forwarder.core.time import Micros


class Kind(StrEnum):
    """What it takes to be rid of an action's effect. Fixed in code: no configuration calls a revocation reversible."""

    QUIET = "quiet"
    """It reports. Limits do not count it, and it is never late. `user_risk` is one too: Okta's policies may act on the risk."""
    MENDING = "mending"
    """It cannot be undone; the user signs in again, or sets a new password."""
    TIMED = "timed"
    """It is undone when its time is over."""
    PROMPT = "prompt"
    """It asks the user, at most once."""


KINDS: Mapping[str, Kind] = {
    "notify": Kind.QUIET,
    "risk_event": Kind.QUIET,
    "user_risk": Kind.QUIET,
    "revoke_sessions": Kind.MENDING,
    "universal_logout": Kind.MENDING,
    "expire_password": Kind.MENDING,
    "add_to_group": Kind.TIMED,
    "suspend": Kind.TIMED,
    "block_ip": Kind.TIMED,
    "prompt": Kind.PROMPT,
}
"""Every action that there is. None that deactivates, deletes, or resets a password or a factor is offered."""

ASKS = frozenset({"suspend", "block_ip", "expire_password"})
"""Actions that a human approves, unless the rule says `approve: no`."""

OUTSIDE = frozenset({"notify", "risk_event"})
"""Actions whose call goes to the webhook or receiver named in `to`, not to the API of the org."""

WITHOUT_USER = frozenset({"notify", "block_ip"})
"""Actions that are not about a user."""


class State(StrEnum):
    """How far an action has come."""

    PLANNED = "planned"
    WAITING = "waiting"
    """`waits_for` says for what."""
    CALLING = "calling"
    """Its call may have been sent: stored before it is."""
    PROMPTING = "prompting"
    """The user is asked, and has not answered."""
    LIVE = "live"
    """Done; it will be undone at `undo_due`."""
    UNDOING = "undoing"
    """The call that undoes it may have been sent."""
    ENDED = "ended"


class Outcome(StrEnum):
    """What became of an action; the label `outcome` of its metric."""

    DONE = "done"
    ACCEPTED = "accepted"
    """The other side took it and will not say what it did."""
    NO_OP = "no_op"
    """It was so already."""
    REFUSED = "refused"
    """A guard refused it, or a human did: `reason`."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """A prompt that may or may not have been sent: it is never sent again."""
    SHADOW = "shadow"
    """Everything but the call was done."""


class Reason(StrEnum):
    """Why an action was refused or waits: the guards in their order, then what ends an action later."""

    OFF = "off"
    PAUSED = "paused"
    LATE = "late"
    OWN = "own"
    PROTECTED = "protected"
    ADDRESS = "address"
    STATE = "state"
    LIVE = "live"
    HOLD = "hold"
    UNCONFIRMED = "unconfirmed"
    LIMIT = "limit"
    APPROVAL = "approval"
    SHADOW = "shadow"
    TARGET = "target"
    """No target, several, or one that Okta does not know."""
    CONFIG = "config"
    """What the action needs is no longer configured."""


class End(StrEnum):
    """What became of the effect of a timed action."""

    UNDONE = "undone"
    NOT_OURS = "not_ours"
    """It was changed by others since, so it is left as it is."""


class Waits(StrEnum):
    """What a waiting action waits for; the label `for` of its metric."""

    APPROVAL = "approval"
    RETRY = "retry"
    CONFIRMATION = "confirmation"


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom or what an action is about.

    Attributes:
        kind: `user`, `ip`, or `alert` where it is about neither.
        id: Okta's id of the user, or the address.
        name: the user's login as the event says it; shown, never compared.
    """

    kind: str
    id: str
    name: str = ""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """The call of an action. It holds no secret: what authenticates it is added when it is sent.

    Attributes:
        to: the org of the call, or the name of the webhook or receiver.
        path: of Okta's API; empty for a webhook or receiver, whose URL is in the configuration.
    """

    to: str
    method: str
    path: str = ""
    body: Any = None


class Approval(msgspec.Struct, frozen=True, omit_defaults=True):
    """A human's decision about an action, or that one is needed.

    Attributes:
        until: until when it may be approved.
        why: why it is needed: `asks` (the action does), or the limit that it is over.
        by: who decided: the name of the ops token, or what a trusted proxy says.
        given: what was decided; None if nothing yet.
    """

    until: Micros
    why: str = "asks"
    by: str = ""
    at: Micros | None = None
    given: bool | None = None

    @property
    def limit(self) -> str:
        """The limit that the action is over; empty if none."""
        return "" if self.why == "asks" else self.why


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action about one alert.

    Attributes:
        key: what makes it the same action (`key_of`); unique.
        rule, title: of the alert's rule, its id and its title.
        alert: uuid of the alert.
        events: uuids of the alert's last events; the very last one completed it.
        published: when the last event happened; how late an action is counts from here.
        late: the alert is marked late: the event was old when it was received.
        made_by: by what the last event was made: the ids of its actor, of the API token and of the transaction.
        trigger: the type of the last event.
        name: the action, one of `KINDS`.
        settings: what the rule says of it: `for` in seconds, `group`, `by`, `to`, …
        mode: `shadow` or `enforce`, as it was planned.
        subject: the alert, as the store holds it, if the action needs more of it than its row; else empty.
        parent: the key of the prompt whose answer planned it; empty if the rule did.
        due: when to work on it next; None if only a human can move it, or it is ended.
        attempts: calls that failed and are repeated, since the last one that did not.
        before, after: the state of the target that the call was to change.
        answer: of a prompt: approved, denied, timeout, unreachable, unknown.
        handle: by which a prompt that was sent is polled. Shown and exported nowhere.
        detail: for a person: why, in one line, with what to do.
        request_id, error_id: Okta's, of its last response.
        undone_by: `time`, `protected`, or `hand:` with who; empty while it is live.
        undone_why: what who undid it by hand says, or why it is protected.
    """

    key: str
    org: str
    rule: str
    title: str
    alert: str
    events: Sequence[str]
    published: Micros
    kind: Kind
    name: str
    target: Target
    mode: str
    planned_at: Micros
    late: bool = False
    made_by: Sequence[str] = ()
    trigger: str = ""
    settings: Mapping[str, Any] = {}
    subject: bytes = b""
    parent: str = ""
    state: State = State.PLANNED
    outcome: Outcome | None = None
    reason: Reason | None = None
    waits_for: Waits | None = None
    due: Micros | None = None
    attempts: int = 0
    request: Request | None = None
    before: Any = None
    after: Any = None
    approval: Approval | None = None
    answer: str = ""
    handle: str = ""
    detail: str = ""
    request_id: str = ""
    error_id: str = ""
    called_at: Micros | None = None
    seen_at: Micros | None = None
    undo_due: Micros | None = None
    undone_at: Micros | None = None
    end: End | None = None
    undone_by: str = ""
    undone_why: str = ""

    @property
    def id(self) -> str:
        """Its short name for a person."""
        return self.key[:12]

    @property
    def follows_answer(self) -> bool:
        """Whether the answer to a prompt planned it; what is about an approval has a parent, too."""
        return bool(self.parent) and "about" not in self.settings

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen to it."""
        return self.state is not State.ENDED


def key_of(org: str, alert: str, name: str, target: Target, path: Sequence[str] = ()) -> str:
    """Return the key of an action: the same alert never has the same effect on the same target twice. `path` tells two
    actions of one name in one rule apart: by their group or receiver, or by the answer that leads to them."""
    named = msgspec.json.encode([org, alert, name, target.kind, target.id, *path])
    return sha256(named).hexdigest()


class Claim(msgspec.Struct, frozen=True):
    """What the store knows of an event that an alert names.

    Attributes:
        digest: of the copy that the store holds (`core.event_digest`); None if it is not known.
        logged: whether the System Log has shown that event; False if it showed another one under its uuid, None if it has
            shown none.
    """

    digest: bytes | None = None
    logged: bool | None = None


class ActionStore(Protocol):
    """The store as reactions use it. Each method raises StoreError if the store cannot be used."""

    async def load_actions(self, since: Micros) -> list[Action]:
        """Return every action that is not ended, and those that changed at `since` or later, oldest first."""

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        """Store the state of `actions`, append the batch's events and set its cursor, in one transaction. A row whose key
        the store has is replaced, but a PLANNED one never replaces another: return the keys of those left out.

        Raises:
            StoreError: it could not be committed. Nothing of it was, so it may be tried again.
        """

    async def cursor(self, name: str) -> str | None:
        """Return the last value stored under `name`."""

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        """Return what is known of each of these events that the store knows, whatever its first source was."""

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        """Return how many users' events came from `address` since then."""
