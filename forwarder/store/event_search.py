"""A search of `forwarder find`, and its result: what the store knows about each event, and the place of the event for
each sink, such as `delivered` or `waiting`."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from forwarder.core.time import Micros

MAX_DETAILED = 3
"""The most events that `forwarder find` shows with all details. If it finds more events, it shows them as a table."""


class Search(msgspec.Struct, frozen=True):
    """A search for events. An event matches if it matches every field that is not None.

    Attributes:
        uuid: Okta's id of the event.
        user: the id or the login of the event's actor; upper and lower case are equal.
        event_type: Okta's dotted name of the event's type; a `*` in it stands for any text.
        since: the earliest time at which the event may have happened, by Okta's clock.
        until: the latest time at which the event may have happened, by Okta's clock.
        org: the name of the event's org.
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
"""Where an event is for a sink: a place of the ledger, or `finished`. `finished` means that the event neither waits for
the sink nor is a dead letter, and that the store does not know more."""


class SinkLife(msgspec.Struct, frozen=True):
    """The place of an event for the sink named `sink`: where the event is in the delivery, such as `delivered` or
    `waiting`.

    Attributes:
        at: when the event got to `place`; None if the event waits, or if the store does not know the time.
        detail: why the sink rejected the event; empty if the event has no dead letter.
        dead_letter: the id of the event's dead letter; None if the event has no dead letter.
        replaying: whether the event waits because its dead letter is sent again.
        unattributed: a number of events that the sink rejected without saying which events. They are among the events
            whose results were committed together with the result of this event, so this event may be one of them.
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


class RelatedAlert(msgspec.Struct, frozen=True):
    """An alert that names the searched event as one of its causes.

    Attributes:
        uuid: the uuid of the alert.
        rule: the title of the rule that raised the alert.
        level: the level of the rule that raised the alert.
    """

    uuid: str
    rule: str
    level: str


class RelatedAction(msgspec.Struct, frozen=True):
    """An action that was planned because of the searched event, or because of an alert about this event.

    Attributes:
        id: the short id of the action.
        action: the name of the action, as in the configuration of reactions.
        about: a text that says what the action does, and to whom.
        state: a text that says what happened to the action.
    """

    id: str
    action: str
    about: str
    state: str


class Life(msgspec.Struct, frozen=True):
    """What the store knows about one event.

    Attributes:
        stored_at: when the event was stored, to the second; None if the store no longer has the event's uuid.
        sinks: the place of the event (such as `delivered`) for each sink.
        seq: the event's number in the log; None if its body was dropped.
        event_type: the event's type; empty if its body was dropped.
        published: when the event happened, by Okta's clock; None if its body was dropped.
        received_at: when the event was received, by our clock; None if its body was dropped.
        source: `hook`; `log` or `backfill` for an event from the System Log; `alert` for an alert of a rule; `action`
            for an event that reports an action. Empty if the event's body was dropped.
        body: the event's JSON as received; None if it was dropped.
        hook_copies: the number of copies of the event that the hook delivered after the event was stored.
        log_copies: the number of copies of the event that came from the System Log after the event was stored.
        copied_at: when the last copy came from the hook or from the System Log, to the second; None if no copy came.
        pending_since: when the event was read from the System Log, if our hook should have delivered the event but has
            not delivered it; otherwise None.
        missed_at: when the event was marked as missed (not delivered by our hook in time); None if the event was not
            marked.
        alerts: the alerts that name the event. Always empty if the search found more than `MAX_DETAILED` events.
        actions: the actions that the event or its alerts led to. Always empty if the search found more than
            `MAX_DETAILED` events.
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
    alerts: Sequence[RelatedAlert] = ()
    actions: Sequence[RelatedAction] = ()


class Malformed(msgspec.Struct, frozen=True):
    """A malformed event whose text contains the searched uuid.

    Attributes:
        dead_letter: the id of its dead letter.
        at: when the malformed event was received, or when it was last replayed without success.
        detail: why it is not an event.
    """

    dead_letter: int
    org: str
    at: Micros
    detail: str


class SearchResult(msgspec.Struct, frozen=True):
    """The result of a search.

    Attributes:
        lives: the found events, newest first.
        more: whether more events match than `Search.limit` allows.
        malformed: malformed events, one of which may be the event that was searched for; always empty if the search is
            not by uuid.
        oldest: when the oldest event with a body was received; None if the store holds no bodies.
        cursors: the stored cursor of each org's System Log, by the name of the org. A cursor says how far the log was
            read.
    """

    lives: Sequence[Life]
    more: bool
    malformed: Sequence[Malformed]
    oldest: Micros | None
    cursors: Mapping[str, str]
