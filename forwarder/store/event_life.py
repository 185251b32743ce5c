"""The life of one event, as `forwarder find` shows it: what the store knows about it, and where it is for each sink."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from forwarder.core.time import Micros

FEW = 3
"""Up to so many events are shown in full, one below the other; more events are shown as a table."""


class Search(msgspec.Struct, frozen=True):
    """Which events to find: an event must match every given field.

    Attributes:
        uuid: Okta's id of the event.
        user: the actor's id or login, in any case.
        event_type: Okta's dotted name, with `*` for any part of it.
        since: the earliest time of publication.
        until: the latest time of publication.
        org: the org's name.
        limit: how many events to return at most; the newest are returned.
    """

    uuid: str | None = None
    user: str | None = None
    event_type: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    org: str | None = None
    limit: int = 20


Place = Literal["delivered", "waiting", "dead", "discarded", "skipped", "filtered", "finished"]
"""The places of the ledger, and `finished`: neither `waiting` nor `dead`, but the store does not know which place."""


class SinkLife(msgspec.Struct, frozen=True):
    """Where an event is for one sink.

    Attributes:
        at: when it came to `place`; None if it waits, or if the store does not know.
        detail: why the sink rejected it.
        dead_letter: the id of its dead letter; None if it has none.
        replaying: whether it waits because its dead letter is sent again.
        unattributed: how many events of the same batch the sink rejected without saying which.
        attached: whether the sink is configured.
    """

    sink: str
    place: Place
    at: Micros | None = None
    detail: str = ""
    dead_letter: int | None = None
    replaying: bool = False
    unattributed: int = 0
    attached: bool = True


class AlertOf(msgspec.Struct, frozen=True):
    """An alert that names an event. `uuid` is that of the alert, `rule` the title of the rule."""

    uuid: str
    rule: str
    level: str


class ActionOf(msgspec.Struct, frozen=True):
    """An action of a reaction that an event, or an alert about it, led to.

    Attributes:
        id: the short id of the action.
        action: the name of the action.
        about: what the action does and to whom, as text.
        state: how far the action has come, as text.
    """

    id: str
    action: str
    about: str
    state: str


class Life(msgspec.Struct, frozen=True):
    """What the store knows about one event.

    Attributes:
        stored_at: to the second; None if its uuid is forgotten.
        seq: its number in the log; None once its body was dropped.
        event_type: empty once its body was dropped; so is `source`, and `published` and `received_at` are
            None.
        source: `hook`, `log`, `backfill`, `alert` for an alert of a rule, or `action` for what a reaction did.
        body: as received; None once it was dropped.
        hook_copies: further copies that came by the hook; `log_copies`: by the System Log.
        copied_at: when the last of these copies came, to the second.
        pending_since: when the System Log showed it, if the hook should have delivered it and has not.
        missed_at: when it was marked as missed, if it was.
        alerts: the alerts that name it; looked up only if at most `FEW` events are found.
        actions: the actions that it or its alerts led to; looked up only when `alerts` is.
    """

    org: str
    uuid: str
    stored_at: Micros | None
    sinks: Sequence[SinkLife]
    seq: int | None = None
    event_type: str = ""
    published: Micros | None = None
    received_at: Micros | None = None
    source: str = ""
    body: bytes | None = None
    hook_copies: int = 0
    log_copies: int = 0
    copied_at: Micros | None = None
    pending_since: Micros | None = None
    missed_at: Micros | None = None
    alerts: Sequence[AlertOf] = ()
    actions: Sequence[ActionOf] = ()


class Malformed(msgspec.Struct, frozen=True):
    """A malformed event with the searched uuid in its text. It is a dead letter of the receiver."""

    dead_letter: int
    org: str
    at: Micros
    detail: str


class SearchResult(msgspec.Struct, frozen=True):
    """The result of a search.

    Attributes:
        lives: the events, newest first.
        more: whether more events match than `Search.limit`.
        malformed: malformed events that may be the searched event; only for a search by uuid.
        oldest: when the oldest event with a body was received; None if the store holds no bodies.
        cursors: by org, how far its System Log was read: the stored text of the cursor.
    """

    lives: Sequence[Life]
    more: bool
    malformed: Sequence[Malformed]
    oldest: Micros | None
    cursors: Mapping[str, str]
