"""What the e2e tests send: envelopes as Okta sends them, and the load of many at once."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from random import Random
from typing import Any

import httpx
import msgspec

from forwarder.clock import SystemClock
from forwarder.emulator.events.generator import Generator
from tests.stack.forwarder import SECRET

HEADERS = {
    "Authorization": SECRET,
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "Okta-Integrations",
}


class Sender:
    """Okta's side of a hook: posts, and remembers every uuid whose POST was answered 200.

    Attributes:
        acknowledged: uuids that the forwarder has promised to keep.
        answers: how often each status was answered; 0 stands for a connection that broke.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: set[str] = set()
        self.answers: dict[int, int] = {}

    async def post(self, client: httpx.AsyncClient, events: Iterable[tuple[str, bytes]]) -> int:
        """Post one envelope; the status, 0 where there was no answer."""
        uuids, bodies = zip(*events, strict=True)
        try:
            answer = await client.post(self.url, content=envelope(bodies), headers=HEADERS)
            status = answer.status_code
        except httpx.TransportError:
            status = 0
        if status == 200:
            self.acknowledged.update(uuids)
        self.answers[status] = self.answers.get(status, 0) + 1
        return status

    async def load(
        self,
        events: Iterable[tuple[str, bytes]],
        *,
        batch: int = 20,
        lanes: int = 8,
        again: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Post all `events`, `batch` in a POST, `lanes` POSTs at a time.

        Args:
            events: uuid and body of each.
            batch: events in one POST.
            lanes: POSTs in flight.
            again: awaited before a POST that was not answered 200 is sent once more; None sends it once only.
        """
        batches = iter(itertools.batched(events, batch)) if hasattr(itertools, "batched") else _batched(events, batch)

        async def lane(client: httpx.AsyncClient) -> None:
            for some in batches:
                while await self.post(client, some) != 200 and again is not None:
                    await again()

        async with httpx.AsyncClient(timeout=10, trust_env=False) as client, asyncio.TaskGroup() as tasks:
            for _ in range(lanes):
                tasks.create_task(lane(client))


def envelope(bodies: Iterable[bytes]) -> bytes:
    """A hook's POST with these events."""
    return (
        b'{"eventType":"com.okta.event_hook","eventTypeVersion":"1.0","cloudEventsVersion":"0.1",'
        b'"source":"https://acme.okta.com/api/v1/eventHooks/who1","eventId":"' + str(uuid.uuid4()).encode() + b'",'
        b'"data":{"events":[' + b",".join(bodies) + b']},"eventTime":"2026-08-21T09:15:44.913Z",'
        b'"contentType":"application/json"}'
    )


def happenings(count: int, *, seed: int = 1, odd: float = 0.0) -> Iterator[tuple[str, bytes]]:
    """Make `count` events of many types, as the emulated org makes them: uuid and body of each."""
    generator = Generator(Random(seed), origin="https://acme.okta.com", edge_case_share=odd)
    clock = SystemClock()
    for _ in range(count):
        event = generator.event(generator.event_type(), clock.now(), ["who1"])
        yield event.uuid, event.hook


def changed(event: tuple[str, bytes], **fields: Any) -> tuple[str, bytes]:
    """The event with top-level fields replaced."""
    tree = msgspec.json.decode(event[1])
    return event[0], msgspec.json.encode({**tree, **fields})


def _batched(events: Iterable[tuple[str, bytes]], size: int) -> Iterator[tuple[tuple[str, bytes], ...]]:
    # Python 3.11 has no itertools.batched
    events = iter(events)
    while some := tuple(itertools.islice(events, size)):
        yield some
