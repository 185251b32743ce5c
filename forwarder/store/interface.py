"""The interfaces (protocols) of a store engine, and the functions that open the engine. The only engine is SQLite."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from forwarder.core.action import Action, ActionStore
from forwarder.core.event import StoredEvent
from forwarder.core.ports import Appended, Batch, Clock, DeadLetterSelection, EventLog, EventStore, Start
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import Backup, OnProgress
from forwarder.store.dead_letters import DeadLetter
from forwarder.store.event_search import Search, SearchResult
from forwarder.store.gaps import Gaps
from forwarder.store.ledger import Ledger
from forwarder.store.redelivery import Accepts, Range, RedeliveryCheckpoint, RedeliveryPlan
from forwarder.store.rule_counts import NONE, HeldBack, RuleCounts
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.operator_commands import SqliteCommands
from forwarder.store.sqlite.store import SqliteStore


class StoreView(Protocol):
    """The methods with which the status page, the rules and the reactions read the store of a running forwarder.

    Each method that reads the store raises StoreError if the store cannot be read.
    """

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if no event was ever stored."""

    async def wait(self, after: int) -> None:
        """Wait until an event with `seq > after` is stored. May return too early, so the caller must check `newest`."""

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.read`."""

    async def received_since(self, at: Micros) -> int:
        """See `StoreCommands.received_since`."""

    async def dead_letters(self, which: DeadLetterSelection, *, limit: int) -> Sequence[DeadLetter]:
        """See `StoreCommands.dead_letters`."""

    async def count_dead_letters(self, which: DeadLetterSelection) -> Mapping[tuple[str, str], int]:
        """See `StoreCommands.count_dead_letters`."""

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """See `StoreCommands.dead_letter`."""

    async def gaps(self, *, limit: int) -> Gaps:
        """See `StoreCommands.gaps`. The result is for all orgs."""

    async def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """See `StoreCommands.rule_counts`."""


class Tail(Protocol):
    """An open connection that reads the events of a store, while a forwarder in another process may write to the store.

    The methods block, and raise StoreError if the store cannot be read.
    """

    def seq_range(self) -> tuple[int, int]:
        """Return (the `seq` of the oldest event whose body the store holds, the `seq` of the newest event).

        If the store holds no bodies, return an empty range: the first number is the second number plus one.
        """

    def received_since(self, at: Micros) -> int:
        """See `StoreCommands.received_since`."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.read`."""


class SightingReader(Protocol):
    """The methods that read sightings. A sighting is the record that a user was seen with a value, such as a country."""

    async def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """Return all sightings of the users of `org` whose ids in Okta are in `users`.

        Raises:
            StoreError: the store cannot be read.
        """


class Store(EventStore, SightingReader, ActionStore, Protocol):
    """The store of one running forwarder, used on its event loop."""

    @property
    def view(self) -> StoreView:
        """The part of the store that the status page, its API, the rules and the reactions read."""

    async def close(self) -> None:
        """Commit the queued operations, close the store's files, and release the lock. A second call does nothing."""

    async def log(self, sink: str, start: Start) -> tuple[EventLog, int]:
        """Attach `sink` to the store. Return (the log from which the sink reads its events, the position of the sink).

        A sink that the store does not know begins at `start`. While a sink is attached, the store keeps the body of
        each event that the sink has not finished.

        Raises:
            StoreError: the name of the sink is reserved, or the change could not be committed.
        """

    async def detach_except(self, sinks: Collection[str]) -> None:
        """Detach all sinks except `sinks`: they count as no longer configured.

        After this call, the store may drop the body of an event that a detached sink has not finished. The caller must
        first attach each of `sinks`, by a call of `log`.

        Raises:
            StoreError: the change could not be committed.
        """

    async def commit_rules(
        self, batch: Batch, new_sightings: Sequence[Sighting], held_back: HeldBack = NONE
    ) -> Appended:
        """Commit the results of the detection rules in one transaction. The returned value says which alerts are new.

        `batch` has the alerts. The cursor of `batch` is the new position of the rules in the log. `new_sightings` has
        the new and the changed sightings. `held_back` has the numbers of matches that raised no alert.

        Raises:
            StoreError: the commit failed, or it is unknown whether the commit succeeded. Repeat the call with equal
                arguments. If the first call was committed after all, the second call counts nothing twice.
        """

    @property
    def alert_commits(self) -> int:
        """The number of commits with alerts that this process has tried, including failed ones."""

    async def wait_for_alerts(self, commits: int) -> None:
        """Wait until `alert_commits` differs from `commits`, so that the reactions wake up only for alerts."""

    async def alerts_after(self, after: int, *, limit: int) -> Sequence[StoredEvent]:
        """Return up to `limit` alerts with `seq > after` whose bodies the store holds, oldest first.

        Raises:
            StoreError: the store cannot be read.
        """

    @property
    def not_ready_reason(self) -> str | None:
        """The reason why events cannot be stored now, as a text; None while they can be stored."""

    async def ledger(self) -> Ledger:
        """Return the ledger. This is fast enough to be called for each scrape of the metrics.

        Raises:
            StoreError: the store cannot be read.
        """

    async def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """See `StoreCommands.backup`. If this call is cancelled, the backup stops, and its file is removed."""

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]:
        """Return two bounds (first `seq`, last `seq`). Every event of the range `chosen` has a `seq` within the bounds.

        The bounds may also contain events that are not in the range. If no event of the store can be in the range,
        return empty bounds: the first number is the last number plus one.
        """

    async def redelivery_step(
        self, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]:
        """Find the next events to deliver again, among the events with a `seq` from `after` + 1 to `last`.

        Returns:
            The `seq` numbers of up to `limit` events that are in the range `chosen` and whose types the sink accepts;
            and the `seq` of the last event that was checked. The caller passes this `seq` as `after` to the next call.
        """

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int:
        """Make replays of the events `seqs`, to be sent to `sink` again. Return the number of replays.

        No replay is made of an event that still waits for the sink, that is a dead letter of the sink, or that was
        discarded. The transaction also stores `checkpoint`, with the returned number added to `checkpoint.taken`.
        """

    async def waiting_replays(self, sink: str) -> int:
        """Return the number of replays (events that are sent again) that `sink` has not finished."""

    async def replay(self, which: DeadLetterSelection) -> int:
        """See `StoreCommands.replay`."""

    async def discard(self, which: DeadLetterSelection) -> int:
        """See `StoreCommands.discard`."""

    async def forget_sink(self, sink: str) -> int:
        """See `StoreCommands.forget_sink`."""


