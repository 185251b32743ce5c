"""An envelope into its events."""

import json
import sys
import time

import pytest

from forwarder.core.errors import BadRequestError
from forwarder.receive.parse import Parsed, parse
from tests.fakes.turns import turns_of_others

GOOD = b'{"uuid":"%d","published":"2026-01-01T11:59:50Z","eventType":"user.session.start"%s}'


def good(number: int, extra: bytes = b"") -> bytes:
    return GOOD % (number, extra)


def envelope(*elements: bytes, more: bytes = b"") -> bytes:
    return b'{"data":{"events":[' + b",".join(elements) + b"]}" + more + b"}"


async def read(body: bytes) -> Parsed:
    return await parse(body, org="acme", received_at=7)


async def refused(body: bytes) -> int:
    with pytest.raises(BadRequestError) as caught:
        await read(body)
    return caught.value.status


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (b"", ""),
        (b',"eventId":"a"', "a"),
        (b',"eventID":"b"', "b"),
        (b',"eventId":null', ""),
        (b',"eventId":null,"eventID":"b"', "b"),
        (b',"eventId":5', ""),
        (b',"eventId":{"x":[1]}', ""),
        (b',"eventId":"\xff"', ""),
    ],
)
async def test_the_envelope_id_is_kept_where_it_is_text_and_never_in_the_way(
    more: bytes, expected: str
) -> None:
    events, malformed = await read(envelope(good(1), b"0", more=more))
    assert events[0].envelope_id == malformed[0].envelope_id == expected


@pytest.mark.parametrize(
    "bad",
    [
        b"null",
        b"1",
        b'"text"',
        b"[]",
        b"{}",
        good(2).replace(b'"uuid"', b'"id"'),
        good(2).replace(b'"2"', b"null"),
        good(2).replace(b'"2"', b'" "'),
        good(2).replace(b'"eventType"', b'"type"'),
        good(2).replace(b'"2026-01-01T11:59:50Z"', b'"yesterday"'),
        good(2).replace(b'"2026-01-01T11:59:50Z"', b"9" * 5000),
        good(2, b',"x":"\xff\xfe"'),
        good(2, b',"x":"\xed\xa0\x80"'),
        good(2).replace(b'"2"', rb'"\ud800"'),
        good(2).replace(b'"2"', rb'"\ufffd","x":"\ud800"'),
    ],
)
async def test_what_is_no_event_is_a_reject_with_its_bytes_between_its_neighbours(bad: bytes) -> None:
    events, malformed = await read(envelope(good(1), bad, good(3)))
    assert [event.uuid for event in events] == ["1", "3"]
    assert [reject.body for reject in malformed] == [bad]
    assert malformed[0].detail


@pytest.mark.parametrize(
    "extra",
    [
        b',"x":null',
        b',"x":1e99999',
        b',"x":' + b"9" * 10_000,
        b',"x":' + b"[" * 500 + b"]" * 500,
        b',"uuid":"1"',
        rb',"x":"\ud83d\ude00"',
        rb',"x":"\\ud800"',
        b',"x":"\xf0\x9f\x98\x80"',
        b' ,\n\t"x" : [ ] ',
    ],
)
async def test_odd_but_lawful_elements_are_events_byte_for_byte(extra: bytes) -> None:
    events, malformed = await read(envelope(good(1, extra)))
    assert [event.body for event in events] == [good(1, extra)]
    assert not malformed


@pytest.mark.parametrize(
    "lone", [rb"\ud800", rb"\uDC00", rb"a\ud83d\n", rb"\ud83d\ud83d", rb"\\\ud800", rb"\ud83d\\udc00"]
)
async def test_half_of_a_surrogate_pair_costs_neither_its_event_nor_a_neighbour(lone: bytes) -> None:
    odd = good(2, b',"x":"' + lone + b'"')
    elements = [good(1), odd, b"0", good(3, b',"y":["' + lone + b'"]')]
    events, malformed = await read(
        b'{"eventId":"p","z":"' + lone + b'","data":{"events":[ ' + b" ,\n".join(elements) + b" ]}}"
    )
    assert [event.body for event in events] == [good(1), odd, elements[3]]
    assert [reject.body for reject in malformed] == [b"0"]
    assert events[0].envelope_id == "p"


async def test_the_last_of_two_equal_keys_counts_also_with_half_a_pair() -> None:
    first, second = good(1, rb',"x":"\ud800"'), good(1, rb',"x":"\udbff"')
    body = b'{"data":{"events":[' + first + b']},"data":{"events":[' + second + b"]}}"
    assert [event.body for event in (await read(body)).events] == [second]


async def test_a_byte_order_mark_is_no_fault() -> None:
    assert len((await read(b"\xef\xbb\xbf" + envelope(good(1)))).events) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":{"events":null}}',
        b'{"data":{"events":{}}}',
        b'{"data":{"events":[1,]}}',
        envelope(good(1)) + b"x",
        envelope(good(1))[:-2],
        envelope(b"NaN"),
        envelope(good(1, b',"x":Infinity')),
        envelope(b"[" * 100_000 + b"]" * 100_000),
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        envelope(good(1, rb',"x":"\ud800"'))[:-1],
        envelope(b"[" * 100_000 + rb'"\ud800"' + b"]" * 100_000),
        envelope(good(1)).decode().encode("utf-16"),
        b"\x00" * 100,
        envelope(good(1), more=b',"x":"\x01"'),
        envelope(good(1), *[b"1"] * 2_000),
    ],
)
async def test_what_is_no_envelope_is_400(body: bytes) -> None:
    assert await refused(body) == 400


async def test_every_one_of_a_hundred_thousand_events_is_read_in_short_steps() -> None:
    element = good(1)
    body = envelope(*[element] * 100_000)
    began = time.perf_counter()
    async with turns_of_others() as turns:
        events, _ = await read(body)
    assert len(events) == 100_000
    assert (time.perf_counter() - began) / turns.count < 0.02  # seconds that a step may take


async def test_a_thousand_elements_that_are_no_events_are_a_thousand_rejects() -> None:
    events, malformed = await read(envelope(good(1), *[b"1"] * 1_000))
    assert (len(events), len(malformed)) == (1, 1_000)


async def test_an_event_does_not_hold_on_to_the_body_that_it_came_in() -> None:
    events, _ = await read(envelope(good(1), good(2, b',"x":"' + b"x" * 1_000_000 + b'"')))
    assert sys.getsizeof(events[0].body) < 200


async def test_what_msgspec_splits_is_what_json_reads() -> None:
    values = [
        {"uuid": str(n), "published": "2026-01-01T00:00:00Z", "eventType": "t", "n": [n] * n}
        for n in range(50)
    ]
    for indent in (None, 3):
        body = json.dumps({"data": {"events": values}}, indent=indent).encode()
        assert [json.loads(event.body) for event in (await read(body)).events] == values
