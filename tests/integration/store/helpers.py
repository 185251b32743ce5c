"""Events for tests of the store, and a way to open one."""

import itertools
import json
import random
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from forwarder.control_socket.messages import ControlRequest, Handler
from forwarder.control_socket.server import ControlServer
from forwarder.core.event import Event, MalformedEvent, Source
from forwarder.core.outcome import Rejection, RejectReason
from forwarder.core.ports import Batch, Clock, EventLog, Settlement, Start
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import BackupRequest
from forwarder.store.dead_letters import DiscardRequest, ReplayRequest
from forwarder.store.interface import StoreCommands, open_commands
from forwarder.store.ledger import ForgetSinkRequest
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.event_index import Indexer
from forwarder.store.sqlite.prune import Pruner
from forwarder.store.sqlite.sink_log import SinkLog
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.store import MemoryStore

DAY = 86_400.0

_numbers = itertools.count(1)


def event(  # a factory with a default for everything
    name: str | None = None,
    *,
    org: str = "acme",
    size: int = 0,
    received_at: Micros = NOON,
    envelope_id: str = "",
    source: Source = Source.HOOK,
) -> Event:
    """An event with a version-1 uuid, or with `name` for its uuid; `size` bytes of filling."""
    number = next(_numbers)
    name = name if name is not None else str(uuid.uuid1(node=7, clock_seq=number % 16384))
    body = {
        "uuid": name,
        "eventType": "user.session.start",
        "published": "2026-01-01T12:00:00.000Z",
        "displayMessage": "Grüße ✓",
        "x": random.Random(number).randbytes(size // 2).hex(),
    }
    raw = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    return Event(org, name, "user.session.start", NOON, received_at, source, envelope_id, raw)


def events(count: int, *, size: int = 0) -> list[Event]:
    """That many different events."""
    return [event(size=size) for _ in range(count)]


def logged(name: str | None = None, *, org: str = "acme", received_at: Micros = NOON, size: int = 0) -> Event:
    """An event of the System Log."""
    return event(name, org=org, received_at=received_at, size=size, source=Source.LOG)


def page(
    *events: Event, expected: Iterable[Event] = (), malformed: Sequence[MalformedEvent] = (), cursor: str = "next"
) -> Batch:
    """A page of the System Log; our hook should deliver the events of `expected` too."""
    org = events[0].org if events else "acme"
    return Batch(events, malformed, Source.LOG, (f"log:{org}", cursor), frozenset(one.uuid for one in expected))


def malformed_event(body: bytes = b'{"uuid":null}') -> MalformedEvent:
    """A malformed event."""
    return MalformedEvent("acme", NOON, "f3e0e2f4-1111-4222-8333-444455556666", "no uuid", body)


def rejections(*seqs: int) -> tuple[Rejection, ...]:
    """These seqs, rejected for their mapping."""
    return tuple(Rejection(seq, RejectReason.MAPPING, f"field of {seq} is no number") for seq in seqs)


def delivered(position: int, count: int) -> Settlement:
    """The settlement of a sink that has delivered `count` more events, up to `position`."""
    return Settlement(position, delivered=count)


def commands(path: Path, clock: Clock | None = None) -> StoreCommands:
    """An operator's commands on the store at `path`."""
    return open_commands(StoreSettings(path=path), clock or ManualClock())


def view(store: SqliteStore | MemoryStore, sink: str = "siem") -> EventLog:
    """The log of a sink, without attaching it."""
    if isinstance(store, MemoryStore):
        return store.view(sink)
    return SinkLog(sink, store._log_reader, store._writer, store._notifier)


async def settle(store: SqliteStore | MemoryStore, sink: str, settlement: Settlement) -> None:
    await view(store, sink).settle(settlement)


async def attach(store: SqliteStore, sinks: Mapping[str, Start]) -> dict[str, int]:
    """Attach these sinks and no others; return their positions."""
    positions = {name: (await store.log(name, start))[1] for name, start in sinks.items()}
    await store.detach_except(sinks)
    return positions


async def prune(store: SqliteStore) -> None:
    """Drop everything that has expired, without waiting for the writer to do it step by step."""
    pruner = Pruner(store._writer._settings)
    while await store._writer.submit(lambda tx: pruner.step(tx.db, tx.now)):
        pass


async def index(store: SqliteStore) -> None:
    """Read all that is stored into the index, without waiting for the writer to do it step by step."""
    indexer = Indexer()
    while await store._writer.submit(lambda tx: indexer.step(tx.db)):
        pass


@asynccontextmanager
async def opened(  # as above
    path: Path,
    clock: Clock | None = None,
    *,
    sinks: Iterable[str] = ("siem",),
    max_size: str = "10GiB",
    retention: str = "7d",
    dedup_window: str = "30d",
) -> AsyncIterator[SqliteStore]:
    """A store at `path` with these sinks attached."""
    settings = StoreSettings.model_validate(
        {"path": path, "max_size": max_size, "retention": retention, "dedup_window": dedup_window}
    )
    store = await SqliteStore.open(settings, clock or ManualClock(), Metrics())
    try:
        await attach(store, dict.fromkeys(sinks, "oldest"))
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def answering(path: Path) -> AsyncIterator[SqliteStore]:
    """A store as `opened`, which the commands reach as in a running forwarder."""
    async with opened(path) as store:
        handlers: dict[type[ControlRequest], Handler] = {
            ReplayRequest: lambda request, _: store.replay(request.selection),
            DiscardRequest: lambda request, _: store.discard(request.selection),
            ForgetSinkRequest: lambda request, _: store.forget_sink(request.sink),
            BackupRequest: lambda request, report: store.backup(Path(request.target), report),
        }
        server = ControlServer(path, handlers)
        await server.start()
        try:
            yield store
        finally:
            await server.close()
