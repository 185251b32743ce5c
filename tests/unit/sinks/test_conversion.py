"""Each event of a batch is converted and sent, or rejected alone."""

import asyncio
from time import perf_counter

from forwarder.cooperative import HOLD_SECONDS
from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, RejectReason
from forwarder.sinks.conversion import Conversion
from forwarder.sinks.outcomes import DETAIL_LIMIT
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
