"""The emulated org: an Okta org in a process, for the demo, for tests, and for trying a configuration without Okta."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from random import Random
from typing import Self

import msgspec

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.emulator.events.event_templates import HOOK_TYPES
from forwarder.emulator.events.generator import GeneratedEvent, Generator
from forwarder.emulator.hooks.caller import Caller, Connections
from forwarder.emulator.hooks.deliverer import Post, Quota
from forwarder.emulator.hooks.delivery import Delivery
from forwarder.emulator.hooks.hooks import Hook, Hooks
from forwarder.emulator.hooks.preview import Preview, Previewed
from forwarder.emulator.http.errors import invalid
from forwarder.emulator.reports import Reports
from forwarder.emulator.settings import EmulatorSettings
from forwarder.emulator.system_log.log import LogEntry, SystemLog

_SLICE = 50
"""Events that are made at one go; then others get their turn."""

_TICK = 0.02
"""Seconds between two looks at what should have happened by itself."""


class HookLedger(msgspec.Struct, frozen=True):
    """What became of one hook's events.

    Attributes:
        delivered: uuids that its receiver took.
        dropped: uuids that Okta never sent or gave up. A receiver that answered too late may have them all the same.
    """

    delivered: list[str]
    dropped: list[str]


class Ledger(msgspec.Struct, frozen=True):
    """What happened, and what became of it.

    Attributes:
        events: uuids of every event that happened in the org.
        own: uuids of what the org's log says of its own hooks: that one was made, or that a POST failed. No hook has them.
        hooks: by hook id, deleted hooks included. An event that still waits stands in neither list.
    """

    events: list[str]
    own: list[str]
    hooks: dict[str, HookLedger]


class Progress(msgspec.Struct, frozen=True):
    """The ledger in numbers, all hooks together; cheap, for a live view."""

    happened: int
    own: int
    delivered: int
    dropped: int
    waiting: int


class Emulator:
    """An Okta org. Enter it as a context, or nothing is delivered; on leaving, what still waits is given up.

    Attributes:
        settings: as given.
        hooks: the event hooks; for what a caller of the API does, use the methods here.
        log: the System Log.
        faults: what goes wrong from now on; may be replaced at any time.
        log_chance: draws the faults of the System Log's API.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._seed = secrets.randbits(64) if settings.seed is None else settings.seed
        self.settings = settings
        self.faults = settings.faults
        self.clock = clock
        self.log = SystemLog(settings.history, clock.now)
        self._generator = Generator(
            self._chance("events"),
            origin=settings.url,
            edge_case_share=settings.edge_case_share,
            log_only_share=settings.log_only_share,
            nulls=settings.nulls == "explicit",
        )
        reporter = Generator(self._chance("reports"), origin=settings.url)
        self._reports = Reports(reporter, clock, self._report)
        self.hooks = Hooks(
            clock, self._chance("hooks"), self._reports.changed, propagation=settings.propagation
        )
        self.log_chance = self._chance("faults of the log")
        self._late = self._chance("delays of the log")
        self._quota = Quota(clock, settings.quota, self._reports)
        self._connections = Connections(settings.ca_file)
        self._caller = Caller(self._connections, settings.timeout)
        self._preview = Preview(self.log, self._chance("previews"), self._caller, clock, settings.url)
        self._uuids: list[str] = []
        self._own_uuids: list[str] = []
        self._deliveries: dict[str, Delivery] = {}
        self._tasks = asyncio.TaskGroup()
        self._own: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        if self.settings.rate:
            self._own.add(self._tasks.create_task(self._go_on()))
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._own:
            task.cancel()
        for delivery in self._deliveries.values():
            delivery.stop()
        try:
            # Nothing of the body's error: the group would wrap it, and all its tasks are cancelled already.
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._connections.close()

    def create_hook(self, body: bytes) -> Hook:
        """`POST /api/v1/eventHooks`.

        Raises:
            OktaApiError: the org refuses it.
        """
        hook = self.hooks.create(body)
        chance = self._chance(f"faults of {hook.id}")
        post = Post(hook, self._caller, self.settings, self.clock, self._quota, self._reports)
        self._deliveries[hook.id] = Delivery(
            post, self.settings, self.clock, random=chance, tasks=self._tasks
        )
        return hook

    def add_hook(
        self,
        uri: str,
        secret: str,
        *,
        name: str = "forwarder",
        header: str = "Authorization",
        types: Sequence[str] = HOOK_TYPES,
    ) -> Hook:
        """Create a hook, as `create_hook`, from the little that it needs.

        Args:
            uri: where it posts; https, or http to this machine.
            secret: the value that it sends in `header`.
            name: the hook's.
            header: which header carries the secret.
            types: event types; all that hooks can carry, if none are given.
        """
        auth = {"type": "HEADER", "key": header, "value": secret}
        spec = {
            "name": name,
            "events": {"type": "EVENT_TYPE", "items": types},
            "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": uri, "authScheme": auth}},
        }
        return self.create_hook(msgspec.json.encode(spec))

    async def verify(self, hook_id: str) -> Hook:
        """Send the challenge to the hook's address; with the right echo the hook is VERIFIED.

        Raises:
            OktaApiError: there is no such hook, or no right echo came. The hook stays as it was.
        """
        hook = self.hooks.get(hook_id)
        channel = hook.spec.channel
        if not await self._caller.verify(hook) or hook.spec.channel != channel:
            told = f"Unable to verify event hook. Hook {hook.spec.name} execution failed"
            self._reports.verified(hook, f'Hook "{hook.spec.name}" execution failed')
            raise invalid("eventHook", told)
        self.hooks.set_verified(hook)
        self._reports.verified(hook, None)
        return hook

    def delete_hook(self, hook_id: str) -> None:
        """Delete an INACTIVE hook; what still waits for it is given up.

        Raises:
            OktaApiError: there is no such hook, or it is ACTIVE.
        """
        self.hooks.delete(hook_id)
        self._deliveries[hook_id].stop()

    async def preview(self, hook_id: str, uuid: str | None = None) -> Previewed:
        """Post one event to a hook as the Admin Console's preview does. It stands in no ledger.

        Args:
            hook_id: whose.
            uuid: of an event of the System Log; None makes one up.

        Raises:
            OktaApiError: there is no such hook or event.
        """
        return await self._preview.deliver(self.hooks.get(hook_id), uuid)

    async def emit(self, count: int, types: Sequence[str] = ()) -> list[str]:
        """Emit events now, to the System Log and to the hooks. Delivery goes on meanwhile and after.

        Args:
            count: how many.
            types: event types to use in turn; if empty, any hook type, common ones more often.

        Returns:
            The uuids of the events.

        Raises:
            OktaApiError: a type is not in Okta's catalogue.
        """
        return await self._emit_in_slices(count, types, lambda types, _: self._emit_batch(types))

    async def emit_past(self, count: int, types: Sequence[str] = (), *, since: Micros) -> list[str]:
        """Write events to the System Log as if they had happened between `since` and now; no hook delivers them.

        Args:
            count: how many.
            types: as of `emit`.
            since: when the first one happened.

        Returns:
            The uuids of the events.

        Raises:
            OktaApiError: a type is not in Okta's catalogue, or `since` is in the future.
        """
        now = self.clock.now()
        if since > now:
            raise invalid("since", "since: must not be in the future")
        step = (now - since) // count
        return await self._emit_in_slices(
            count, types, lambda types, done: self._emit_past_batch(types, since + done * step, step)
        )

    async def _emit_in_slices(
        self,
        count: int,
        types: Sequence[str],
        emit: Callable[[Sequence[str], int], Sequence[GeneratedEvent]],
    ) -> list[str]:
        """Call `emit` with the types of each slice and the number of events before it."""
        unknown = sorted(set(types) - EVENT_TYPES.keys())
        if unknown:
            raise invalid("types", f"Okta's catalogue has no {', '.join(unknown[:5])}")
        turns = cycle(types)
        uuids: list[str] = []
        while len(uuids) < count:
            size = min(_SLICE, count - len(uuids))
            some = list(islice(turns, size)) or [self._generator.event_type() for _ in range(size)]
            uuids += [event.uuid for event in emit(some, len(uuids))]
            await asyncio.sleep(0)
        return uuids

    async def drain(self) -> None:
        """Return when every hook's queue is empty and no POST is on its way."""
        while any(delivery.waiting for delivery in self._deliveries.values()):
            for delivery in self._deliveries.values():
                await delivery.drained()

    def ledger(self) -> Ledger:
        """What happened so far, and what became of it. A copy."""
        hooks = {
            hook_id: HookLedger(list(delivery.delivered), list(delivery.dropped))
            for hook_id, delivery in self._deliveries.items()
        }
        return Ledger(list(self._uuids), list(self._own_uuids), hooks)

    def progress(self) -> Progress:
        """The ledger in numbers."""
        deliveries = self._deliveries.values()
        return Progress(
            happened=len(self._uuids),
            own=len(self._own_uuids),
            delivered=sum(len(delivery.delivered) for delivery in deliveries),
            dropped=sum(len(delivery.dropped) for delivery in deliveries),
            waiting=sum(delivery.waiting for delivery in deliveries),
        )

    def _chance(self, of_what: str) -> Random:
        """A source of its own for each thing that is drawn, so that one does not change the others."""
        return Random(f"{self._seed} {of_what}")  # noqa: S311  no secret is drawn from it

    def _emit_batch(self, types: Sequence[str]) -> list[GeneratedEvent]:
        hooks = self.hooks.all()
        now = self.clock.now()
        wanted = {hook.id: hook.wanted(now) for hook in hooks}
        events = []
        for event_type in types:
            ids = [hook_id for hook_id, items in wanted.items() if event_type in items]
            events.append(self._generator.event(event_type, self.clock.now(), ids))
        self._uuids += [event.uuid for event in events]
        for event in events:
            self._write(event)
        for hook in hooks:
            mine = [event for event in events if event.event_type in wanted[hook.id]]
            self._deliveries[hook.id].offer(mine, self.faults)
        return events

    def _emit_past_batch(self, types: Sequence[str], at: Micros, step: int) -> list[GeneratedEvent]:
        """Events of the past, the first one `at`, the others each a `step` later, in the log since then."""
        events = [
            self._generator.event(event_type, at + number * step) for number, event_type in enumerate(types)
        ]
        self._uuids += [event.uuid for event in events]
        for event in events:
            self.log.append([LogEntry(event.published, event.log)], at=event.published)
        return events

    def _report(self, event: GeneratedEvent) -> None:
        self._own_uuids.append(event.uuid)
        self._write(event)

    def _write(self, event: GeneratedEvent) -> None:
        """Let the System Log have it, as late as the faults say."""
        faults = self.faults.log
        late = faults.delay + self._late.random() * faults.spread
        at = self.clock.now() + round(late * 1_000_000) if late else None
        self.log.append([LogEntry(event.published, event.log)], at=at)

    async def _go_on(self) -> None:
        """Events that happen by themselves, `rate` a second on average, however late a tick comes."""
        rate = self.settings.rate
        started = self.clock.monotonic()
        made = 0
        while True:
            due = int((self.clock.monotonic() - started) * rate) - made
            await self.emit(due)
            made += due
            await self.clock.sleep(max(_TICK, 1 / rate))
