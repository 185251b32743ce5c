"""The Admin Console's preview: one event, chosen or made up, posted to a hook whatever its state and its types are.

It looks unlike a real delivery: explicit nulls, a time in microseconds, and, where the event is made up, a version-4 uuid
and `Success` for a result.
"""

from random import Random
from typing import Any
from uuid import UUID

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.events.generator import Generator
from forwarder.emulator.events.payloads import hook_shape, timestamp
from forwarder.emulator.hooks.caller import Caller
from forwarder.emulator.hooks.deliverer import envelope
from forwarder.emulator.hooks.hooks import Hook
from forwarder.emulator.http.errors import not_found
from forwarder.emulator.system_log.log import Part, SystemLog

_NOTHING = (
    "device",
    "actor",
    "target",
    "debugContext",
    "legacyEventType",
    "securityContext",
    "insertionTimestamp",
)


class Previewed(msgspec.Struct, frozen=True):
    """What became of a preview.

    Attributes:
        event: its uuid.
        delivered: the receiver took it.
    """

    event: str
    delivered: bool


class Preview:
    """Makes and posts previews.

    Args:
        log: where chosen events are looked for.
        random: makes the others up.
        caller: posts them.
        clock: what time it is.
        url: the org's.
    """

    def __init__(self, log: SystemLog, random: Random, caller: Caller, clock: Clock, url: str) -> None:
        self._log = log
        self._random = random
        self._generator = Generator(random, origin=url)
        self._caller = caller
        self._clock = clock
        self._url = url

    async def deliver(self, hook: Hook, uuid: str | None) -> Previewed:
        """Post one event to `hook`, twice at most.

        Args:
            hook: any.
            uuid: of an event of the log; None makes one up.

        Raises:
            OktaApiError: the log has no such event.
        """
        event = self._made_up(hook) if uuid is None else self._chosen(uuid)
        time = timestamp(self._clock.now(), "microseconds")
        body = envelope(self._url, hook, [msgspec.Raw(msgspec.json.encode(event))], time)
        answer = await self._caller.post(hook, body)
        if answer.again:
            answer = await self._caller.post(hook, body)
        return Previewed(event["uuid"], answer.taken)

    def _chosen(self, uuid: str) -> dict[str, Any]:
        wanted = uuid.encode()
        part = Part(0, self._clock.now() + 1, lambda entry: wanted in entry.body)
        for entry in self._log.poll(part, after=None, limit=1000).entries:
            event: dict[str, Any] = msgspec.json.decode(entry.body)
            if event["uuid"] == uuid:
                return hook_shape(event, nulls=True)
        raise not_found(f"Resource not found: {uuid} (LogEvent)")

    def _made_up(self, hook: Hook) -> dict[str, Any]:
        event_type = min(hook.spec.events.items)
        made = self._generator.event(event_type, self._clock.now())
        event = hook_shape(msgspec.json.decode(made.log), nulls=True) | dict.fromkeys(_NOTHING)
        event["uuid"] = str(UUID(bytes=self._random.randbytes(16), version=4))
        event["outcome"] = {"result": "Success", "reason": None}
        event["client"]["ipChain"] = None
        event["transaction"] |= {"type": None, "detail": None}
        return event
