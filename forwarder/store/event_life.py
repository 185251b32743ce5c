"""What `forwarder find` shows of an event: what the store knows about the event, and its place in the ledger of each sink."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from forwarder.core.time import Micros

FEW = 3
"""The most events that `forwarder find` shows in full, one below the other. It shows more events as a table."""


class Search(msgspec.Struct, frozen=True):
    """Which events to find: an event must match every given field.

    Attributes:
        uuid: Okta's id of the event.
        user: the id or the login of the event's actor; upper and lower case are the same.
        event_type: Okta's dotted name of the event's type; a `*` in it stands for any text.
        since: the earliest time of publication.
        until: the latest time of publication.
        limit: the most events to return. If more events match, the newest are returned.
    """

    uuid: str | None = None
    user: str | None = None
    event_type: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    org: str | None = None
    limit: int = 20


Place = Literal["delivered", "waiting", "dead", "discarded", "skipped", "filtered", "finished"]
"""Where an event is for a sink: a place of the ledger, or `finished` if the store knows only that the event neither waits
for the sink nor is a dead letter."""


class SinkLife(msgspec.Struct, frozen=True):
    """Where an event is for one sink.

    Attributes:
        at: when the event came to `place`; None if the event waits, or if the store does not know the time.
        detail: the reason why the sink rejected the event; empty if the event is not a dead letter.
        dead_letter: the id of the event's dead letter; None if the event is not a dead letter.
        replaying: whether the event waits because its dead letter is sent again.
        unattributed: the number of events, among those committed together with this one, that the sink rejected without
            saying which ones. This event may be one of them.
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
    """An alert that names an event as one of its causes. `uuid` is the uuid of the alert, `rule` is the rule's title."""

    uuid: str
    rule: str
    level: str


class ActionOf(msgspec.Struct, frozen=True):
    """An action that was planned because of an event, or because of an alert about the event.

    Attributes:
        id: the short id of the action.
        about: a text that says what the action does, and to whom.
        state: the state of the action, as a text.
    """

    id: str
    action: str
    about: str
    state: str


class Life(msgspec.Struct, frozen=True):
    """What the store knows about one event.

    Attributes:
        stored_at: when the event was stored, to the second; None if the store has forgotten the event's uuid.
        sinks: where the event is for each sink.
        seq: the event's number in the log; None once its body was dropped.
        event_type: the event's type; empty once its body was dropped.
        published: when the event happened, by Okta's clock; None once its body was dropped.
        received_at: when the event was received, by our clock; None once its body was dropped.
        source: `hook`, `log`, `backfill`, `alert` for an alert of a rule, or `action` for a report of a reaction's
            action; empty once the event's body was dropped.
        body: the event as received; None once it was dropped.
        hook_copies: the number of later copies of the event that the hook delivered.
        log_copies: the number of later copies of the event that came from the System Log.
        copied_at: when the last later copy came, to the second; None if none came.
        pending_since: when the event was read from the System Log, if the hook should have delivered the event and has
            not; else None.
        missed_at: when the event was marked as missed; None if it was not.
        alerts: the alerts that name the event. They are looked up only if a search finds at most `FEW` events.
        actions: the actions that the event or its alerts led to. They are looked up only when `alerts` are.
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
    """A malformed event whose text contains the uuid that is searched for. It is a dead letter of the receiver."""

    dead_letter: int
    org: str
    at: Micros
    detail: str


class SearchResult(msgspec.Struct, frozen=True):
    """The result of a search.

    Attributes:
        lives: the events that were found, newest first.
        more: whether more events match than `Search.limit` allows.
        malformed: the malformed events that may be the event searched for; always empty unless the search is by uuid.
        oldest: when the oldest event with a body was received; None if the store holds no bodies.
        cursors: for each org, by its name, how far its System Log was read, as the stored text of the cursor.
    """

    lives: Sequence[Life]
    more: bool
    malformed: Sequence[Malformed]
    oldest: Micros | None
    cursors: Mapping[str, str]
