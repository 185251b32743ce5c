"""The life of one event, as `forwarder find` shows it: what the store knows about it, and where it is for each sink."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from forwarder.core.time import Micros

FEW = 3
"""Events that are shown one below the other, with all that is known; of more, only a table."""


class Search(msgspec.Struct, frozen=True):
    """Which events to find: those that match everything that is given.

    Attributes:
        uuid: Okta's id of the event.
        user: the actor's id or login, in any case.
        event_type: Okta's dotted name, with `*` for any part of it.
        since: published at this time or later.
        until: published at this time or earlier.
        org: the org's name.
        limit: the most events to return, the newest.
    """

    uuid: str | None = None
    user: str | None = None
    event_type: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    org: str | None = None
    limit: int = 20


Place = Literal["delivered", "waiting", "dead", "discarded", "skipped", "filtered", "finished"]
"""As in the ledger. `finished`: any but `waiting` and `dead`; the store no longer knows which."""


class SinkLife(msgspec.Struct, frozen=True):
    """Where an event is for one sink.

    Attributes:
        at: when it came there; None if it waits, or if the store does not know.
        detail: why the sink rejected it.
        dead_letter: its id; None if there is none.
        replaying: whether it waits as a dead letter that is sent again.
        unattributed: events of the same batch that the sink rejected without saying which.
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
    """An alert that a rule made of an event and perhaps of others; `uuid` finds the alert itself."""

    uuid: str
    rule: str
    level: str


class ActionOf(msgspec.Struct, frozen=True):
    """An action of a reaction that an event, or an alert about it, led to.

    Attributes:
        id: its short name.
        about: what it is and about whom, for a person.
        state: how far it has come, for a person.
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
        event_type: empty once its body was dropped, and with it the next five.
        source: `hook`, `log`, `backfill`, `alert` for an alert of a rule, or `action` for what a reaction did.
        body: as received; None once it was dropped.
        hook_copies: copies that came later by the hook; `log_copies` by the System Log.
        copied_at: when the last of them came, to the second.
        pending_since: when the System Log showed it, if the hook has not delivered it since.
        missed_at: when it was marked as missed, if it is.
        alerts: what rules made of it; looked up for a few events only.
        actions: what reactions made of it, or of its alerts; likewise.
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
    """A malformed event that has the uuid in its text: a dead letter of the receiver."""

    dead_letter: int
    org: str
    at: Micros
    detail: str


class Found(msgspec.Struct, frozen=True):
    """What a search found.

    Attributes:
        lives: the newest first.
        more: whether more events match than `Search.limit`.
        malformed: those that may be the event; only for a search by uuid.
        oldest: when the oldest event that has a body was received; None if there is none.
        cursors: how far each org's System Log was read, as the store keeps it.
    """

    lives: Sequence[Life]
    more: bool
    malformed: Sequence[Malformed]
    oldest: Micros | None
    cursors: Mapping[str, str]
