"""The body of a POST: received within its limit, inflated, split into events."""

import contextlib
import gzip
import json
import random
import sys
import time
import zlib
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest

from forwarder.core.errors import BadRequestError
from forwarder.core.event import Event, MalformedEvent
from forwarder.receive.body_budget import BodyBudget
from forwarder.receive.envelope import ClientDisconnectedError, Headers, Receive, inflate, parse, read_body
from tests.fakes.bomb import bomb
from tests.fakes.turns import turns_of_others

# The body


def received(*pieces: bytes | None) -> Receive:
    """An ASGI `receive` that gives these pieces; None is the client's end."""
    messages = [
        {"type": "http.disconnect"}
        if piece is None
        else {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    return receive


async def receive_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    with BodyBudget(10_000_000).body() as held:
        return await read_body(headers, receive, limit, held)


def encoded(encoding: bytes) -> Headers:
    return [(b"content-encoding", encoding)]


async def status(body: bytes, encoding: bytes = b"gzip", limit: int = 1_000_000) -> int:
    with pytest.raises(BadRequestError) as caught:
        await receive_body(encoded(encoding), received(body), limit)
    return caught.value.status


async def test_pieces_are_joined() -> None:
    assert await receive_body([], received(b"ab", b"", b"c"), 3) == b"abc"
    assert await receive_body([], received(b"abc"), 3) == b"abc"


@pytest.mark.parametrize("pieces", [(b"abcd",), (b"ab", b"cd"), (b"abcd", b"never read")])
async def test_a_byte_too_many_is_413(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequestError) as caught:
        await receive_body([], received(*pieces), 3)
    assert caught.value.status == 413


async def test_a_client_that_goes_leaves_nothing() -> None:
    with pytest.raises(ClientDisconnectedError):
        await receive_body([], received(b"ab", None), 3)
    with pytest.raises(ClientDisconnectedError):
        await receive_body([], received(None), 3)


@pytest.mark.parametrize("digits", ["0" * 5000 + "3", "9" * 5001, "0" * 20])
async def test_a_content_length_of_thousands_of_digits_is_400(digits: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await receive_body([(b"content-length", digits.encode())], received(b"abc"), 3)
    assert caught.value.status == 400


@pytest.mark.long
@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_gzip_of_any_size_is_inflated(size: int) -> None:
    for plain in (random.Random(1).randbytes(size), b"a" * size):
        assert inflate(gzip.compress(plain, mtime=0), size + 1024) == plain


async def test_several_gzip_streams_in_a_row_are_one_body() -> None:
    two = gzip.compress(b"ab", mtime=0) + gzip.compress(b"c")
    assert await receive_body(encoded(b" X-GZip "), received(two), 100) == b"abc"


@pytest.mark.long
async def test_a_bomb_is_stopped_at_the_limit() -> None:
    assert await status(bomb(100, 1_000_000), limit=1_000_000) == 413
    assert await status(gzip.compress(b"a" * 101, mtime=0), limit=100) == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        gzip.compress(b"abc", mtime=0)[:-1],
        gzip.compress(b"abc", mtime=0) + b"x",
        zlib.compress(b"abc"),
        b"\x1f\x8b" * 20,
    ],
)
async def test_invalid_gzip_is_400(body: bytes) -> None:
    assert await status(body) == 400


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"\xff", b"zstd"])
async def test_other_encodings_are_415(encoding: bytes) -> None:
    assert await status(gzip.compress(b"", mtime=0), encoding) == 415


async def test_identity_is_the_body_itself() -> None:
    assert await receive_body(encoded(b"identity"), received(b"abc"), 3) == b"abc"


# The envelope

GOOD = b'{"uuid":"%d","published":"2026-01-01T11:59:50Z","eventType":"user.session.start"%s}'


def good(number: int, extra: bytes = b"") -> bytes:
    return GOOD % (number, extra)


def envelope(*elements: bytes, more: bytes = b"") -> bytes:
    return b'{"data":{"events":[' + b",".join(elements) + b"]}" + more + b"}"


async def read(body: bytes) -> tuple[Sequence[Event], Sequence[MalformedEvent]]:
    batch = await parse(body, org="acme", received_at=7)
    return batch.events, batch.malformed


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
        (b',"eventId":"' + b"e" * 256 + b'"', "e" * 256),
        (b',"eventId":"' + b"e" * 257 + b'"', ""),
        (b',"eventId":"' + "ü".encode() * 129 + b'","eventID":"b"', "b"),
    ],
)
async def test_the_envelope_id_is_kept_where_it_is_text_and_never_in_the_way(more: bytes, expected: str) -> None:
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
async def test_an_invalid_element_is_malformed_with_its_bytes_between_its_neighbours(bad: bytes) -> None:
    events, malformed = await read(envelope(good(1), bad, good(3)))
    assert [event.uuid for event in events] == ["1", "3"]
    assert [element.body for element in malformed] == [bad]
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


