"""The interfaces of a store engine, and functions that open the engine. SQLite is the only engine so far."""

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
from forwarder.store.event_life import Search, SearchResult
from forwarder.store.gaps import Gaps
from forwarder.store.ledger import Ledger
from forwarder.store.redelivery import Accepts, Range, RedeliveryCheckpoint, RedeliveryPlan
from forwarder.store.rule_counts import NONE, HeldBack, RuleCounts
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.operator_commands import SqliteCommands
from forwarder.store.sqlite.store import SqliteStore


class StoreView(Protocol):
    """Read access for an operator to the store of a running forwarder.

    Each method that reads the store raises StoreError if the store cannot be read.
    """

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if no event was ever stored."""

    async def wait(self, after: int) -> None:
        """Wait until an event with `seq > after` is stored. May return too early, so check for the event, and wait again."""

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
        """Do the same as `StoreCommands.gaps` for all orgs."""

    async def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """See `StoreCommands.rule_counts`."""


class Tail(Protocol):
    """Reads the events of a store while a forwarder in another process may write to the store.

    The methods block. They raise StoreError if the store cannot be read.
    """

    def held(self) -> tuple[int, int]:
        """Return (the `seq` of the oldest event whose body the store holds, the `seq` of the newest event).

        If the store holds no bodies, the first number is one more than the second (an empty range).
        """

    def received_since(self, at: Micros) -> int:
        """See `StoreCommands.received_since`."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.read`."""


class SightingReader(Protocol):
    """The part of the store from which the rules read what each user was seen with, such as countries and devices."""

    async def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """Return all sightings of `users`, given by their ids in Okta, in the org `org`.

        Raises:
            StoreError: the store cannot be read.
        """


