import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.errors import NotAnEventError
from forwarder.core.event import Event, Source, read_event
from forwarder.core.time import iso, to_datetime, to_micros


def read(body: bytes) -> Event:
    return read_event(body, org="acme", source=Source.HOOK, received_at=7, envelope_id="e1")


def head(**changes: str) -> bytes:
    keys = {"uuid": '"u1"', "eventType": '"user.session.start"', "published": '"2026-08-21T09:15:33.679Z"'} | changes
    return ("{" + ",".join(f'"{key}":{value}' for key, value in keys.items() if value) + "}").encode()


def test_an_event_keeps_its_bytes_and_knows_its_head() -> None:
    body = head(extra='  {"a" : [1, null]}')
    event = read(body)
    assert event.body == body
    assert (event.org, event.uuid, event.event_type) == ("acme", "u1", "user.session.start")
    assert to_datetime(event.published) == datetime(2026, 8, 21, 9, 15, 33, 679000, tzinfo=UTC)
    assert (event.received_at, event.source, event.envelope_id) == (7, Source.HOOK, "e1")


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("2026-08-21T09:15:33Z", 0),
        ("2026-08-21T09:15:33.1Z", 100_000),
        ("2026-08-21T09:15:33.679Z", 679_000),
        ("2026-08-21T09:15:33.809026Z", 809_026),
        ("2026-08-21T09:15:33.809026000Z", 809_026),
        ("2026-08-21T11:15:33.5+02:00", 500_000),
        ("2026-08-21T09:15:33.5", 500_000),
    ],
)
def test_a_time_has_up_to_nine_decimals_and_any_zone(text: str, micro: int) -> None:
    expected = datetime(2026, 8, 21, 9, 15, 33, micro, tzinfo=UTC)
    assert to_datetime(read(head(published=f'"{text}"')).published) == expected


@pytest.mark.parametrize(
    "published",
    [
        "2017-09-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2017-09-30T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-01-01T00:60:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01",
        "2026-01-01T00:00:00 Europe/Berlin",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59.9999999Z",
    ],
)
def test_an_impossible_time_makes_no_event(published: str) -> None:
    with pytest.raises(NotAnEventError, match="published"):
        read(head(published=f'"{published}"'))


@pytest.mark.parametrize("published", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_time_are_read(published: str) -> None:
    assert iso(read(head(published=f'"{published}"')).published) == published


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"3",
        b'"text"',
        b"[]",
        b"{}",
        head(uuid=""),
        head(uuid="null"),
        head(uuid="3"),
        head(uuid='" "'),
        head(eventType=""),
        head(eventType='""'),
        head(published=""),
        head(published='"yesterday"'),
        head(published="1"),
        head(displayMessage='"\xff"').replace(b"\xc3\xbf", b"\xff"),
        b'{"x":' + b"[" * 100_000,
    ],
)
def test_an_object_without_its_three_keys_is_not_an_event(body: bytes) -> None:
    with pytest.raises(NotAnEventError):
        read(body)


@pytest.mark.long
@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_the_way_to_microseconds_and_back(at: datetime) -> None:
    assert to_datetime(to_micros(at)) == at


HALF = rb'{"uuid":"u","eventType":"t","published":"2026-01-01T00:00:00Z","x":"\ud800"}'


def test_half_of_a_surrogate_pair_in_an_unread_field_is_accepted() -> None:
    event = read_event(HALF, org="acme", source=Source.HOOK, received_at=1)
    assert (event.uuid, event.body) == ("u", HALF)


def test_an_identity_with_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(NotAnEventError, match="surrogate"):
        read_event(HALF.replace(b'"u"', rb'"\udc00"'), org="acme", source=Source.HOOK, received_at=1)


@pytest.mark.parametrize("key", ["uuid", "eventType"])
def test_an_over_long_id_or_event_type_is_none(key: str) -> None:
    read(head(**{key: f'"{"x" * 256}"'}))
    for text in ("x" * 257, "x" * 1_000_000, "ü" * 129, "€" * 86):
        with pytest.raises(NotAnEventError, match="at most 256 bytes"):
            read(head(**{key: f'"{text}"'}))


@pytest.mark.long
@pytest.mark.parametrize("targets", [300, 20_000, 200_000], ids=["a small event", "an event of 60 kB", "a large event"])
def test_an_event_with_many_empty_targets_holds_little_more_memory_than_its_body(targets: int) -> None:
    bodies = [head(target="[" + ",".join(["{}"] * targets) + "]", uuid=f'"u{n}"') for n in range(10)]
    tracemalloc.start()
    try:
        events = [read(body) for body in bodies]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(events) == 10
    assert held < sum(map(len, bodies))
