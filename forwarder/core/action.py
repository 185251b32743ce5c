"""An action: a call that a reaction makes because of an alert. docs/reactions.md shows the states of an action.

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
    """How the effect of an action ends. The kind is fixed in the code, because no configuration can make an action
    reversible."""

    QUIET = "quiet"
    """The action only reports something. No limit counts it, and the age of the event does not matter. `user_risk` has
    this kind too, although Okta's policies may act on the risk."""
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
"""All actions. None of them deletes or deactivates a user, or resets a password or a factor."""

ASKS = frozenset({"suspend", "block_ip", "expire_password"})
"""Actions that need an operator's approval, unless the rule says `approve: no`."""

OUTSIDE = frozenset({"notify", "risk_event"})
"""Actions that call the webhook or receiver named in `to`, not the API of the org."""

WITHOUT_USER = frozenset({"notify", "block_ip"})
"""Actions that are not about a user."""


class ActionState(StrEnum):
    """The state of an action."""

    PLANNED = "planned"
    WAITING = "waiting"
    """The action waits for what `waits_for` says."""
    CALLING = "calling"
    """It is not known whether the call was sent, because this state is stored before the call is sent."""
    PROMPTING = "prompting"
    """The user was asked, and has not answered yet."""
    LIVE = "live"
    """The action was done, and will be undone at `undo_due`."""
    UNDOING = "undoing"
    """It is not known whether the call that undoes the action was sent."""
    ENDED = "ended"


class Outcome(StrEnum):
    """The result of an action; the label `outcome` of its metric."""

    DONE = "done"
    ACCEPTED = "accepted"
    """Okta, the webhook or the receiver accepted the call, but does not report its effect."""
    NO_OP = "no_op"
    """The target was already in the wanted state."""
    REFUSED = "refused"
    """A guard or an operator refused the action. `reason` says why."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It is not known whether the prompt was sent. The prompt is never sent again."""
    SHADOW = "shadow"
    """The action was in shadow mode: everything was done except the call."""


class Reason(StrEnum):
    """Why an action was refused or waits. First come the reasons of the guards, in the guards' order, then other
    reasons."""

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
    """How the effect of a timed action ended."""

    UNDONE = "undone"
    NOT_OURS = "not_ours"
    """Someone else changed the target in the meantime, so the forwarder did not change it back."""


class Waits(StrEnum):
    """What a waiting action waits for; the label `for` of its metric."""

    APPROVAL = "approval"
    RETRY = "retry"
    CONFIRMATION = "confirmation"


class ActionTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """The target of an action.

    Attributes:
        kind: `user`, `ip`, or `alert` if the target is neither a user nor an IP address.
        id: Okta's ID of the user, or the IP address.
        name: the user's login in the event; only for display.
    """

    kind: str
    id: str
    name: str = ""


class ActionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The HTTP request of an action. It contains no secret, because credentials are added when the request is sent.

    Attributes:
        to: the name of the org, the webhook or the receiver.
        path: the path in Okta's API. It is empty for a webhook or a receiver, because the configuration has their URLs.
    """

    to: str
    method: str
    path: str = ""
    body: Any = None


class Approval(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operator's decision about an action, or the need for such a decision.

    Attributes:
        until: the time until which the action can be approved.
        why: why a decision is needed: `asks` if actions with this name need one, else the limit that the action
            exceeds.
        by: who decided: the name of the ops token, or the user that a trusted proxy names.
        at: when the operator decided; None if there is no decision yet.
        given: True if the action was approved, False if it was denied; None if there is no decision yet.
    """

    until: Micros
    why: str = "asks"
    by: str = ""
    at: Micros | None = None
    given: bool | None = None

    @property
    def limit(self) -> str:
        """The limit that the action exceeds; empty if it exceeds none."""
        return "" if self.why == "asks" else self.why


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action about one alert.

    Attributes:
        key: the unique key of the action (see `key_of`).
        rule, title: the ID and the title of the alert's rule.
        alert: the uuid of the alert.
        events: the uuids of the alert's last events. The last of them completed the alert.
        published: when the last event happened. If this was too long ago, the action is late.
        late: whether the alert is marked as late: its event was already old when the forwarder received it.
        made_by: what caused the last event: the IDs of its actor, of the API token and of the transaction.
        trigger: the type of the last event.
        name: the name of the action, one of `KINDS`.
        settings: the settings of the action in the rule: `for` (in seconds), `group`, `by`, `to`, …
        mode: the mode in which the action was planned: `shadow` or `enforce`.
        subject: the body of the alert, if the action needs more of the alert than this row has; else empty.
        parent: the key of the prompt whose answer planned this action; empty if the rule planned it.
        due: when to process the action next; None if it has ended, or waits for an operator.
        attempts: the number of tries that have failed since the last success.
        before, after: the state of the target before and after the call.
        answer: the answer to a prompt: approved, denied, timeout, unreachable or unknown.
        handle: the handle with which the answer to a prompt is polled. It is secret: never shown or exported.
        detail: one line for an operator: why the action is in its state, and what to do.
        request_id, error_id: IDs of Okta's last response, by which Okta's support can find it.
        undone_by: what undid the action: `time`, `protected`, or `hand:` with a person's name; empty if it was not
            undone.
        undone_why: the reason that the person gave, or why the target is protected.
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
        """Whether the answer to a prompt planned this action. A notification about an approval also has a parent, but
        does not count."""
        return bool(self.parent) and "about" not in self.settings

    @property
    def is_open(self) -> bool:
        """Whether the action has not ended yet."""
        return self.state is not ActionState.ENDED


def key_of(org: str, alert: str, name: str, target: ActionTarget, path: Sequence[str] = ()) -> str:
    """Return the key of an action. The store has one action for each key, so one alert never has the same effect on the
    same target twice.

    If a rule has two actions with the same name, `path` distinguishes them: it has the group or receiver of the action,
    or the answer to a prompt that leads to the action.
    """
    named = msgspec.json.encode([org, alert, name, target.kind, target.id, *path])
    return sha256(named).hexdigest()


class Claim(msgspec.Struct, frozen=True):
    """What the store knows about an event that an alert names.

    Attributes:
        digest: the digest of the event's first copy (`core.event.digest`); None if it is not known.
        logged: True if the System Log has shown the event, False if it has shown another event with the same uuid, None
            if it has shown neither.
    """

    digest: bytes | None = None
    logged: bool | None = None


class ClaimReader(Protocol):
    """The part of the store that the guards read. Each method raises StoreError if the store cannot be used."""

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        """Return what the store knows about the events `uuids` of `org`, by uuid. Events that the store does not know
        are left out."""

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        """Return the number of users of `org` that had a successful event from the IP address at `since` or later."""


class ActionStore(ClaimReader, Protocol):
    """The part of the store that reactions use. Each method raises StoreError if the store cannot be used."""

    async def load_actions(self, since: Micros) -> list[Action]:
        """Return all open actions, and the ended actions that changed at `since` or later, oldest first."""

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        """Store `actions`, append the events of `batch` and set its cursor, in one transaction.

        An action replaces the stored action with the same key. Exception: a PLANNED action is not stored if its key is
        stored already. Return the keys of the actions that were not stored.

        Raises:
            StoreError: the commit failed or cannot be confirmed. The call may be repeated; PLANNED actions that were
                committed the first time are then not stored again.
        """

    async def cursor(self, name: str) -> str | None:
        """Return the last value that was stored for the cursor `name`; None if there is none."""
