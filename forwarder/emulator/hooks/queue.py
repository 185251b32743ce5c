"""The queue of one hook. The queue injects the hook's faults, and records which events were delivered or dropped.

Okta groups the events of a short time into one POST, has several POSTs in flight, promises no order, and
gives up after one retry. The queue is only in memory: after Okta gives up an event, only the System Log has
the event.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from random import Random

from forwarder.core.ports import Clock
from forwarder.emulator.events.generator import GeneratedEvent
from forwarder.emulator.settings import EmulatorSettings, Faults

_SPREAD = 1.0
"""The longest additional delay of a reordered event, in seconds."""


class HookQueue:
    """The queue of one hook and the tasks that empty it.

    The fault `duplicate` puts two copies of an event into the queue. An event counts as delivered as soon as the
    receiver accepts one copy. An event counts as dropped if Okta never sends the event, or gives up one copy before the
    receiver has accepted another copy.

    Args:
        deliver: posts some events in one request, and returns whether the receiver accepted the events.
        random: used only to draw the faults. So the faults depend only on the seed, not on the answers of receivers.
        tasks: the task group of the queue's tasks; a bug in one task ends the whole group.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[GeneratedEvent]], Awaitable[bool]],
        settings: EmulatorSettings,
        clock: Clock,
        *,
        random: Random,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._deliver = deliver
        self._settings = settings
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._ready: deque[GeneratedEvent] = deque()
        self._arrived = asyncio.Event()
        self._collecting = asyncio.Lock()
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.waiting = 0  # the number of copies that wait, including copies in flight
        # Dictionaries as ordered sets of uuids.
        self.delivered: dict[str, None] = {}
        self.dropped: dict[str, None] = {}
        for _ in range(settings.in_flight):
            self._start(self._work())

    def add(self, events: Sequence[GeneratedEvent], faults: Faults) -> None:
        """Queue `events`. Drop, duplicate or delay some events at random, by the shares in `faults`."""
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
        groups: tuple[list[GeneratedEvent], list[GeneratedEvent]] = ([], [])
        for copy in copies:
            groups[draw() < 0.5].append(copy)
        self._queue(groups[0], faults.delay)
        return self._queue(groups[1], faults.delay + draw() * _SPREAD)

    async def drained(self) -> None:
        """Wait until no copy of an event waits or is in flight."""
        await self._idle.wait()

    def stop(self) -> None:
        """Stop the tasks and drop all events that wait, because the hook is deleted or the org stops."""
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
        self.waiting += len(copies)
        self._idle.clear()
        if delay:
            # In a callback, because a task that is cancelled before its first step would not run any code.
            wait = self._start(self._clock.sleep(delay))
            wait.add_done_callback(lambda done: self._settle(copies) if done.cancelled() else self._arrive(copies))
        else:
            self._arrive(copies)

    def _arrive(self, copies: list[GeneratedEvent]) -> None:
        if self._stopped:  # the delay ended just before the stop, and no task is left to post the copies
            self._settle(copies)
            return
        self._ready.extend(copies)
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            batch = await self._next_batch()
            delivered = False
            try:
                delivered = await self._deliver(batch)
            finally:
                self._settle(batch, delivered=delivered)

    async def _next_batch(self) -> list[GeneratedEvent]:
        """Return the events of the next POST: at most `settings.batch`. If the queue has fewer events, first wait
        `settings.window` seconds for more events."""
        async with self._collecting:  # one task collects while the others post
            while not self._ready:
                self._arrived.clear()
                await self._arrived.wait()
            if len(self._ready) < self._settings.batch and self._settings.window:
                await self._clock.sleep(self._settings.window)
            return [self._ready.popleft() for _ in range(min(self._settings.batch, len(self._ready)))]

    def _settle(self, batch: Collection[GeneratedEvent], *, delivered: bool = False) -> None:
        for event in batch:
            if delivered:
                self.delivered[event.uuid] = None
                self.dropped.pop(event.uuid, None)
            elif event.uuid not in self.delivered:
                self.dropped[event.uuid] = None
        self.waiting -= len(batch)
        if not self.waiting:
            self._idle.set()
