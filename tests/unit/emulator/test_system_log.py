import pytest

from forwarder.emulator.system_log import LogEntry, SystemLog


@pytest.fixture
def events() -> list[LogEntry]:
    return [LogEntry(number * 1_000_000, b'{"number":%d}' % number) for number in range(10)]


def test_following_the_cursor_gives_every_event_once_in_the_order_of_storage(events: list[LogEntry]) -> None:
    log = SystemLog(100)
    log.append(events[:5])
    page, cursor = log.page(after=None, since=0, limit=3)
    read = list(page)
    log.append(events[5:])
    while page:
        page, cursor = log.page(after=cursor, since=0, limit=3)
        read += page
    assert read == events


def test_at_the_end_the_cursor_waits_for_what_comes_next(events: list[LogEntry]) -> None:
    log = SystemLog(100)
    page, cursor = log.page(after=None, since=0, limit=10)
    assert page == []
    log.append(events[:1])
    assert log.page(after=cursor, since=0, limit=10)[0] == events[:1]


def test_a_first_page_starts_at_its_time(events: list[LogEntry]) -> None:
    log = SystemLog(100)
    log.append(events)
    assert log.page(after=None, since=4_000_000, limit=2)[0] == events[4:6]
    assert log.page(after=None, since=99_000_000, limit=2) == ([], 10)


def test_what_is_too_old_is_left_out_without_a_word(events: list[LogEntry]) -> None:
    log = SystemLog(4)
    log.append(events)
    page, cursor = log.page(after=2, since=0, limit=100)
    assert page == events[6:]
    assert cursor == 10


def test_a_cursor_from_the_future_gives_nothing(events: list[LogEntry]) -> None:
    log = SystemLog(4)
    log.append(events)
    assert log.page(after=10**12, since=0, limit=5)[0] == []
