import itertools

import pytest

from forwarder.core.time import Micros
from forwarder.emulator.system_log.log import EmulatedSystemLog, Key, LogEntry, LogRange

SECOND = 1_000_000
ALL = LogRange(0, 1 << 62)


class Now:
    """The time of a log, in seconds."""

    seconds = 100

    def __call__(self) -> Micros:
        return self.seconds * SECOND


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def events() -> list[LogEntry]:
    return [LogEntry(number * SECOND, b'{"number":%d}' % number) for number in range(10)]


def polled(log: EmulatedSystemLog, part: LogRange = ALL, *, limit: int = 3, after: Key | None = None) -> list[LogEntry]:
    """All that a poller reads until a page is empty."""
    read: list[LogEntry] = []
    for _ in itertools.count():
        page = log.poll(part, after=after, limit=limit)
        if not page.entries:
            return read
        read += page.entries
        after = page.after
    raise AssertionError


def bounded(log: EmulatedSystemLog, part: LogRange, *, limit: int = 3, descending: bool = False) -> list[LogEntry]:
    """All that a bounded reader reads while there is more."""
    page = log.between(part, after=None, limit=limit, descending=descending)
    read = list(page.entries)
    while page.more:
        page = log.between(part, after=page.after, limit=limit, descending=descending)
        read += page.entries
    return read


def test_following_the_cursor_gives_every_event_once_in_the_order_of_storage(now: Now, events: list[LogEntry]) -> None:
    log = EmulatedSystemLog(100, now)
    log.append(events[5:])
    page = log.poll(ALL, after=None, limit=3)
    log.append(events[:5])
    assert [*page.entries, *polled(log, after=page.after)] == events[5:] + events[:5]


@pytest.mark.parametrize("since", [0, 100 * SECOND, 200 * SECOND])
def test_at_the_end_the_cursor_waits_for_what_comes_next(now: Now, events: list[LogEntry], since: Micros) -> None:
    log = EmulatedSystemLog(100, now)
    page = log.poll(LogRange(since, 1 << 62), after=None, limit=10)
    assert (page.entries, page.more) == ([], False)
    now.seconds = 200
    log.append(events[:1])
    assert log.poll(ALL, after=page.after, limit=10).entries == events[:1]


def test_a_poller_goes_by_the_time_of_storage_and_a_bounded_reader_by_that_of_happening(
    now: Now, events: list[LogEntry]
) -> None:
    log = EmulatedSystemLog(100, now)
    log.append(events[:4])
    now.seconds = 101
    log.append(events[4:])
    assert polled(log, LogRange(101 * SECOND, 1 << 62)) == events[4:]
    assert bounded(log, LogRange(2 * SECOND, 6 * SECOND)) == events[2:6]


def test_what_is_stored_late_comes_to_a_poller_late_and_in_the_order_of_storage(
    now: Now, events: list[LogEntry]
) -> None:
    log = EmulatedSystemLog(100, now)
    log.append(events[:1], at=130 * SECOND)
    log.append(events[1:2], at=120 * SECOND)
    log.append(events[2:3])
    page = log.poll(ALL, after=None, limit=10)
    assert page.entries == events[2:3]
    now.seconds = 130
    assert log.poll(ALL, after=page.after, limit=10).entries == [events[1], events[0]]
    assert bounded(log, ALL) == events[:3]


def test_a_clock_that_is_set_back_hides_no_event_from_a_poller(now: Now, events: list[LogEntry]) -> None:
    log = EmulatedSystemLog(100, now)
    log.append(events[:1])
    page = log.poll(ALL, after=None, limit=10)
    now.seconds = 50
    log.append(events[1:2])
    now.seconds = 200
    assert log.poll(ALL, after=page.after, limit=10).entries == events[1:2]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_bounded_reader_reads_upwards_or_downwards(now: Now, events: list[LogEntry], limit: int) -> None:
    log = EmulatedSystemLog(100, now)
    log.append(events[::-1])
    part = LogRange(2 * SECOND, 9 * SECOND)
    assert bounded(log, part, limit=limit) == events[2:9]
    assert bounded(log, part, limit=limit, descending=True) == events[2:9][::-1]


def test_a_poller_of_matching_events_passes_the_others(now: Now, events: list[LogEntry]) -> None:
    log = EmulatedSystemLog(100, now)
    log.append(events)
    even = LogRange(0, 1 << 62, lambda entry: entry.published % (2 * SECOND) == 0)
    assert polled(log, even, limit=2) == events[::2]
    nothing = log.poll(LogRange(0, 1 << 62, lambda _: False), after=None, limit=2)
    assert log.poll(ALL, after=nothing.after, limit=10).entries == []


def test_what_is_too_old_is_left_out_without_a_word(now: Now, events: list[LogEntry]) -> None:
    log = EmulatedSystemLog(4, now)
    log.append(events)
    assert polled(log) == events[6:]
    assert bounded(log, ALL) == events[6:]


@pytest.mark.long
def test_twenty_thousand_events_are_read_to_the_end(now: Now) -> None:
    log = EmulatedSystemLog(100_000, now)
    many = [LogEntry(number, b"{}") for number in range(20_000)]
    log.append(many)
    assert polled(log, limit=1000) == many
    assert bounded(log, ALL, limit=1000, descending=True) == many[::-1]
