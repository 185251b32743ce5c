"""Draws a snapshot of the demo: the pipeline at the top, and a list of the newest events below.

The terminal needs at least 80 columns and 24 lines.
"""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from forwarder.core.printable import printable_line
from forwarder.core.wording import count
from forwarder.demo.snapshot import HOOK, LOG_ONLY, MISSED, SINK, EventRow, Snapshot

_SOURCES = {
    HOOK: ("hook", ""),
    LOG_ONLY: ("System Log", "cyan"),
    MISSED: ("System Log, missed by the hook", "bold yellow"),
}
_WIDTHS = (13, 3, 17, 4, 17, 3, 16)
"""The widths of the columns of the pipeline. Columns of parts and of arrows alternate. With the gaps between the
columns, the sum is 80."""

_STRETCHES = 10
"""A column with at least this width grows with the terminal; the columns of arrows do not."""

_WIDE = 110
"""In a terminal with at least this number of columns, the list also shows address and country."""

_PIPE_LINES = 8
_OTHER_LINES = 7  # title, blank lines, the heading of the list, the legend, the address of the status page


class Picture:
    """A picture of the demo, as large as the terminal. The library `rich` prints it.

    `page` is the address of the status page. `plugged` is False while the user has unplugged the folder of the sink, as
    if it were a disk.
    """

    def __init__(self, snapshot: Snapshot, page: str, *, plugged: bool) -> None:
        self._snapshot = snapshot
        self._page = page
        self._plugged = plugged

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        rows = max(height - _PIPE_LINES - _OTHER_LINES, 1)
        wide = options.max_width >= _WIDE
        yield Group(
            self._title(),
            Text(),
            self._pipe(),
            Text(),
            _list(self._snapshot.rows[-rows:], rows, wide=wide),
            Text(),
            _legend(),
            Text.assemble(("status page  ", "dim"), self._page),
        )

    def _title(self) -> RenderableType:
        line = Table.grid(expand=True)
        line.add_column()
        line.add_column(justify="right")
        keys = Text.assemble(
            ("u", "bold"), " unplug the sink  ", ("p", "bold"), " plug it in  ", ("q", "bold"), " quit"
        )
        line.add_row(Text("okta-forwarder demo", "bold"), keys)
        return line

    def _pipe(self) -> RenderableType:
        seen = self._snapshot
        grid = Table.grid(padding=(0, 1), expand=True)
        for width in _WIDTHS:
            grid.add_column(no_wrap=True, min_width=width, ratio=None if width < _STRETCHES else width)
        live = seen.hook == "live"
        to_sink = Text("──►") if self._plugged else Text("─ ✖", "bold red")
        sink = self._sink_lines()
        parts: list[tuple[Text | str, ...]] = [
            (_head("Okta org"), "┬─►", _head("hook"), "──┬►", _head("store"), to_sink, _head(SINK)),
            (_number(seen.happened, "event"), "│", _number(seen.by_hook, "event"), "  │", _number(seen.stored, "event"), "", sink[0]),
            (f"{seen.on_the_way:,} on the way", "│", _state("verified" if live else seen.hook, good=live), "  │", f"{seen.duplicates:,} duplicates", "", sink[1]),
            ("", "│", f"{seen.refused:,} refused", "  │", "left out", "", sink[2]),
            ("", "└─►", _head("System Log"), "──┘", "", "", sink[3]),
            ("", "", _number(seen.by_log, "event"), "", "", "", ""),
            ("", "", Text(f"{seen.log_only:,} in log only", "cyan"), "", "", "", ""),
            ("", "", Text(f"{seen.missed:,} missed", "bold yellow"), "", "", "", ""),
        ]  # fmt: skip
        for part in parts:
            grid.add_row(*part)
        return grid

    def _sink_lines(self) -> tuple[Text, Text, Text, Text]:
        seen = self._snapshot
        if not self._plugged:
            state = _state("unplugged", good=False)
        elif seen.next_try is not None:
            state = Text(f"● retry in {seen.next_try:.0f} s", "yellow")
        else:
            state = _state("up", good=True)
        waiting = Text(f"{seen.waiting:,} waiting", "bold yellow" if seen.waiting else "")
        return Text(f"{seen.delivered:,} delivered"), waiting, Text(f"{seen.dead:,} dead"), state


def _head(name: str) -> Text:
    return Text(name, "bold")


def _number(number: int, noun: str) -> Text:
    return Text(count(number, noun))


def _state(words: str, *, good: bool) -> Text:
    return Text(f"● {words}", "green" if good else "bold red")


def _list(rows: Sequence[EventRow], lines: int, *, wide: bool) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    columns = ("time", "came by", "event type", "user", "outcome", *(("address", "country") if wide else ()))
    widths = (8, 10, None, None, 9, *((15, None) if wide else ()))
    for width in widths:
        table.add_column(no_wrap=True, overflow="ellipsis", width=width, ratio=None if width else 1)
    table.add_row(*(Text(name, "dim") for name in columns))
    for row in rows:
        words, style = _SOURCES[row.source]
        cells = (row.time, words.partition(",")[0], row.event_type, row.user, row.outcome)
        more = (row.address, row.country) if wide else ()
        table.add_row(*(Text(printable_line(cell), style) for cell in (*cells, *more)))
    for _ in range(lines - len(rows)):
        table.add_row("")
    return table


def _legend() -> Text:
    legend = Text("came by  ", "dim")
    for words, style in _SOURCES.values():
        legend.append("■ ", style).append(f"{words}   ", style)
    return legend
