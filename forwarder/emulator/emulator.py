"""An Okta org that runs in this process: for the demo, for tests, and to try a configuration without Okta."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from random import Random
from typing import Any, Self

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.emulator.actors import Actor, Call
from forwarder.emulator.event_ledger import EmulatorLedger, HookLedger
from forwarder.emulator.events.event_templates import HOOK_TYPES
from forwarder.emulator.events.fixtures import entity
from forwarder.emulator.events.generator import GeneratedEvent, Generator
from forwarder.emulator.events.requested_changes import Change
from forwarder.emulator.groups.groups import EmulatedGroups
from forwarder.emulator.groups.rules import GroupRules
from forwarder.emulator.hooks.deliverer import Deliverer
from forwarder.emulator.hooks.hook_body import build_spec
from forwarder.emulator.hooks.hooks import EmulatedHook, Hooks
from forwarder.emulator.hooks.preview import Previewed, generated_event, logged_event
from forwarder.emulator.hooks.queue import HookQueue
from forwarder.emulator.hooks.quota import Quota
from forwarder.emulator.http.auth import Authenticator
from forwarder.emulator.http.errors import invalid
from forwarder.emulator.iam.roles import AdminRoles
from forwarder.emulator.oauth.servers import AuthorizationServers
from forwarder.emulator.prompts.prompts import EmulatedPrompts
from forwarder.emulator.settings import EmulatorSettings
from forwarder.emulator.ssf.providers import Providers
from forwarder.emulator.ssf.receiver import SecurityEventReceiver
from forwarder.emulator.system_log.log import EmulatedSystemLog, LogEntry
from forwarder.emulator.users.directory import UserDirectory
from forwarder.emulator.zones.zones import Zones

_HISTORY = 100_000
"""The number of events that the System Log keeps."""

_SLICE = 50
"""The number of events that are generated before other tasks may run."""

_TICK = 0.02
"""The shortest wait, in seconds, between two batches of the events that `rate` demands."""


class Emulator:
    """An Okta org. Use the org as an async context manager: it delivers events only inside the context. At the end of
    the context, it drops the events that still wait for delivery.

    Methods raise OktaApiError where Okta would refuse the call. The constructor raises KeyFormatError if the
    text of an app's key is not a key.

    Attributes:
        hooks: the event hooks; to create, verify or delete a hook, use the methods of this class.
        faults: the faults that the org injects from now on; they may be replaced at any time.
        users, groups, group_rules, zones: objects of the org that callers of the API may change.
        prompts: the prompts sent to users' phones, by factor push or CIBA.
        admin_roles: custom roles, resource sets, and who holds which role.
        org_id: the org's id, in Okta's form.
        providers, security_events: the senders of Security Event Tokens, and the receiver of these tokens.
        servers: the authorization servers, which sign the id tokens of CIBA.
        calls: the record of the API calls that can change the org, the oldest first.
        log_fault_random: draws the faults of the System Log's API.
        fault_randoms: draw the faults of other API calls; the keys are `changes`, `polls`, `reads`.
        started: when the org was created.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._seed = secrets.randbits(64) if settings.seed is None else settings.seed
        self.settings = settings
        self.faults = settings.faults
        self.clock = clock
        self.started = clock.now()
        self.authenticator = Authenticator(settings, clock)
        self.system_log = EmulatedSystemLog(_HISTORY, clock.now)
        self._generator = Generator(
            self._random("events"),
            origin=settings.url,
            edge_case_share=settings.edge_case_share,
            log_only_share=settings.log_only_share,
            odd_types=settings.odd_types,
        )
        # A generator of its own, so that an event about a hook does not change the random draws for other events.
        self._report_generator = Generator(self._random("reports"), origin=settings.url)
        self.hooks = Hooks(clock, self._random("hooks"), self._report)
        self.calls: list[Call] = []
        fixtures = self._generator.fixtures
        self.users = UserDirectory(fixtures, self.hooks.created_by, clock, self._random("users"), self.report_change)
        things, random = fixtures.things("UserGroup"), self._random("groups")
        self.groups = EmulatedGroups(things, self.users, clock, random, self.report_change)
        self.group_rules = GroupRules(clock, random, self.groups)
        self.zones = Zones(clock, self._random("zones"), self.report_change)
        self.admin_roles = AdminRoles(clock, self._random("roles"), self.report_change)
        self.org_id = f"00o{self.hooks.created_by[3:]}"
        self.providers = Providers(clock, self._random("providers"), self.report_change)
        self.security_events = SecurityEventReceiver(settings, clock, self.providers, self.users, self.report_change)
        self.prompts = EmulatedPrompts(clock, self.report_change)
        self.servers = AuthorizationServers(settings.url, [thing["id"] for thing in fixtures.things("AuthServer")])
        self.log_fault_random = self._random("faults of the log")
        self.fault_randoms = {name: self._random(f"faults of {name}") for name in ("changes", "polls", "reads")}
        self._log_delay_random = self._random("delays of the log")
        quota = Quota(clock, settings.quota, self._report_quota)
        self._deliverer = Deliverer(settings, clock, quota, partial(self._report, "delivery"))
        self._preview_random = self._random("previews")
        self._uuids: list[str] = []
        self._own_uuids: list[str] = []
        self._queues: dict[str, HookQueue] = {}
        self._tasks = asyncio.TaskGroup()
        self._emitting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        if self.settings.rate:
            self._emitting = self._tasks.create_task(self._emit_at_rate(self.settings.rate))
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._emitting:
            self._emitting.cancel()
        self.prompts.close()
        for queue in self._queues.values():
            queue.stop()
        try:
            # The error is not passed on, because the task group would wrap it. The group's tasks are cancelled already.
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._deliverer.close()

    def create_hook(self, body: bytes) -> EmulatedHook:
        """Create a hook from the body of `POST /api/v1/eventHooks`."""
        hook = self.hooks.create(body)
        deliver = partial(self._deliverer.deliver, hook)
        random = self._random(f"faults of {hook.id}")
        self._queues[hook.id] = HookQueue(deliver, self.settings, self.clock, random=random, tasks=self._tasks)
        return hook

    def add_hook(
        self,
        uri: str,
        secret: str,
        *,
        name: str = "forwarder",
        header: str = "Authorization",
        types: Sequence[str] = HOOK_TYPES,
    ) -> EmulatedHook:
        """Create a hook for the receiver at `uri` (https, or http to a loopback address).

        `header` is the header that carries `secret`.
        """
        return self.create_hook(build_spec(uri, secret, name=name, header=header, types=types))

    async def verify(self, hook_id: str) -> EmulatedHook:
        """Send the challenge to a hook's receiver. If the receiver echoes it, the hook becomes VERIFIED."""
        hook = self.hooks.find(hook_id)
        channel = hook.spec.channel
        if not await self._deliverer.verify(hook) or hook.spec.channel != channel:
            self._report("verified", hook, f'Hook "{hook.spec.name}" execution failed')
            cause = f"Unable to verify event hook. Hook {hook.spec.name} execution failed"
            raise invalid("eventHook", cause)
        self.hooks.set_verified(hook)
        self._report("verified", hook)
        return hook

    async def preview(self, hook_id: str, uuid: str | None = None) -> Previewed:
        """Post an event to a hook in any state, as Okta's Admin Console does for a preview.

        The ledger does not count the event. If `uuid` is given, the event comes from the System Log. If `uuid` is None,
        an event of one of the hook's types is generated.
        """
        hook, now = self.hooks.find(hook_id), self.clock.now()
        if uuid is not None:
            event = logged_event(self.system_log, uuid, now)
        else:
            generator = Generator(self._preview_random, origin=self.settings.url)
            event = generated_event(generator, self._preview_random, min(hook.spec.events.items), now)
        return Previewed(event["uuid"], await self._deliverer.preview(hook, event))

    def delete_hook(self, hook_id: str) -> None:
        """Delete an INACTIVE hook, and drop the events that still wait for delivery by this hook."""
        self.hooks.delete(hook_id)
        self._queues[hook_id].stop()

    async def emit(self, count: int, types: Sequence[str] = (), change: Change | None = None) -> list[str]:
        """Emit events now, to the System Log and to the hooks, which deliver them in the background.

        Return the uuids of the events. The events get the event types in `types` in turn; each type must be in Okta's
        catalogue. If `types` is empty, event types are drawn at random, common types more often. `change` changes each
        event before it is written.
        """
        uuids: list[str] = []
        for some in self._slices(count, types):
            uuids += self._emit_batch(some, change)
            await asyncio.sleep(0)
        return uuids

    async def emit_past(self, count: int, types: Sequence[str] = (), *, since: Micros) -> list[str]:
        """Emit events as `emit` does, but only to the System Log, with times spread evenly from `since` to now."""
        now = self.clock.now()
        if since > now:
            raise invalid("since", "since: must not be in the future")
        uuids: list[str] = []
        for some in self._slices(count, types):
            for event_type in some:
                event = self._generator.event(event_type, since + len(uuids) * ((now - since) // count))
                self.system_log.append([LogEntry(event.published, event.log)], at=event.published)
                self._uuids.append(event.uuid)
                uuids.append(event.uuid)
            await asyncio.sleep(0)
        return uuids

    @property
    def waiting(self) -> int:
        """The number of copies of events that wait for delivery or are in flight, for all hooks together."""
        return sum(queue.waiting for queue in self._queues.values())

    async def drain(self) -> None:
        """Wait until every hook's queue is empty and no POST is in flight."""
        while self.waiting:
            for queue in self._queues.values():
                await queue.drained()

    def ledger(self) -> EmulatorLedger:
        """Return all events so far, and whether the hooks delivered them."""
        hooks = {
            hook_id: HookLedger(list(queue.delivered), list(queue.dropped)) for hook_id, queue in self._queues.items()
        }
        return EmulatorLedger(list(self._uuids), list(self._own_uuids), hooks)

    def _random(self, purpose: str) -> Random:
        """Return a random generator for one purpose. Its draws do not depend on the draws for other
        purposes."""
        return Random(f"{self._seed} {purpose}")  # noqa: S311  no secret is drawn from it

    def _slices(self, count: int, types: Sequence[str]) -> Iterator[list[str]]:
        """Yield `count` event types in lists of limited length: `types` in turn, or types drawn at random if `types` is
        empty."""
        unknown = sorted(set(types) - EVENT_TYPES.keys())
        if unknown:
            raise invalid("types", f"types: not in Okta's catalogue of event types: {', '.join(unknown[:5])}")
        turns = cycle(types)
        for start in range(0, count, _SLICE):
            size = min(_SLICE, count - start)
            yield list(islice(turns, size)) or [self._generator.event_type() for _ in range(size)]

    def _emit_batch(self, types: Sequence[str], change: Change | None) -> list[str]:
        hooks = self.hooks.all()
        events = []
        for event_type in types:
            hook_ids = [hook.id for hook in hooks if event_type in hook.types]
            event = self._generator.event(event_type, self.clock.now(), hook_ids, change)
            events.append(event)
            self._write(event)
        for hook in hooks:
            mine = [event for event in events if event.event_type in hook.types]
            self._queues[hook.id].add(mine, self.faults)
        uuids = [event.uuid for event in events]
        self._uuids += uuids
        return uuids

    def _report(self, change: str, hook: EmulatedHook, failure: str | None = None) -> None:
        """Write an event about a hook to the System Log. No hook carries such events.

        Okta documents when it writes these events, but not their contents; the fields here are a guess.
        """
        outcome = {"result": "SUCCESS" if failure is None else "FAILURE", "reason": failure and failure[:255]}
        self._write_own(
            f"event_hook.{change}",
            target=[entity(hook.id, "EventHook", hook.spec.name)],
            debug={} if failure is None else {"errorMessage": failure},
            outcome=outcome,
            severity="INFO" if failure is None else "WARN",
        )

    def report_change(self, event_type: str, by: Actor, **fields: Any) -> None:
        """Report a change of the org: write an event to the System Log, and send the event to the hooks that subscribe
        to its type."""
        hook_ids = [hook.id for hook in self.hooks.all() if event_type in hook.types]
        debug = {"targetEventHookIds": ",".join(hook_ids)} if hook_ids else {}
        usual = {
            "actor": by.actor(),
            "outcome": {"result": "SUCCESS", "reason": None},
            "transaction": {"type": "WEB", "id": secrets.token_urlsafe(20), "detail": by.transaction()},
        }
        event = self._report_generator.report(
            event_type, self.clock.now(), debug=debug | fields.pop("debug", {}), **(usual | by.origin() | fields)
        )
        self._uuids.append(event.uuid)
        self._write(event)
        for hook_id in hook_ids:
            self._queues[hook_id].add([event], self.faults)

    def _report_quota(self, step: str, threshold: int) -> None:
        """Write an event about the hooks' quota to the System Log. (Okta does not document its type.)"""
        debug = {
            "operationRateLimitType": "event_hook_delivery",
            "operationRateLimitScopeType": "ORG",
            "operationRateLimitThreshold": str(threshold),
        }
        self._write_own(f"system.operation.rate_limit.{step}", severity="WARN", debug=debug)

    def _write_own(self, event_type: str, **fields: Any) -> None:
        """Write an event to the System Log, but send it to no hook."""
        event = self._report_generator.report(event_type, self.clock.now(), **fields)
        self._own_uuids.append(event.uuid)
        self._write(event)

    def _write(self, event: GeneratedEvent) -> None:
        """Append an event to the System Log, after the delay that the log's faults `delay` and `spread`
        set."""
        faults = self.faults.log
        delay = faults.delay + self._log_delay_random.random() * faults.spread
        at = self.clock.now() + round(delay * SECOND) if delay else None
        self.system_log.append([LogEntry(event.published, event.log)], at=at)

    async def _emit_at_rate(self, rate: float) -> None:
        """Emit `rate` events a second on average, even if this task wakes up late."""
        started = self.clock.monotonic()
        emitted = 0
        while True:
            due = int((self.clock.monotonic() - started) * rate) - emitted
            await self.emit(due)
            emitted += due
            await self.clock.sleep(max(_TICK, 1 / rate))
