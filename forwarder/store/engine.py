"""What an engine of the store provides, and how to open the configured one: SQLite, the only one so far."""

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
from forwarder.store.dead_letters import DeadLetter, Selection
from forwarder.store.gaps import Gaps
from forwarder.store.ledger import Ledger
from forwarder.store.lives import Found, Search
from forwarder.store.redelivery import Accepts, Checkpoint, Plan, Range
from forwarder.store.rule_counts import NONE, HeldBack, RuleCounts
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.commands import SqliteCommands
from forwarder.store.sqlite.store import SqliteStore


class StoreView(Protocol):
    """What an operator sees of the store of a running forwarder. Queries raise StoreError if it cannot be read."""

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if there is none."""

    async def wait(self, after: int) -> None:
        """Return when there is an event with `seq > after`. May return too early: look, and wait again."""

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """As `core.ports.EventLog.read`."""

    async def received_since(self, at: Micros) -> int:
        """As `StoreCommands.received_since`."""

    async def dead_letters(self, which: Selection, *, limit: int) -> Sequence[DeadLetter]:
        """As `StoreCommands.dead_letters`."""

    async def count_dead_letters(self, which: Selection) -> Mapping[tuple[str, str], int]:
        """As `StoreCommands.count_dead_letters`."""

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """As `StoreCommands.dead_letter`."""

    async def gaps(self, *, limit: int) -> Gaps:
        """As `StoreCommands.gaps`, of every org."""

    async def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """As `StoreCommands.rule_counts`."""


class Tail(Protocol):
    """Reads the events of a store from another process, beside a forwarder that writes. Blocks; raises StoreError."""

    def held(self) -> tuple[int, int]:
        """Return the `seq` of the oldest event that is held and of the newest event stored; (n + 1, n) if none is held."""

    def received_since(self, at: Micros) -> int:
        """As `StoreCommands.received_since`."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """As `core.ports.EventLog.read`."""


class SightingReader(Protocol):
    """The store as the rules ask it about users."""

    async def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """Return what these users of `org` were seen with.

        Raises:
            StoreError: the store cannot be read.
        """


class Store(EventStore, SightingReader, ActionStore, Protocol):
    """The store of one running forwarder, used on its event loop."""

    @property
    def view(self) -> StoreView:
        """What an operator sees of it."""

    async def close(self) -> None:
        """Commit what waits, then release everything. Safe to call twice."""

    async def log(self, sink: str, start: Start) -> tuple[EventLog, int]:
        """Return a sink's view of the store, and its position. From now on the sink holds bodies back.

        It begins at `start` if the store does not know it.

        Raises:
            StoreError: the name is reserved, or the position could not be committed.
        """

    async def detach_except(self, sinks: Collection[str]) -> None:
        """Let every sink but these hold no bodies back any more. Call it after `log` for each of these.

        Raises:
            StoreError: it could not be committed.
        """

    async def commit_rules(
        self, batch: Batch, noted: Sequence[Sighting], held_back: HeldBack = NONE
    ) -> Appended:
        """Append alerts and the position of the rules, what they note about users, and what was held back, in one
        transaction.

        Raises:
            StoreError: it could not be committed. Nothing of it was, so it may be tried again.
        """

    async def alerts_after(self, after: int, *, limit: int) -> Sequence[StoredEvent]:
        """Return the next alerts of rules that are still held, oldest first.

        Raises:
            StoreError: the store cannot be read.
        """

    @property
    def not_ready_reason(self) -> str | None:
        """Why the last try to store an event failed; None while events can be stored."""

    async def ledger(self) -> Ledger:
        """Return where every event is; cheap enough for each scrape.

        Raises:
            StoreError: the store cannot be read.
        """

    async def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """As `StoreCommands.backup`; a cancellation stops it."""

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]:
        """Return the first and the last `seq` between which the events of the range are; (n + 1, n) if none can be."""

    async def redelivery_step(
        self, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]:
        """Return the `seq` of at most `limit` events of the range after `after`, and how far it looked."""

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: Checkpoint) -> int:
        """Send those of these events again that the sink has finished; return how many these are. Stores the checkpoint,
        with their number added, in the same transaction."""

    async def waiting_replays(self, sink: str) -> int:
        """Return how many events are sent to a sink again and are not finished."""

    async def replay(self, which: Selection) -> int:
        """As `StoreCommands.replay`."""

    async def discard(self, which: Selection) -> int:
        """As `StoreCommands.discard`."""

    async def forget_sink(self, sink: str) -> int:
        """As `StoreCommands.forget_sink`."""


class StoreCommands(Protocol):
    """An operator's commands, whether or not a forwarder runs on the store. They block.

    All raise StoreError if there is no store, or if it cannot be used.
    """

    def ledger(self) -> Ledger:
        """Count where every event is; waiting events one by one, which reads all of their bodies."""

    def damage(self, timeout: float) -> Sequence[str] | None:
        """Read the whole store and return what is damaged, a line each; None if `timeout` seconds are not enough."""

    def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Copy the store into one new file, check the copy, and fsync it. Events are stored and delivered meanwhile.

        Raises:
            StoreError: it cannot be written, its place is taken, or the store is damaged. No file is left behind.
        """

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        """Return missed and pending events: of one org, published at `since` or later, if given.

        At most `limit` missed events are listed.
        """

    def tail(self) -> AbstractContextManager[Tail]:
        """Open the store to read its events one after the other, also those to come."""

    def find(self, search: Search) -> Found:
        """Return events and what became of each of them."""

    def events(self, after: int, *, limit: int, max_bytes: int) -> Sequence[StoredEvent]:
        """As `core.ports.EventLog.read`."""

    def received_since(self, at: Micros) -> int:
        """Return the `seq` of an event near the first one that was received at `at` or later, and not after it."""

    def alerts(self, since: Micros) -> Sequence[StoredEvent]:
        """Return the alerts of rules that were stored at `since` or later and are still held, oldest first."""

    def actions(self, since: Micros) -> Sequence[Action]:
        """Return every action that is not ended, and those that changed at `since` or later, oldest first."""

    def newest_actions(self, since: Micros, *, only_open: bool, limit: int | None) -> Sequence[Action]:
        """Return the newest actions that were planned at `since` or later, newest first; all if there is no limit."""

    def find_actions(self, begin: str) -> Sequence[Action]:
        """Return the actions whose keys begin so, at most ten."""

    def each_action(self, since: Micros) -> Iterator[Action]:
        """Yield every action that was planned at `since` or later, oldest first."""

    def cursor(self, name: str) -> str | None:
        """As `core.ports.EventStore.cursor`."""

    def sightings(self, org: str, users: Collection[str]) -> Sequence[Sighting]:
        """As `SightingReader.sightings`."""

    def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        """Return what each rule, by id, did since the hour in which `since` is; rules that did nothing are left out."""

    def redelivery_plan(self, sink: str, chosen: Range, accepts: Accepts) -> Plan:
        """Count the events that would be delivered to a sink again, and those that would not."""

    def dead_letters(self, which: Selection, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return the newest dead letters, newest first, without bodies."""

    def count_dead_letters(self, which: Selection) -> Mapping[tuple[str, str], int]:
        """Return how many events the dead letters stand for, by sink and reason; without those being sent again."""

    def as_of_now(self, which: Selection) -> Selection:
        """Return a selection of those of `which` that are not being sent again now: none that is rejected later, also again."""

    def dead_letter(self, number: int) -> DeadLetter | None:
        """Return one dead letter with its body; None if there is none with this id."""

    def replay(self, which: Selection) -> int:
        """Send dead letters again, and return how many; without a running forwarder, its next start sends them.

        Unattributed ones cannot be sent. Those of the receiver are read again, and stored if they are events
        by now.
        """

    def discard(self, which: Selection) -> int:
        """Remove dead letters for good, except those being sent again; return how many events they were."""

    def forget_sink(self, sink: str) -> int:
        """Forget a sink that is no longer configured, with its dead letters; return how many these were.

        Nothing waits for it any more. If it is configured again, it begins as a new one.

        Raises:
            StoreError: the store does not know it, or the running forwarder delivers to it.
        """


async def open_store(settings: StoreSettings, clock: Clock, metrics: Metrics) -> Store:
    """Open the store of a forwarder; create it if there is none.

    Raises:
        StoreLockedError: another process uses it; names its pid.
        StoreFormatError: it is not a store of ours, or damaged, or of a newer version. It is left as it is.
        StoreFullError: the disk is full.
        StoreError: its directory is missing or not writable, or another reason.
    """
    return await SqliteStore.open(settings, clock, metrics)


def open_commands(settings: StoreSettings, clock: Clock) -> StoreCommands:
    """Return an operator's commands on the configured store."""
    return SqliteCommands(settings, clock)


def check_path(path: Path) -> None:
    """Check, without changing anything, what opening the store at `path` would refuse at once.

    Raises:
        StoreError: its folder is missing or not writable, or there is something else in its place.
    """
    schema.check_path(path)