class Store(EventStore, SightingReader, ActionStore, Protocol):
    """The store of one running forwarder, used on its event loop."""

    @property
    def view(self) -> StoreView:
        """Read access for an operator."""

    async def close(self) -> None:
        """Commit the queued operations, then close the store's files and unlock them. Safe to call twice."""

    async def log(self, sink: str, start: Start) -> tuple[EventLog, int]:
        """Attach `sink` to the store, and return its log and its position.

        A sink that the store does not know begins at `start`. From now on, the store does not drop the body of an event
        before the sink has finished the event.

        Raises:
            StoreError: the name of the sink is reserved, or the change could not be committed.
        """

    async def detach_except(self, sinks: Collection[str]) -> None:
        """Detach all sinks except `sinks`. The store may then drop a body that a detached sink has not finished.

        Call this after `log` was called for each of `sinks`.

        Raises:
            StoreError: the change could not be committed.
        """

    async def commit_rules(self, batch: Batch, noted: Sequence[Sighting], held_back: HeldBack = NONE) -> Appended:
        """Commit the results of the rules in one transaction, and return which alerts are new.

        `batch` has the alerts and, as the cursor, the new position of the rules. `noted` has the new or changed sightings.

        Raises:
            StoreError: the commit failed, or was not confirmed. Call this again with the same position: if the first call
                was committed after all, the second call counts nothing twice.
        """

    @property
    def alert_commits(self) -> int:
        """The number of commits of alerts that this process has tried."""

    async def wait_for_alerts(self, commits: int) -> None:
        """Wait until `alert_commits` differs from `commits`. So reactions wake up only for alerts, not for every event."""

    async def alerts_after(self, after: int, *, limit: int) -> Sequence[StoredEvent]:
        """Return up to `limit` alerts with `seq > after` whose bodies the store holds, oldest first.

        Raises:
            StoreError: the store cannot be read.
        """

    @property
    def not_ready_reason(self) -> str | None:
        """The reason why events cannot be stored now, as a text; None while they can be stored."""

    async def ledger(self) -> Ledger:
        """Return where every event is, for each sink. This is fast enough for each scrape of the metrics.

        Raises:
            StoreError: the store cannot be read.
        """

    async def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Do the same as `StoreCommands.backup`. If this call is cancelled, the backup stops, and no file is left."""

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]:
        """Return (first `seq`, last `seq`): all events of the range `chosen` are from the first to the last.

        Events outside the range may be between them. If the store holds no event that may be in the range, the first
        number is one more than the last.
        """

    async def redelivery_step(
        self, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]:
        """Look through events from `after` + 1 up to `last` for those that must be delivered again.

        Returns:
            The `seq` numbers of up to `limit` events that are in the range `chosen` and whose types the sink accepts;
            and the `seq` of the last event looked at, which is the `after` for the next call.
        """

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int:
        """Make replays for `sink` of the events `seqs`, and return the number of replays made.

        No replay is made of an event that waits for the sink, is a dead letter of the sink, or was discarded. The same
        transaction stores `checkpoint`, with the number of replays added to its `taken`.
        """

    async def waiting_replays(self, sink: str) -> int:
        """Return the number of replays that wait for `sink`."""

    async def replay(self, which: DeadLetterSelection) -> int:
        """See `StoreCommands.replay`."""

    async def discard(self, which: DeadLetterSelection) -> int:
        """See `StoreCommands.discard`."""

    async def forget_sink(self, sink: str) -> int:
        """See `StoreCommands.forget_sink`."""


class StoreCommands(Protocol):
    """An operator's commands on a store, whether or not a forwarder runs on it. The methods block.

    Each method raises StoreError if the store does not exist or cannot be used.
    """

    def ledger(self) -> Ledger:
        """Return where every event is, for each sink. Slow, because it reads all waiting events to count them."""

    def damage(self, timeout: float) -> Sequence[str] | None:
        """Return a line for each damage of the store's file; None if the check takes longer than `timeout` seconds."""

    def orgs(self) -> Sequence[str]:
        """Return the names of all orgs that the store knows, also of those that are no longer configured."""

    def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Copy the store into the new file `target`, check the copy, and fsync it.

        A running forwarder continues to store and to deliver events meanwhile. `on_progress` is called for each part that
        was copied.

        Raises:
            StoreError: the copy cannot be written, `target` exists, or the store is damaged. No file of the backup is left.
        """

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        """Return the missed and the pending events of `org`, or of all orgs, that were published at `since` or later.

        At most `limit` missed events are listed. The numbers of events are always complete.
        """

    def tail(self) -> AbstractContextManager[Tail]:
        """Open the store to read its events in order, and also those that are stored while it is open."""

    def find(self, search: Search) -> SearchResult:
        """Return the events that match `search`, each with its place for each sink."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> Sequence[StoredEvent]:
        """See `core.ports.EventLog.read`."""

    def received_since(self, at: Micros) -> int:
        """Return a `seq` from which on a reader finds every event that was received at `at` or later.

        The event with this `seq` may have been received up to a minute before `at`, because events are not stored exactly
        in the order in which they were received. If no event was received at `at` or later, the result may be one more
        than the newest `seq`.
        """

    def alerts(self, since: Micros) -> Sequence[StoredEvent]:
        """Return the alerts that were stored at `since` or later and whose bodies the store holds, oldest first."""

    def actions(self, since: Micros) -> Sequence[Action]:
        """Return all open actions, and the ended actions that changed at `since` or later, oldest first."""

    def newest_actions(self, since: Micros, *, only_open: bool, limit: int | None) -> Sequence[Action]:
        """Return the newest actions planned at `since` or later, newest first: up to `limit`, or all if `limit` is None.

        With `only_open`, leave out the actions that have ended.
        """

    def find_actions(self, begin: str) -> Sequence[Action]:
        """Return up to ten actions whose keys begin with `begin`."""

    def each_action(self, since: Micros) -> Iterator[Action]:
        """Yield every action that was planned at `since` or later, oldest first."""

    def cursor(self, name: str) -> str | None:
        """See `core.ports.EventStore.cursor`."""

    def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """See `SightingReader.sightings`."""

    def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """Return the counts of each rule since the hour of `since`, by the rule's id, without rules that have none."""

    def redelivery_plan(self, sink: str, chosen: Range, accepts: Accepts) -> RedeliveryPlan:
        """Count the events of the range `chosen` that would be delivered to `sink` again, and those that would not."""

    def dead_letters(self, which: DeadLetterSelection, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return up to `limit` of the selected dead letters, newest first, without their bodies."""

    def count_dead_letters(self, which: DeadLetterSelection) -> Mapping[tuple[str, str], int]:
        """Return the number of events that the selected dead letters stand for, by (sink, reason).

        Leaves out dead letters that are being sent again.
        """

    def as_of_now(self, which: DeadLetterSelection) -> DeadLetterSelection:
        """Return a selection of those dead letters that match `which` now, so that later rejections do not match.

        Dead letters that are being sent again now do not match either, even if the sink rejects them again later.
        """

    def dead_letter(self, number: int) -> DeadLetter | None:
        """Return the dead letter with the id `number`, including its body; None if no dead letter has this id."""

    def replay(self, which: DeadLetterSelection) -> int:
        """Mark the selected dead letters to be sent again, and return their number.

        The running forwarder sends them now; if no forwarder runs, the next one that starts does. Malformed events are
        parsed again instead: those that this version can read are stored as events, and count in the result.
        Unattributed dead letters are left out, because they have no bodies.
        """

    def discard(self, which: DeadLetterSelection) -> int:
        """Remove the selected dead letters for good, except those that are being sent again.

        Return the number of events that the removed dead letters stood for.
        """

    def forget_sink(self, sink: str) -> int:
        """Forget `sink`, which must no longer be configured: its position, its counts and its dead letters.

        After that, no event waits for the sink. If it is configured again, it begins as a new sink.

        Return the number of events that the dead letters stood for.

        Raises:
            StoreError: the store does not know the sink, or the running forwarder delivers to the sink.
        """


async def open_store(settings: StoreSettings, clock: Clock, metrics: Metrics) -> Store:
    """Open the store of a forwarder; create it if it does not exist.

    Raises:
        StoreLockedError: another process uses the store.
        StoreFormatError: the file is not our store, is damaged, or has a newer version. The file is left unchanged.
        StoreFullError: the disk is full.
        StoreError: the directory is missing or not writable, or the store cannot be opened for another reason.
    """
    return await SqliteStore.open(settings, clock, metrics)


def open_commands(settings: StoreSettings, clock: Clock) -> StoreCommands:
    """Return an operator's commands on the configured store."""
    return SqliteCommands(settings, clock)


def check_path(path: Path) -> None:
    """Check quickly, without changing anything, whether a store can be opened or created at `path`.

    Raises:
        StoreError: the folder is missing or not writable; or the file at `path` is not a store of the forwarder, or has a
            newer version.
    """
    schema.check_path(path)
