"""A file sink with events to write, for the tests of the file sink."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.event import Event, Source, StoredEvent
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.file.sink import FileSink
from tests.fakes.clock import NOON, ManualClock

BODY = (
    b'{"uuid":"u-%d","eventType":"user.session.start","published":"2026-01-01T11:59:58.123Z",'
    b'"actor":{"id":"00u1","type":"User","alternateId":"a@acme.test","displayName":"Ada"}}'
)


def stored(seq: int, body: bytes | None = None) -> StoredEvent:
    return StoredEvent(
        seq,
        Event(
            "acme",
            f"u-{seq}",
            "user.session.start",
            NOON - 2_000_000,
            NOON,
            Source.HOOK,
            "",
            BODY % seq if body is None else body,
        ),
    )


def batch(first: int, count: int) -> list[StoredEvent]:
    return [stored(seq) for seq in range(first, first + count)]


@asynccontextmanager
async def sink_at(path: Path, clock: ManualClock | None = None, **options: Any) -> AsyncIterator[FileSink]:
    """A sink at `path`. A file's own time is real and the clock is not, so by default no age rotates it."""
    defaults = {"path": path, "format": "raw", "rotate_age": "36500d"}
    chosen = FileSinkSettings.model_validate({**defaults, **options})
    sink = FileSink("archive", chosen, clock or ManualClock())
    yield sink
    await sink.close()


def uuids(*paths: Path) -> list[str]:
    """The uuids in the files; fails if a line is not a JSON object or the last one is partial."""
    found = []
    for path in paths:
        content = path.read_bytes()
        assert not content or content.endswith(b"\n")
        found += [msgspec.json.decode(line)["uuid"] for line in content.splitlines()]
    return found


def assert_waits(outcome: BatchResult, events: Sequence[StoredEvent]) -> None:
    assert list(outcome.retry) == [event.seq for event in events]
    assert (outcome.reason, outcome.whole, outcome.pause) == (RetryReason.DISK, True, True)