class StoreCommands(Protocol):
    """The methods by which the commands of an operator use a store, whether or not a forwarder runs on the store.

    The methods block. Each method raises StoreError if the store does not exist or cannot be used.
    """

    def ledger(self) -> Ledger:
        """Return the ledger. This is slow, because it counts the waiting events one by one."""

    def damage(self, timeout: float) -> Sequence[str] | None:
        """Return a text for each damage; None after `timeout` seconds. Raise StoreVersionError for another version."""

    def orgs(self) -> Sequence[str]:
        """Return the names of all orgs that the store knows, including orgs that are no longer configured."""

    def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Copy the store to the new file `target`, check the copy, and fsync it.

        A running forwarder continues to store and to deliver events during the backup. `on_progress` is called after
        each copied part.

        Raises:
            StoreError: `target` exists, or the copy cannot be written, or the store is damaged. No copy is left.
        """

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        """Return the missed and the pending events of `org` that were published at `since` or later.

        None means all orgs, all times or all events. At most `limit` missed events are listed, but the counts in the
        result include the events that are not listed.
        """

    def tail(self) -> AbstractContextManager[Tail]:
        """Open the store to read events in order. Events that are stored later can be read too."""

    def find(self, search: Search) -> SearchResult:
        """Return the events that match `search`, each with its place (such as `delivered`) for each sink."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> Sequence[StoredEvent]:
        """See `core.ports.EventLog.read`."""

    def received_since(self, at: Micros) -> int:
        """Return the `seq` at which a reader must begin to find every event that was received at `at` or later.

        The reader may also find events that were received up to a minute before `at`, because events are not stored
        exactly in the order in which they were received. If no event was received at `at` or later, the result may be
        the newest `seq` plus one.
        """

    def alerts(self, since: Micros) -> Sequence[StoredEvent]:
        """Return the alerts that were raised at `since` or later and whose bodies the store holds, oldest first."""

    def actions(self, since: Micros) -> Sequence[Action]:
        """Return all open actions, and the ended actions that changed at `since` or later, oldest first."""

    def newest_actions(self, since: Micros, *, only_open: bool, limit: int | None) -> Sequence[Action]:
        """Return up to `limit` actions (None: all) that were planned at `since` or later, newest first.

        If `only_open` is True, leave out the actions that have ended.
        """

    def find_actions(self, begin: str) -> Sequence[Action]:
        """Return up to ten actions whose keys start with `begin`, in order of their keys."""

    def each_action(self, since: Micros) -> Iterator[Action]:
        """Yield every action that was planned at `since` or later, oldest first."""

    def cursor(self, name: str) -> str | None:
        """See `core.ports.EventStore.cursor`."""

    def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """See `SightingReader.sightings`."""

    def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """Return the counts of each rule since the start of the hour of `since`, by the id of the rule. A rule without
        counts has no entry."""

    def redelivery_plan(self, sink: str, chosen: Range, accepts: Accepts) -> RedeliveryPlan:
        """Return what a redelivery of the range `chosen` to `sink` would do. Change nothing."""

    def dead_letters(self, which: DeadLetterSelection, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return up to `limit` of the selected dead letters, newest first, without their bodies."""

    def count_dead_letters(self, which: DeadLetterSelection) -> Mapping[tuple[str, str], int]:
        """Return the number of events that the selected dead letters stand for, by (sink, reason).

        Dead letters that are being sent again are not counted.
        """

    def as_of_now(self, which: DeadLetterSelection) -> DeadLetterSelection:
        """Return a selection of the dead letters that match `which` now. It excludes dead letters that are added later.

        It also excludes dead letters that are being sent again now, even if the sink rejects them again later.
        """

    def dead_letter(self, number: int) -> DeadLetter | None:
        """Return the dead letter with the id `number`, including its body; None if no dead letter has this id."""

    def replay(self, which: DeadLetterSelection) -> int:
        """Mark the selected dead letters to be sent again, and return their number.

        A running forwarder sends the dead letters at once. If no forwarder runs, they are sent after the next start.

        A malformed event is not sent, but parsed again. If it can be parsed now, it is stored as an event, and the
        returned number includes it. An unattributed dead letter is ignored, because it has no body.
        """

    def discard(self, which: DeadLetterSelection) -> int:
        """Delete the selected dead letters, except those that are being sent again.

        The sink never gets the events of the deleted dead letters. Return the number of events that the deleted dead
        letters stood for.
        """

    def forget_sink(self, sink: str) -> int:
        """Delete the position, the counts and the dead letters of `sink`, which must no longer be configured.

        After this call, no event waits for the sink. If the sink is configured again, it begins as a new sink.

        Return the number of events that the deleted dead letters stood for.

        Raises:
            StoreError: the store does not know the sink, or the running forwarder delivers events to the sink.
        """


async def open_store(settings: StoreSettings, clock: Clock, metrics: Metrics) -> Store:
    """Open the configured store, and create it if it does not exist. Only one forwarder at a time can open a store.

    Raises:
        StoreLockedError: another process uses the store.
        StoreFormatError: the file is not our store, is damaged, or has a newer version. The file is left unchanged.
        StoreFullError: the disk is full.
        StoreError: the directory is missing or not writable, or the store cannot be opened for another reason.
    """
    return await SqliteStore.open(settings, clock, metrics)


def open_commands(settings: StoreSettings, clock: Clock) -> StoreCommands:
    """Return the methods that an operator's commands use on the configured store. This does not open the store yet."""
    return SqliteCommands(settings, clock)


def check_path(path: Path) -> None:
    """Check whether a store can be opened or created at `path`. This is fast and changes nothing.

    Raises:
        StoreError: the folder is missing or not writable; or the file at `path` is not a store of the forwarder, or was
            written by a newer version.
    """
    schema.check_path(path)
