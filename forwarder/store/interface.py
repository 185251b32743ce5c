"""The interfaces of a store engine, and how to open the configured engine: SQLite, the only one so far."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from forwarder.core.action import Action, ActionStore
from forwarder.core.event import StoredEvent
from forwarder.core.ports import Appended, Batch, Clock, EventLog, EventStore, Start
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import Backup, OnProgress
from forwarder.store.dead_letters import DeadLetter, DeadLetterSelection
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

    Each query raises StoreError if the store cannot be read.
    """

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if there is none."""

    async def wait(self, after: int) -> None:
        """Return when there is an event with `seq > after`. May return too early, so check, and wait again."""

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
    """Reads the events of a store that a forwarder in another process may write to.

    The methods block, and raise StoreError if the store cannot be read.
    """

    def held(self) -> tuple[int, int]:
        """Return two `seq`: of the oldest event whose body is held, and of the newest event stored.

        If no body is held, the first number is one more than the second.
        """

    def received_since(self, at: Micros) -> int:
        """See `StoreCommands.received_since`."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.read`."""


class SightingReader(Protocol):
    """The part of the store that the rules use: what users were seen with."""

    async def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """Return the sightings of `users` of `org`: for example their countries and devices.

        Raises:
            StoreError: the store cannot be read.
        """


