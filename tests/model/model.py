"""The store as its documentation says, in memory: what `test_store.py` compares the real one with."""

from dataclasses import dataclass, field
from typing import Any

from forwarder.core.event import Event, Source
from forwarder.core.ports import Batch
from forwarder.core.time import Micros

RETENTION, WINDOW = 3600, 7200  # seconds


@dataclass
class Sink:
    """What the model knows of a sink; `letters` maps a seq to whether it is being replayed."""

    position: int
    skipped: int
    attached: bool = True
    delivered: int = 0
    discarded: int = 0
    filtered: int = 0
    unattributed: int = 0
    letters: dict[int, bool] = field(default_factory=dict)


class Model:
    """The store as its documentation says."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.gone = 0  # the first so many bodies have left
        self.known: dict[tuple[str, str], int] = {}  # when it was stored, in seconds
        self.duplicates = self.rejected = self.rejects_kept = 0
        self.sinks: dict[str, Sink] = {}
        self.pending: dict[tuple[str, str], Event] = {}
        self.missed: dict[tuple[str, str], Event] = {}
        self.cursors: dict[str, str] = {}

    def append(self, batch: Batch, now: int) -> list[Event]:
        stored = []
        for one in batch.events:
            key = one.org, one.uuid
            if key in self.known:
                self.duplicates += 1
                if one.source is Source.HOOK:
                    self.pending.pop(key, None)
                    self.missed.pop(key, None)
                continue
            self.known[key] = now
            stored.append(one)
            if one.uuid in batch.expected_by_hook:
                self.pending[key] = one
        self.log += stored
        for element in batch.malformed:
            key = element.org, element.body.hex()
            if batch.source is Source.LOG:
                if key in self.known:
                    continue
                self.known[key] = now
            self.rejected += 1
            self.rejects_kept += 1
        if batch.cursor is not None:
            self.cursors |= [batch.cursor]
        return stored

    def mark_missed(self, org: str, before: Micros) -> int:
        late = {
            key: one
            for key, one in self.pending.items()
            if one.org == org and max(one.published, one.received_at) < before
        }
        self.missed |= late
        self.pending = {key: one for key, one in self.pending.items() if key not in late}
        return len(late)

    def attach(self, names: dict[str, Any]) -> None:
        for name, start in names.items():
            if name not in self.sinks:
                first = len(self.log) if start == "now" else self.gone
                self.sinks[name] = Sink(first, first)
            elif not self.sinks[name].attached:
                sink = self.sinks[name]
                missed = max(0, self.gone - sink.position)
                sink.position += missed
                sink.skipped += missed
        for name, sink in self.sinks.items():
            sink.attached = name in names

    def prune(self, now: int) -> None:
        floor = min((sink.position for sink in self.sinks.values() if sink.attached), default=len(self.log))
        while self.gone < floor and self.log[self.gone].received_at < (now - RETENTION) * 1_000_000:
            self.gone += 1
        oldest = self.log[self.gone].received_at // 1_000_000 if self.gone < len(self.log) else now
        until = min(now - WINDOW, oldest)
        self.known = {key: since for key, since in self.known.items() if since >= until}
        self.pending = {key: one for key, one in self.pending.items() if key in self.known}
        self.missed = {key: one for key, one in self.missed.items() if key in self.known}
