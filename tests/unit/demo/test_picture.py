"""The picture of the demo: it fits the terminal, and says what is cut off nowhere."""

import io
from typing import Any

import pytest
from rich.console import Console

from forwarder.demo.picture import Picture
from forwarder.demo.snapshot import HOOK, LOG_ONLY, MISSED, EventRow, Snapshot

PAGE = "http://127.0.0.1:9464/"


def row(seq: int, source: str = HOOK, **fields: str) -> EventRow:
    shown = {
        "time": "12:00:00",
        "event_type": "user.session.start",
        "user": "a@b.example",
        "outcome": "success",
        "address": "192.0.2.1",
        "country": "France",
    }
    return EventRow(seq=seq, source=source, **{**shown, **fields})


def snapshot(number: int = 12, rows: tuple[EventRow, ...] = (), **changes: Any) -> Snapshot:
    seen = Snapshot(
        happened=number,
        on_the_way=number % 100,
        by_hook=number,
        by_log=number,
        log_only=number,
        missed=number,
        refused=number,
        hook="live",
        stored=number,
        duplicates=number,
        delivered=number,
        waiting=number,
        dead=number,
        next_try=None,
        rows=rows,
    )
    return seen._replace(**changes)


def drawn(seen: Snapshot, width: int, height: int, *, plugged: bool = True) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(Picture(seen, PAGE, plugged=plugged))
    return out.getvalue().rstrip("\n").split("\n")


@pytest.mark.long
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("rows", [0, 3, 100])
def test_it_fills_the_terminal_and_is_no_larger(width: int, height: int, rows: int) -> None:
    lines = drawn(snapshot(rows=tuple(row(seq) for seq in range(rows))), width, height)
    assert len(lines) == height
    assert max(len(line) for line in lines) <= width


@pytest.mark.long
@pytest.mark.parametrize("number", [0, 1, 12, 1_234, 99_999])
def test_no_number_is_cut_off_at_80_columns(number: int) -> None:
    lines = drawn(snapshot(number, next_try=12.3), 80, 24)
    assert "…" not in "".join(lines)
    noun = "event" if number == 1 else "events"
    for text in (
        f"{number:,} {noun}",
        f"{number:,} missed",
        f"{number:,} dead",
        f"{number:,} in log only",
        "retry in 12 s",
        PAGE,
    ):
        assert any(text in line for line in lines), text


@pytest.mark.long
def test_an_unplugged_sink_and_a_silent_hook_are_seen() -> None:
    text = "\n".join(drawn(snapshot(hook="unverified"), 80, 24, plugged=False))
    assert "unplugged" in text
    assert "✖" in text
    assert "● unverified" in text


@pytest.mark.long
def test_the_newest_events_are_last_and_say_how_they_came() -> None:
    rows = (
        row(1, event_type="too.old"),
        *(row(seq) for seq in range(2, 9)),
        row(9, LOG_ONLY),
        row(10, MISSED, event_type="last.one"),
    )
    lines = drawn(snapshot(rows=rows), 80, 24)
    text = "\n".join(lines)
    assert "too.old" not in text
    assert "last.one" in text
    assert text.index("user.session.start") < text.index("last.one")
    assert sum("System Log " in line for line in lines) >= 3


@pytest.mark.long
def test_what_an_event_says_cannot_steer_the_terminal() -> None:
    text = "\n".join(drawn(snapshot(rows=(row(1, user="\x1b[2J\x07a\rb"),)), 80, 24))
    assert "\x1b[2J" not in text
    assert "\x07" not in text