POISON = {
    "nested 979 levels": good(2, b',"x":' + b"[" * 979 + b"]" * 979),
    "nested 1,000 levels": good(2, b',"x":' + b'{"a":' * 1000 + b"1" + b"}" * 1000),
    "nested 100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "nested levels around half a pair": good(2, b',"x":' + b"[" * 5000 + rb'"\ud800"' + b"]" * 5000),
    "NaN": b"NaN",
    "a key with NaN": good(2, b',"x":NaN'),
    "a key with -Infinity": good(2, b',"x":[1,-Infinity]'),
    "a control character": good(2, b',"x":"a\x01b"'),
    "a line break in a string": good(2, b',"x":"a\nb"'),
    "a broken escape": good(2, rb',"x":"\q"'),
    "a broken byte in a key": good(2, b',"\xff":1'),
    "single quotes": good(2, b",'x':'y'"),
    "a missing comma": good(2, b' "x":[{"a":1},{"b":2}]'),
    "a missing value": good(2, b',"x":,"y":1'),
    "a comma too many": good(2, b","),
    "a bracket too many": good(2) + b"}",
    "a number with a leading zero": good(2, b',"x":007'),
    "a bare word": b"event",
    "a literal in capitals": good(2, b',"x":True'),
}


@pytest.mark.parametrize("bad", POISON.values(), ids=POISON.keys())
async def test_one_poison_element_costs_only_itself(bad: bytes) -> None:
    for separator in (b",", b", ", b" ,\n\t"):
        elements = separator.join([good(1), bad, good(3)])
        events, malformed = await read(b'{"data":{"events":[' + elements + b']},"eventId":"p"}')
        assert [event.body for event in events] == [good(1), good(3)]
        assert [element.body for element in malformed] == [bad]
        assert malformed[0].detail
        assert events[0].envelope_id == malformed[0].envelope_id == "p"


@pytest.mark.parametrize("bad", [b"NaN", b"[" * 5000 + b"]" * 5000, rb'"\ud800"'])
async def test_escapes_in_the_keys_of_an_envelope_with_an_invalid_element_cost_no_event(bad: bytes) -> None:
    elements = b",".join([good(1), bad, good(3)])
    events, malformed = await read(rb'{"d\u0061ta":{"\u0065vents":[' + elements + rb']},"event\u0049d":"p"}')
    assert [(event.body, event.envelope_id) for event in events] == [(good(1), "p"), (good(3), "p")]
    assert [element.body for element in malformed] == [bad]


@pytest.mark.long
@pytest.mark.parametrize("separator", [b",", b", "])
async def test_a_truncated_element_costs_only_itself(separator: bytes) -> None:
    whole = good(2, b',"actor":{"id":"a,{b}","type":"User"}')
    cut_in_the_last = 0
    for length in range(1, len(whole)):
        cut = whole[:length].rstrip(b" ")
        body = b'{"data":{"events":[' + separator.join([good(1), cut, good(3), good(4)]) + b"]}}"
        events, malformed = await read(body)
        assert [event.uuid for event in events] == ["1", "3", "4"], cut
        assert [element.body.rstrip(b", ") for element in malformed] == [cut.rstrip(b", ")]
        events, malformed = await read(b'{"data":{"events":[' + separator.join([good(1), cut]) + b"]}}")
        assert [event.uuid for event in events] == ["1"]
        cut_in_the_last += len(malformed)
    assert cut_in_the_last == len(whole) - 1


@pytest.mark.parametrize(
    "odd", [b'"\x01"', b"NaN", b"[" * 5000 + b"]" * 5000, b'"\xff"', rb'"\ud800"', b"1e999", b"9" * 5001]
)
async def test_an_odd_value_beside_the_events_costs_none_of_them(odd: bytes) -> None:
    body = b'{"x":' + odd + b',"data":{"y":' + odd + b',"events":[' + good(1) + b"," + good(2) + b'],"z":' + odd
    events, malformed = await read(body + b'},"eventId":"p","w":' + odd + b"}")
    assert [(event.uuid, event.envelope_id) for event in events] == [("1", "p"), ("2", "p")]
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
    assert [element.body for element in malformed] == [b"0"]
    assert events[0].envelope_id == "p"


