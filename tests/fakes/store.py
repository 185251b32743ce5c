"""The store in memory: `EventStore`, `ActionStore` and, for each sink, an `EventLog` with the same promises, but for durability.

`tests/contract/test_store.py` holds it to what the real store does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any

import msgspec

from forwarder.core.action import Action, ActionState, Claim
from forwarder.core.errors import StoreError, StoreTimeoutError
from forwarder.core.event import Event, MalformedEvent, Source, StoredEvent, digest
from forwarder.core.outcome import Rejection
from forwarder.core.ports import Appended, Batch, Clock, Settlement, Start
from forwarder.core.time import Micros
from tests.fakes.clock import ManualClock


class MemoryStore:
    """A store that forgets everything with the process.

    A test steers it by its attributes and reads what happened from them.

    Attributes:
        failure: what the next appends and settlements raise; None lets them through.
        events: all stored events; `events[n].seq == n + 1`.
        malformed: malformed events.
        duplicates: how many known events were appended again.
        positions: how far each sink has come; a sink that never settled is not in it.
        delivered: how many events each sink has accepted, without unattributed ones.
        unattributed: how many events each sink rejected without saying which.
        dead: dead letters of each sink, by seq.
        filtered: seqs that the settings of each sink kept from it.
        settlements: every settlement that was committed, in order.
        uncommitted: the appends that are still being committed.
        cursors: the last value, by name.
        pending: events of the System Log that the hook should deliver and has not yet, by org and uuid.
        missed: those that were marked as missed, by org and uuid.
        actions: by key, in the order planned.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._action_changes: dict[str, Micros] = {}
        self.failure: StoreError | None = None
        self.events: list[StoredEvent] = []
        self.malformed: list[MalformedEvent] = []
        self.duplicates = 0
        self.positions: dict[str, int] = {}
        self.delivered: defaultdict[str, int] = defaultdict(int)
        self.unattributed: defaultdict[str, int] = defaultdict(int)
        self.dead: defaultdict[str, dict[int, Rejection]] = defaultdict(dict)
        self.filtered: defaultdict[str, list[int]] = defaultdict(list)
        self.settlements: list[Settlement] = []
        self.cursors: dict[str, str] = {}
        self.pending: dict[tuple[str, str], Event] = {}
        self.missed: dict[tuple[str, str], Event] = {}
        self.actions: dict[str, Action] = {}
        self._claims: dict[tuple[str, str], Claim] = {}
        self._known: set[tuple[str, str]] = set()
        self._replaying: defaultdict[str, list[int]] = defaultdict(list)
        self._replay_requests = 0
        self._changed = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self.uncommitted: set[asyncio.Task[Appended]] = set()

    # What a test does to it.

    def stall(self) -> None:
        """Let commits hang until `resume`, as on a disk that does not answer."""
        self._open.clear()

    def resume(self) -> None:
        """Let the stalled commits go on."""
        self._open.set()

    def replay(self, sink: str, *seqs: int) -> None:
        """Send dead letters of `sink` again, as an operator does; all of them where no seq is given."""
        for seq in seqs or tuple(self.dead[sink]):
            del self.dead[sink][seq]
            self._replaying[sink].append(seq)
        self._replay_requests += 1
        self._notify()

    def waiting(self, sink: str) -> int:
        """Events that `sink` still has to settle: those of the log and the replays."""
        return len(self.events) - self.positions.get(sink, 0) + len(self._replaying[sink])

    # EventStore

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        return await self._within(timeout, self._commit(batch))

    async def cursor(self, name: str) -> str | None:
        return self.cursors.get(name)

    async def cursors_with(self, prefix: str) -> dict[str, str]:
        return {name.removeprefix(prefix): value for name, value in self.cursors.items() if name.startswith(prefix)}

    async def mark_missed(self, org: str, before: Micros) -> int:
        await self._open.wait()
        self._fail()
        late = {
            key: event
            for key, event in self.pending.items()
            if event.org == org and event.published < before and event.received_at < before
        }
        self.missed |= late
        for key in late:
            del self.pending[key]
        return len(late)

    async def _within(self, timeout: float, work: Coroutine[Any, Any, Appended]) -> Appended:
        commit = asyncio.create_task(work)
        self.uncommitted.add(commit)
        commit.add_done_callback(self._finished)
        done, _ = await asyncio.wait({commit}, timeout=timeout)
        if not done:
            raise StoreTimeoutError(f"not committed within {timeout:g} s")
        return commit.result()

    def _finished(self, commit: asyncio.Task[Appended]) -> None:
        self.uncommitted.discard(commit)
        if not commit.cancelled():
            commit.exception()  # retrieved, because after a timeout no caller waits for it

    async def _commit(self, batch: Batch) -> Appended:
        await self._open.wait()
        self._fail()
        stored = []
        differing: list[str] = []
        for event in batch.events:
            key = (event.org, event.uuid)
            said = digest(event)
            claim = self._claims.setdefault(key, Claim(said))
            if event.source is Source.LOG:
                self._claims[key] = Claim(claim.digest, claim.digest == said)
                if claim.logged is None and claim.digest != said:
                    differing.append(event.uuid)
            if key in self._known:
                self.duplicates += 1
                if event.source is Source.HOOK:
                    self.pending.pop(key, None)
                    self.missed.pop(key, None)
                continue
            self._known.add(key)
            self.events.append(StoredEvent(len(self.events) + 1, event))
            stored.append(event)
            if event.uuid in batch.expected_by_hook:
                self.pending[key] = event
        if batch.cursor is not None:
            self.cursors |= [batch.cursor]
        self.malformed.extend(batch.malformed)
        self._notify()
        return Appended(stored, len(batch.events) - len(stored), differing)

    # ActionStore

    async def load_actions(self, since: Micros) -> list[Action]:
        self._fail()
        found = [one for one in self.actions.values() if one.is_open or self._action_changes[one.key] >= since]
        return sorted(found, key=lambda one: one.planned_at)

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        await self._commit(batch)
        left_out = set()
        for one in actions:
            if one.key in self.actions and one.state is ActionState.PLANNED:
                left_out.add(one.key)
            else:
                self.actions[one.key] = one
                self._action_changes[one.key] = self._clock.now()
        return frozenset(left_out)

    async def alerts_after(self, after: int, *, limit: int) -> list[StoredEvent]:
        self._fail()
        alerts = (one for one in self.events if one.seq > after and one.event.source is Source.ALERT)
        return list(islice(alerts, limit))

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        self._fail()
        return {uuid: self._claims[org, uuid] for uuid in uuids if (org, uuid) in self._claims}

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        self._fail()
        found = set()
        for event in (stored.event for stored in self.events):
            raw = msgspec.json.decode(event.body)
            actor = raw.get("actor") or {}
            if (
                (event.org, actor.get("type")) == (org, "User")
                and event.published >= since
                and raw.get("outcome", {}).get("result") in {"SUCCESS", "ALLOW"}
                and _is_address(raw.get("client", {}).get("ipAddress"), address)
                and isinstance(actor.get("id"), str)
            ):
                found.add(actor["id"])
        return len(found)

    # The logs of the sinks

    async def log(self, sink: str, start: Start) -> tuple["MemoryLog", int]:
        return self.view(sink), self.positions.get(sink, 0)

    def view(self, sink: str) -> "MemoryLog":
        """The log of a sink, without waiting."""
        return MemoryLog(self, sink)

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return _bounded(self.events[after : after + limit], max_bytes)

    async def replays(self, sink: str, *, limit: int) -> list[StoredEvent]:
        return [self.events[seq - 1] for seq in self._replaying[sink][:limit]]

    async def settle(self, sink: str, settlement: Settlement) -> None:
        await self._open.wait()
        self._fail()
        self._check(sink, settlement)
        self.positions[sink] = settlement.position
        self.delivered[sink] += settlement.delivered - settlement.unattributed + len(settlement.replayed)
        self.unattributed[sink] += settlement.unattributed
        self.filtered[sink] += [*settlement.filtered, *settlement.filtered_replays]
        for seq in (*settlement.replayed, *settlement.filtered_replays):
            self._replaying[sink].remove(seq)
        for rejection in settlement.dead_again:
            self._replaying[sink].remove(rejection.seq)
        for rejection in (*settlement.dead, *settlement.dead_again):
            self.dead[sink][rejection.seq] = rejection
        self.settlements.append(settlement)

    def _check(self, sink: str, settlement: Settlement) -> None:
        before = self.positions.get(sink, 0)
        named = [*(rejection.seq for rejection in settlement.dead), *settlement.filtered]
        again = [
            *settlement.replayed,
            *settlement.filtered_replays,
            *(rejection.seq for rejection in settlement.dead_again),
        ]
        if (
            settlement.position - before != settlement.delivered + len(named)
            or not before <= settlement.position <= len(self.events)
            or len(set(named)) != len(named)
            or any(not before < seq <= settlement.position for seq in named)
            or not 0 <= settlement.unattributed <= settlement.delivered
            or len(set(again)) != len(again)
            or not set(again) <= set(self._replaying[sink])
        ):
            raise ValueError(f"the settlement does not add up (position was {before}): {settlement}")

    async def wait(self, after: int, *, replays: int) -> None:
        while len(self.events) <= after and self._replay_requests == replays:
            await self._changed.wait()

    @property
    def replay_requests(self) -> int:
        return self._replay_requests

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class MemoryLog:
    """The log of one sink."""

    def __init__(self, store: MemoryStore, sink: str) -> None:
        self._store = store
        self._sink = sink

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return await self._store.read(after, limit=limit, max_bytes=max_bytes)

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        return await self._store.replays(self._sink, limit=limit)

    async def settle(self, settlement: Settlement) -> None:
        await self._store.settle(self._sink, settlement)

    async def wait(self, after: int, *, replays: int) -> None:
        await self._store.wait(after, replays=replays)

    @property
    def replay_requests(self) -> int:
        return self._store.replay_requests


def _is_address(text: Any, address: str) -> bool:
    try:
        return isinstance(text, str) and ip_address(text) == ip_address(address)
    except ValueError:
        return False


def _bounded(events: Sequence[StoredEvent], max_bytes: int) -> list[StoredEvent]:
    taken: list[StoredEvent] = []
    size = 0
    for stored in events:
        size += len(stored.event.body)
        if taken and size > max_bytes:
            break
        taken.append(stored)
    return taken
