"""Brings events to one hook: queue, faults, and a ledger of what became of each event.

Okta amalgamates events that happen within a short time into one POST, has several POSTs on their way, promises no order,
and gives up after one retry. Nothing here is stored: what Okta gives up, only its System Log still has.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from random import Random

from forwarder.core.ports import Clock
from forwarder.emulator.events.generator import GeneratedEvent
from forwarder.emulator.hooks.deliverer import Post
from forwarder.emulator.settings import EmulatorSettings, Faults

_SPREAD = 1.0
"""Seconds that a reordered event may come late."""


class Delivery:
    """One hook's queue and the tasks that empty it.

    An event may wait in several copies (a duplicate is one more). It counts as delivered as soon as the receiver took one of
    them, and as dropped when the last word on it is that Okta gave up, or never sent it.

    Args:
        post: brings the envelopes.
        settings: batch, window and how many POSTs at a time.
        clock: what time it is.
        random: draws the faults, and nothing else, so that a seed makes the same ones however the calls go.
        tasks: where its tasks live; a task that breaks ends the group.
    """

    def __init__(
        self,
        post: Post,
        settings: EmulatorSettings,
        clock: Clock,
        *,
        random: Random,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._post = post
        self._settings = settings
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._ready: deque[GeneratedEvent] = deque()
        self._arrived = asyncio.Event()
        self._collecting = asyncio.Lock()
        self._stopped = False
        self._copies = 0
        self._idle = asyncio.Event()
        self._idle.set()
        # Dictionaries as ordered sets.
        self.delivered: dict[str, None] = {}
        self.dropped: dict[str, None] = {}
        for _ in range(settings.in_flight):
            self._start(self._work())

    @property
    def waiting(self) -> int:
        """Copies that wait or are on their way."""
        return self._copies

    def offer(self, events: Sequence[GeneratedEvent], faults: Faults) -> None:
        """Queue events for the hook, with the faults that chance and `faults` give them."""
        draw = self._random.random
        copies = []
        for event in events:
            if draw() < faults.drop:
                self.dropped[event.uuid] = None
                continue
            copies += [event, event] if draw() < faults.duplicate else [event]
        if not faults.reorder:
            return self._queue(copies, faults.delay)
        self._random.shuffle(copies)
        late = [draw() < 0.5 for _ in copies]
        self._queue([copy for copy, is_late in zip(copies, late, strict=True) if not is_late], faults.delay)
        behind = faults.delay + draw() * _SPREAD
        return self._queue([copy for copy, is_late in zip(copies, late, strict=True) if is_late], behind)

    async def drained(self) -> None:
        """Return when no copy waits or is on its way."""
        await self._idle.wait()

    def stop(self) -> None:
        """Give up all that waits: the hook is gone."""
        self._stopped = True
        for task in self._running:
            task.cancel()
        self._settle(self._ready)
        self._ready.clear()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _queue(self, copies: list[GeneratedEvent], delay: float) -> None:
        if not copies:
            return
        self._copies += len(copies)
        self._idle.clear()
        if delay:
            # A callback, because a task that is cancelled before its first step never runs.
            wait = self._start(self._clock.sleep(delay))
            wait.add_done_callback(
                lambda done: self._settle(copies) if done.cancelled() else self._arrive(copies)
            )
        else:
            self._arrive(copies)

    def _arrive(self, copies: list[GeneratedEvent]) -> None:
        if self._stopped:  # a wait that was over just before: nobody is left to post them
            self._settle(copies)
            return
        self._ready.extend(copies)
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            batch = await self._take()
            taken = False
            try:
                taken = await self._post.bring(batch)
            finally:
                self._settle(batch, taken=taken)

    async def _take(self) -> list[GeneratedEvent]:
        """The next envelope's events: all that wait, up to `batch`, after `window` if they are fewer."""
        async with self._collecting:  # one task collects while the others post
            while not self._ready:
                self._arrived.clear()
                await self._arrived.wait()
            if len(self._ready) < self._settings.batch and self._settings.window:
                await self._clock.sleep(self._settings.window)
            return [self._ready.popleft() for _ in range(min(self._settings.batch, len(self._ready)))]

    def _settle(self, batch: Collection[GeneratedEvent], *, taken: bool = False) -> None:
        for event in batch:
            if taken:
                self.delivered[event.uuid] = None
                self.dropped.pop(event.uuid, None)
            elif event.uuid not in self.delivered:
                self.dropped[event.uuid] = None
        self._copies -= len(batch)
        if not self._copies:
            self._idle.set()
