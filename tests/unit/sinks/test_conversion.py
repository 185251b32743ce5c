"""Each event of a batch is converted and sent, or rejected alone."""

import asyncio
import threading
from time import perf_counter

from msgspec import structs

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, RejectReason
from forwarder.event_loop_steps import HOLD_SECONDS
from forwarder.sinks.conversion import Conversion
from forwarder.sinks.response_verdicts import DETAIL_LIMIT
from tests.unit.deliver.helpers import events


def stored(count: int) -> list[StoredEvent]:
    return [StoredEvent(seq, event) for seq, event in enumerate(events(count), 1)]


async def test_an_event_that_cannot_be_converted_is_rejected_and_the_others_are_sent() -> None:
    batch = stored(4)
    errors = {
        batch[1].event.uuid: UnmappableError("x" * 5_000),
        batch[2].event.uuid: ZeroDivisionError("a bug of the mapping"),
    }

    def convert(event: Event) -> str:
        if error := errors.get(event.uuid):
            raise error
        return event.uuid

    async def send(seqs: list[int], converted: list[str]) -> BatchResult:
        assert converted == [batch[0].event.uuid, batch[3].event.uuid]
        return BatchResult(delivered=seqs)

    result = await Conversion(convert).send(batch, send)
    assert result.delivered == [1, 4]
    assert [(rejection.seq, rejection.reason) for rejection in result.rejected] == [
        (2, RejectReason.UNMAPPABLE),
        (3, RejectReason.UNMAPPABLE),
    ]
    assert len(result.rejected[0].detail) == DETAIL_LIMIT
    assert "ZeroDivisionError: a bug of the mapping" in result.rejected[1].detail


async def test_nothing_is_sent_if_no_event_can_be_converted() -> None:
    def convert(_event: Event) -> str:
        raise UnmappableError("no")

    async def send(_seqs: list[int], _converted: list[str]) -> BatchResult:
        raise AssertionError("there is nothing to send")

    result = await Conversion(convert).send(stored(2), send)
    assert (result.delivered, [rejection.seq for rejection in result.rejected]) == ((), [1, 2])


async def test_of_two_batches_in_flight_one_is_converted_and_sent_before_the_other() -> None:
    steps: list[str] = []

    def convert(event: Event) -> str:
        steps.append(event.uuid)
        until = perf_counter() + 2 * HOLD_SECONDS
        while perf_counter() < until:
            pass
        return event.uuid

    async def send(seqs: list[int], _converted: list[str]) -> BatchResult:
        steps.append("sent")
        return BatchResult(delivered=seqs)

    conversion, batch = Conversion(convert), stored(2)
    await asyncio.gather(conversion.send(batch, send), conversion.send(batch, send))
    assert steps == 2 * [batch[0].event.uuid, batch[1].event.uuid, "sent"]


async def test_a_large_event_holds_no_post_up() -> None:
    answered = threading.Event()

    def convert(event: Event) -> bool:
        return len(event.body) < 1_000_000 or answered.wait(10)

    async def send(_seqs: list[int], converted: list[bool]) -> BatchResult:
        assert converted == [True, True, True]
        return BatchResult(delivered=[1, 2, 3])

    batch = stored(3)
    large = structs.replace(batch[1].event, body=b" " * 1_000_000)
    batch[1] = StoredEvent(2, large)
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(Conversion(convert).send(batch, send))
        group.create_task(asyncio.to_thread(answered.set))  # needs a turn of the loop
    assert sending.result().delivered == [1, 2, 3]


async def test_an_error_in_a_large_event_rejects_it_alone() -> None:
    def convert(event: Event) -> int:
        if len(event.body) > 1_000_000:
            raise UnmappableError("no")
        return len(event.body)

    async def send(seqs: list[int], _converted: list[int]) -> BatchResult:
        return BatchResult(delivered=seqs)

    batch = stored(2)
    batch[0] = StoredEvent(1, structs.replace(batch[0].event, body=b" " * 1_000_001))
    result = await Conversion(convert).send(batch, send)
    assert (result.delivered, [each.seq for each in result.rejected]) == ([2], [1])