class Store(EventStore, SightingReader, ActionStore, Protocol):
    """The store of one running forwarder, used on its event loop."""

    @property
    def view(self) -> StoreView:
        """Read access for an operator."""

    async def close(self) -> None:
        """Commit the queued operations, then release everything. Safe to call twice."""

    async def log(self, sink: str, start: Start) -> tuple[EventLog, int]:
        """Return the log for `sink`, and the sink's position.

        A sink that the store does not know begins at `start`. From now on, no body is dropped before the sink
        has finished its event.

        Raises:
            StoreError: the name of the sink is reserved, or the position could not be committed.
        """

    async def detach_except(self, sinks: Collection[str]) -> None:
        """Detach all sinks but `sinks`: bodies may be dropped without waiting for them.

        Call it after `log` was called for each of `sinks`.

        Raises:
            StoreError: the change could not be committed.
        """

    async def commit_rules(
        self, batch: Batch, noted: Sequence[Sighting], held_back: HeldBack = NONE
    ) -> Appended:
        """Commit the results of the rules in one transaction, and return which alerts are new.

        `batch` has the alerts and the position of the rules, `noted` the sightings of users, `held_back` how many
        matches raised no alert.

        Raises:
            StoreError: the commit failed, or was not confirmed. Repeat the call with the same position: nothing counts
                twice.
        """

    @property
    def alert_commits(self) -> int:
        """How many commits of alerts this process has tried."""

    async def wait_for_alerts(self, commits: int) -> None:
        """Wait until `alert_commits` differs from `commits`, so that only alerts wake reactions, not every event."""

    async def alerts_after(self, after: int, *, limit: int) -> Sequence[StoredEvent]:
        """Return up to `limit` alerts with `seq > after` whose bodies are held, oldest first.

        Raises:
            StoreError: the store cannot be read.
        """

    @property
    def not_ready_reason(self) -> str | None:
        """Why the last try to store an event failed; None while events can be stored."""

    async def ledger(self) -> Ledger:
        """Return where every event is, for each sink. Fast enough for every scrape of the metrics.

        Raises:
            StoreError: the store cannot be read.
        """

    async def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Do the same as `StoreCommands.backup`. A cancellation stops the backup."""

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]:
        """Return the first and the last `seq` between which the events of the range `chosen` are.

        If the store holds no event that may be in the range, the first number is one more than the last.
        """

    async def redelivery_step(
        self, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]:
        """Return the `seq` of up to `limit` events of `chosen` that the sink accepts, and how far it looked.

        Looks at events after `after` and up to `last`. The second number is the `after` for the next call.
        """

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int:
        """Make a replay of each event in `seqs` that `sink` has finished, and return how many replays were made.

        Stores `checkpoint`, with that number added to `taken`, in the same transaction.
        """

    async def waiting_replays(self, sink: str) -> int:
        """Return how many replays wait for `sink`."""

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
        """Return where every event is, for each sink. Slow: counts waiting events by reading all their bodies."""

    def damage(self, timeout: float) -> Sequence[str] | None:
        """Check the whole store, and return a line for each damage found; empty if the store is sound.

        None if `timeout` seconds are not enough.
        """

    def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Copy the store into one new file, check the copy, and fsync it. Events are stored and delivered meanwhile.

        Raises:
            StoreError: the copy cannot be written, `target` exists, or the store is damaged. No file is left.
        """

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        """Return missed and pending events, of `org` only and published at `since` or later if these are given.

        Lists up to `limit` missed events; all of them if `limit` is None.
        """

    def tail(self) -> AbstractContextManager[Tail]:
        """Open the store to read its events in order, and new events as they are stored."""

    def find(self, search: Search) -> SearchResult:
        """Return the events that match `search`, and for each event where it is for each sink."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> Sequence[StoredEvent]:
        """See `core.ports.EventLog.read`."""

    def received_since(self, at: Micros) -> int:
        """Return the `seq` of the first event received at `at` or later, or of one up to a minute earlier.

        If all events were received before that, return the `seq` after the newest one.
        """

    def alerts(self, since: Micros) -> Sequence[StoredEvent]:
        """Return the alerts that were stored at `since` or later and whose bodies are held, oldest first."""

    def actions(self, since: Micros) -> Sequence[Action]:
        """Return all open actions, and the ended actions that changed at `since` or later, oldest first."""

    def newest_actions(self, since: Micros, *, only_open: bool, limit: int | None) -> Sequence[Action]:
        """Return up to `limit` actions planned at `since` or later, newest first; all if `limit` is None."""

    def find_actions(self, begin: str) -> Sequence[Action]:
        """Return up to ten actions whose keys begin with `begin`."""

    def each_action(self, since: Micros) -> Iterator[Action]:
        """Yield every action that was planned at `since` or later, oldest first."""

    def cursor(self, name: str) -> str | None:
        """See `core.ports.EventStore.cursor`."""

    def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """See `SightingReader.sightings`."""

    def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """Return the counts of each rule, by its id, from the hour of `since` on; only rules that have counts."""

    def redelivery_plan(self, sink: str, chosen: Range, accepts: Accepts) -> RedeliveryPlan:
        """Count the events of `chosen` that would be delivered to `sink` again, and those that would not."""

    def dead_letters(self, which: DeadLetterSelection, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return up to `limit` of the selected dead letters, newest first, without bodies."""

    def count_dead_letters(self, which: DeadLetterSelection) -> Mapping[tuple[str, str], int]:
        """Return how many events the selected dead letters stand for, by (sink, reason).

        Leaves out dead letters that are being sent again.
        """

    def as_of_now(self, which: DeadLetterSelection) -> DeadLetterSelection:
        """Return `which` limited to the present: later rejections do not match it.

        Also leaves out dead letters that are being sent again now, even if they are rejected again.
        """

    def dead_letter(self, number: int) -> DeadLetter | None:
        """Return the dead letter with the id `number`, with its body; None if it does not exist."""

    def replay(self, which: DeadLetterSelection) -> int:
        """Send the selected dead letters again, and return how many.

        If no forwarder runs, the next start sends them. Unattributed rejections cannot be sent. Malformed
        events are parsed again, and stored if this version can read them.
        """

    def discard(self, which: DeadLetterSelection) -> int:
        """Remove the selected dead letters for good, except those being sent again.

        Return how many events they stood for.
        """

    def forget_sink(self, sink: str) -> int:
        """Forget a sink that is no longer configured, and its dead letters.

        Return how many events the dead letters stood for.
        No event waits for the sink any more. If it is configured again, it begins as a new sink.

        Raises:
            StoreError: the store does not know the sink, or the running forwarder delivers to it.
        """


async def open_store(settings: StoreSettings, clock: Clock, metrics: Metrics) -> Store:
    """Open the store of a forwarder; create it if it does not exist.

    Raises:
        StoreLockedError: another process uses the store.
        StoreFormatError: the file is not our store, or damaged, or of a newer version. It is left unchanged.
        StoreFullError: the disk is full.
        StoreError: the directory is missing or not writable, or another error.
    """
    return await SqliteStore.open(settings, clock, metrics)


def open_commands(settings: StoreSettings, clock: Clock) -> StoreCommands:
    """Return an operator's commands on the configured store."""
    return SqliteCommands(settings, clock)


def check_path(path: Path) -> None:
    """Check quickly, without changing anything, whether a store can be opened or created at `path`.

    Raises:
        StoreError: the folder is missing or not writable, or `path` is not our store or of a newer version.
    """
    schema.check_path(path)
