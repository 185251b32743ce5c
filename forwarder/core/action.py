"""Defines an action: a call, for example to Okta's API, that a reaction (a configured answer to alerts) makes because
of an alert. docs/reactions.md shows the states of an action.

Each action is a row in the store. The row is on disk (fsynced) before the call is sent, and every later change of the
action is written to the row.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from forwarder.core.ports import Batch
from forwarder.core.time import Micros


class EffectKind(StrEnum):
    """The way in which the effect of an action ends. The kind of each action is fixed in the code, because no
    configuration can make an action reversible."""

    QUIET = "quiet"
    """The action only reports something. No limit counts such an action, and the age of the event does not matter.
    `user_risk` has this kind too, although Okta's policies may act on the risk."""
    MENDING = "mending"
    """The action cannot be undone. Its effect ends when the user signs in again or sets a new password."""
    TIMED = "timed"
    """The action is undone after the time that the rule sets."""
    PROMPT = "prompt"
    """The action asks the user for an answer, at most once."""


KINDS: Mapping[str, EffectKind] = {
    "notify": EffectKind.QUIET,
    "risk_event": EffectKind.QUIET,
    "user_risk": EffectKind.QUIET,
    "revoke_sessions": EffectKind.MENDING,
    "universal_logout": EffectKind.MENDING,
    "expire_password": EffectKind.MENDING,
    "add_to_group": EffectKind.TIMED,
    "suspend": EffectKind.TIMED,
    "block_ip": EffectKind.TIMED,
    "prompt": EffectKind.PROMPT,
}
"""The kind of each action, by name. No action deletes or deactivates a user, or resets a password or a factor."""

ASKS = frozenset({"suspend", "block_ip", "expire_password"})
"""The names of the actions that need an operator's approval, unless the rule says `approve: no`."""

OUTSIDE = frozenset({"notify", "risk_event"})
"""The names of the actions that call the webhook or receiver that `to` names, not the API of the org."""

WITHOUT_USER = frozenset({"notify", "block_ip"})
"""The names of the actions whose target is not a user."""


class ActionState(StrEnum):
    """The state of an action."""

    PLANNED = "planned"
    WAITING = "waiting"
    """The action waits. The action's `waits_for` says for what."""
    CALLING = "calling"
    """The call may have been sent: the forwarder stores this state before it sends the call."""
    PROMPTING = "prompting"
    """The user was asked, and has not answered yet."""
    LIVE = "live"
    """The action was done, and will be undone at `undo_due`."""
    UNDOING = "undoing"
    """The call that undoes the action may have been sent: the forwarder stores this state before it sends the call."""
    ENDED = "ended"


class Outcome(StrEnum):
    """The result of an action. Each value is also a value of the label `outcome` of a metric."""

    DONE = "done"
    ACCEPTED = "accepted"
    """Okta, the webhook or the receiver accepted the call, but does not report its effect."""
    NO_OP = "no_op"
    """The target was already in the wanted state."""
    REFUSED = "refused"
    """A guard or an operator refused the action. The action's `reason` says why."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It is unknown whether the prompt was sent. The prompt is never sent again, because a user must not be asked
    twice."""
    SHADOW = "shadow"
    """The action was in shadow mode: the forwarder did everything except the call."""


class Reason(StrEnum):
    """The reason why an action was refused or waits. The reasons of the guards (the checks that an action must pass)
    come first, in the order in which the guards run. The other reasons follow."""

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
    """The action has no target or several targets, or Okta does not know the target."""
    CONFIG = "config"
    """Something that the action needs, such as its receiver, is no longer configured."""


class End(StrEnum):
    """The way in which the effect of a timed action ended."""

    UNDONE = "undone"
    NOT_OURS = "not_ours"
    """Someone else changed the target after the action, so the forwarder did not undo the action."""


class Waits(StrEnum):
    """What a waiting action waits for. Each value is also a value of the label `for` of a metric."""

    APPROVAL = "approval"
    RETRY = "retry"
    CONFIRMATION = "confirmation"


class ActionTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """The target of an action.

    Attributes:
        kind: `user`, `ip`, or `alert` if the action has neither a user nor an IP address as its target.
        id: Okta's ID of the user, or the IP address.
        name: the user's login in the event, only for display; empty if the target is not a user.
    """

    kind: str
    id: str
    name: str = ""


class ActionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The HTTP request of an action. It contains no secret, because credentials are added when the request is sent.

    Attributes:
        to: the name of the org, the webhook or the receiver.
        method: the HTTP method.
        path: the path in Okta's API. For a webhook or a receiver, the path is empty, because the configuration has the
            URL.
        body: the JSON value of the body; None if the request has no body.
    """

    to: str
    method: str
    path: str = ""
    body: Any = None


class Approval(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operator's decision about an action, or the request for such a decision.

    Attributes:
        until: the time until which an operator can approve the action.
        why: why the action needs a decision: `asks` if the entry or the name of the action always requires a
            decision, else the name of the limit that the action exceeds.
        by: who decided: the name of the ops token, or the user that a trusted proxy names; empty if no operator has
            decided yet.
        at: when the operator decided; None if no operator has decided yet.
        given: True if the operator approved the action, False if the operator denied the action; None if no operator
            has decided yet.
    """

    until: Micros
    why: str = "asks"
    by: str = ""
    at: Micros | None = None
    given: bool | None = None

    @property
    def limit(self) -> str:
        """The name of the limit that the action exceeds; empty if the action exceeds no limit."""
        return "" if self.why == "asks" else self.why


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action about one alert.

    Attributes:
        key: the unique key of the action (see `key_of`).
        rule, title: the ID and the title of the alert's rule.
        alert: the uuid of the alert.
        events: the uuids of the alert's last events. The last of these events completed the alert.
        published: when the last of `events` happened. The deadline of an action that needs no approval counts from this
            time, unless the action is of the kind `quiet`.
        late: whether the alert is marked as late, because the event that completed the alert was already old when the
            forwarder received the event.
        made_by: the IDs of the actor, the API token and the transaction of the last of `events`.
        trigger: the event type of the last of `events`.
        name: the name of the action, one of `KINDS`.
        settings: the settings of the action in the rule: `for` (in seconds), `group`, `by`, `to`, …
        mode: the mode in which the action was planned: `shadow` or `enforce`.
        subject: the body of the alert, if the action needs more of the alert than this row has; else empty.
        parent: the key of the prompt (an action that asks a user a question) whose answer led to this action. For a
            notification about an approval: the key of the action that needs the approval. Else empty.
        due: when the action must be processed next; None if the action has ended or waits for an operator.
        attempts: the number of tries that have failed since the last success.
        before, after: the state of the target before and after the call.
        answer: the answer to a prompt: approved, denied, timeout, unreachable or unknown.
        handle: the handle with which the forwarder polls the answer to a prompt. The handle is secret: it is never
            shown or exported.
        detail: one line for an operator: why the action is in its state, and what to do.
        request_id, error_id: IDs of Okta's last response, by which Okta's support can find the response.
        called_at: when the forwarder began to send the call; None if no call was sent.
        undo_due: when the action will be undone; None if the action is not undone by time.
        undone_by: what undid the action: `time`, `protected`, or `hand:` with a person's name; empty if the action was
            not undone.
        undone_why: the reason that the person gave, or the reason why the target is protected.
    """

    key: str
    org: str
    rule: str
    title: str
    alert: str
    events: Sequence[str]
    published: Micros
    kind: EffectKind
    name: str
    target: ActionTarget
    mode: str
    planned_at: Micros
    late: bool = False
    made_by: Sequence[str] = ()
    trigger: str = ""
    settings: Mapping[str, Any] = {}
    subject: bytes = b""
    parent: str = ""
    state: ActionState = ActionState.PLANNED
    outcome: Outcome | None = None
    reason: Reason | None = None
    waits_for: Waits | None = None
    due: Micros | None = None
    attempts: int = 0
    request: ActionRequest | None = None
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
        """The short ID for display: the first 12 characters of `key`."""
        return self.key[:12]

    @property
    def follows_answer(self) -> bool:
        """Whether the answer to a prompt led to this action. False for a notification about an approval, although a
        notification about an approval has a `parent` too."""
        return bool(self.parent) and not self.is_about_approval

    @property
    def is_about_approval(self) -> bool:
        """Whether the action is a notification that another action waits for an approval."""
        return "approve" in self.settings.get("about", ())

    @property
    def is_open(self) -> bool:
        """Whether the action has not ended yet."""
        return self.state is not ActionState.ENDED


def key_of(org: str, alert: str, name: str, target: ActionTarget, path: Sequence[str] = ()) -> str:
    """Return the key of an action, which is a hash of the parameters. The store has at most one action for each key, so
    one alert never has the same effect on the same target twice.

    If a rule has two actions with the same name, `path` distinguishes them. `path` has the group or the receiver of the
    action, or the answer to a prompt that leads to the action.
    """
    named = msgspec.json.encode([org, alert, name, target.kind, target.id, *path])
    return sha256(named).hexdigest()


class Claim(msgspec.Struct, frozen=True):
    """The facts in the store that confirm or contradict an event that an alert names.

    Attributes:
        digest: the digest of the event's first copy (`core.event.digest`); None if the store does not have the digest.
        logged: True if the event came from the System Log, False if a different event with the same uuid came from the
            System Log, None if no event with this uuid came from the System Log yet.
    """

    digest: bytes | None = None
    logged: bool | None = None


class ClaimReader(Protocol):
    """The methods of the store that the guards (the checks before an action) use. Each method raises StoreError if the
    store cannot be used."""

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        """Return a `Claim` for each of the events `uuids` of `org`, by uuid. The result has no entry for an event that
        the store does not know."""

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        """Return the number of users of `org` that have an event with a successful outcome from the IP address
        `address` at the time `since` or later."""


class ActionStore(ClaimReader, Protocol):
    """The methods of the store that reactions use. Each method raises StoreError if the store cannot be used."""

    async def load_actions(self, since: Micros) -> list[Action]:
        """Return all open actions, and the ended actions that changed at the time `since` or later, oldest first."""

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        """Store `actions`, append the events of `batch` and set the cursor of `batch`, in one transaction.

        An action replaces the stored action with the same key. Exception: an action in the state PLANNED is not stored
        if the store already has an action with the same key. Return the keys of the actions that were not stored.

        Raises:
            StoreError: the commit failed, or it is unknown whether the commit succeeded. The call may be repeated: if
                the first call has committed the PLANNED actions, the second call does not store these actions again.
        """

    async def cursor(self, name: str) -> str | None:
        """Return the last value that was stored for the cursor `name`; None if no value was stored."""