@pytest.mark.long
@pytest.mark.parametrize("count", [9_999, 10_001, 20_000, 43_000, 44_000])
async def test_any_number_of_halves_of_surrogate_pairs_is_accepted(count: int) -> None:
    odd = good(1, b',"x":"' + count * rb"\ud800" + b'"')
    events, malformed = await read(envelope(odd))
    assert ([event.body for event in events], malformed) == ([odd], [])


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"events":[%s]},"data":{"events":[%s]}}',
        b'{"data":{"events":[%s],"events":[%s]}}',
        b'{"data":{"events" : [%s]}, "eventId":"p", "data" :{"x":0}, "data":{"events":[], "events":[%s]}}',
        rb'{"d\u0061ta":{"events":[%s]},"data":{"events":[%s]}}',
        rb'{"data":{"events":[%s],"\u0065\u0076\u0065\u006e\u0074\u0073":[%s]}}',
        b'{"data":{"events":[%s, 0]},"data":{"events":[%s]},"data":{}}',
        b'{"x":"\\"events\\":[","data":{"events":[%s]},"data":{"events":[%s]}}',
        b'{"x":{"events":[2]},"data":{"events":[%s,%s],"events":[]}}',
    ],
)
@pytest.mark.parametrize("extra", [b"", rb',"x":"\ud800"', b',"data":{"events":["data"]}'])
async def test_the_events_of_all_lists_are_read_if_a_key_is_repeated(body: bytes, extra: bytes) -> None:
    first, second = good(1, extra), good(2, extra)
    events, malformed = await read(body % (first, second))
    assert [event.body for event in events] == [first, second]
    assert [element.body for element in malformed] == [b"0"] * body.count(b", 0]")


async def test_a_list_that_is_repeated_does_not_raise_the_number_of_elements_that_a_body_may_have() -> None:
    assert await refused(b'{"data":{"events":[' + b"1," * 700 + b'1],"events":[' + b"1," * 700 + b"1]}}") == 400


async def test_a_byte_order_mark_is_accepted() -> None:
    assert len((await read(b"\xef\xbb\xbf" + envelope(good(1))))[0]) == 1


@pytest.mark.long
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
        pytest.param(b"[" * 1_000_000, marks=pytest.mark.long),
        b'{"a":' * 100_000,
        envelope(good(1, rb',"x":"\ud800"'))[:-1],
        envelope(good(1)).decode().encode("utf-16"),
        b"\x00" * 100,
        envelope(good(1), *[b"1"] * 2_000),
    ],
)
async def test_an_invalid_envelope_is_400(body: bytes) -> None:
    assert await refused(body) == 400


@pytest.mark.long
async def test_every_one_of_a_hundred_thousand_events_is_read_in_short_steps() -> None:
    element = good(1)
    body = envelope(*[element] * 100_000)
    began = time.process_time()
    async with turns_of_others() as turns:
        events, _ = await read(body)
    assert len(events) == 100_000
    assert (time.process_time() - began) / turns.count < 0.02  # seconds of CPU that a step may take


LARGE = {
    "half a pair in every event": envelope(*[good(1, rb',"x":"\ud800"')] * 40_000),
    "half pairs in one event": envelope(good(1, b',"x":"' + rb"\ud800" * 500_000 + b'"')),
    "a lone half at the end of one event": envelope(good(1, b',"x":"' + b"x" * 4_000_000 + rb'\ud800"')),
    "elements of one byte": envelope(*[b"1"] * 2_000_000),
    "brackets": envelope(b"[" * 2_000_000 + b"]" * 2_000_000),
    "NaN behind many events": envelope(*[good(1)] * 40_000, b"NaN"),
}


@pytest.mark.long
@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE.keys())
async def test_a_large_body_of_any_kind_is_read_in_short_steps(body: bytes) -> None:
    began = time.process_time()
    async with turns_of_others() as turns:
        with contextlib.suppress(BadRequestError):
            await read(body)
    assert (time.process_time() - began) / turns.count < 0.02  # seconds of CPU that a step may take


@pytest.mark.long
async def test_a_thousand_invalid_elements_are_a_thousand_malformed_events() -> None:
    events, malformed = await read(envelope(good(1), *[b"1"] * 1_000))
    assert (len(events), len(malformed)) == (1, 1_000)


async def test_an_event_does_not_hold_on_to_the_body_that_it_came_in() -> None:
    events, _ = await read(envelope(good(1), good(2, b',"x":"' + b"x" * 1_000_000 + b'"')))
    assert sys.getsizeof(events[0].body) < 200


async def test_what_msgspec_splits_is_what_json_reads() -> None:
    values = [{"uuid": str(n), "published": "2026-01-01T00:00:00Z", "eventType": "t", "n": [n] * n} for n in range(50)]
    for indent in (None, 3):
        body = json.dumps({"data": {"events": values}}, indent=indent).encode()
        assert [json.loads(event.body) for event in (await read(body))[0]] == values
