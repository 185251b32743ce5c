"""The words in which the Grafana dashboards are described; `tools/make_grafana.py` draws them."""

from collections.abc import Mapping
from typing import Literal

import msgspec

HERE = 'job=~"$job",instance=~"$instance"'
"""The labels that every query selects by."""
ORG = f'{HERE},org=~"$org"'
SINK = f'{HERE},sink=~"$sink"'

GOOD, WARN, BAD, PLAIN = "green", "orange", "red", "text"

Unit = Literal["none", "short", "percentunit", "s", "bytes", "eps", "reqps", "cps", "dateTimeFromNow", "dateTimeAsIso"]


class Query(msgspec.Struct, frozen=True):
    """A PromQL expression.

    Attributes:
        expr: with Grafana's variables in it.
        legend: the name of each series, as in `{{sink}}`.
        now: only its value at the end of the time shown, not the course of it.
    """

    expr: str
    legend: str = ""
    now: bool = False


class Terms(msgspec.Struct, frozen=True):
    """The values of a field that are most frequent, as in a search of Elasticsearch."""

    field: str
    label: str
    size: int = 10


class Number(msgspec.Struct, frozen=True):
    """A number of a search: a count, or `cardinality`, `max` or `percentiles` of a field."""

    kind: Literal["count", "cardinality", "max", "percentiles"]
    label: str
    field: str = ""
    percents: tuple[int, ...] = ()


class Search(msgspec.Struct, frozen=True):
    """A search of Elasticsearch.

    Attributes:
        query: in Lucene's language.
        by: what the numbers are broken down by.
        numbers: without any, the documents themselves, the newest first.
        over_time: whether it has a value for each interval of time.
    """

    query: str
    by: tuple[Terms, ...] = ()
    numbers: tuple[Number, ...] = (Number("count", "Events"),)
    over_time: bool = False


class Panel(msgspec.Struct, frozen=True):
    """One panel.

    Attributes:
        title: unique on its dashboard.
        question: what it answers; Grafana shows it beside the title.
        runbook: the alert whose heading in docs/runbook.md says what to do.
        kind: `stat` for single numbers, `lines` and `bars` over time, `heatmap`, `table`, `share` for a pie, `top` for bars
            side by side, `map`, or `documents`.
        queries: what it reads.
        unit: of its numbers.
        width: of 24; 0 for an equal share of what the row has left.
        steps: colours from a number on, the first from the lowest.
        lines_at: draw the steps as lines.
        words: texts in place of numbers.
        most: the end of the axis.
        none: what to show where there is nothing.
        names: show the name of the series in place of its number.
        hidden: columns of a table that it does not show.
        columns: names for the columns of a table.
        fields: of `documents`.
        units: of single columns.
        pivot: of a table: the fields of its rows and columns, and of the numbers in them.
        at_least: only rows of the pivot whose columns have these numbers or more.
    """

    title: str
    question: str
    runbook: str
    kind: Literal["stat", "lines", "bars", "heatmap", "table", "share", "top", "map", "documents"]
    queries: tuple[Query | Search, ...]
    unit: Unit = "short"
    width: int = 0
    steps: tuple[tuple[float, str], ...] = ()
    lines_at: bool = False
    words: Mapping[str, tuple[str, str]] = {}
    most: float | None = None
    none: str = ""
    names: bool = False
    hidden: tuple[str, ...] = ()
    columns: Mapping[str, str] = {}
    fields: tuple[str, ...] = ()
    units: Mapping[str, Unit] = {}
    pivot: tuple[str, str, str] | None = None
    at_least: tuple[tuple[str, int], ...] = ()

    @property
    def description(self) -> str:
        """What Grafana shows beside the title."""
        return f"{self.question} Runbook: {self.runbook}."


class Row(msgspec.Struct, frozen=True):
    """One question and the panels that answer it, 24 wide together, or several such lines."""

    question: str
    lines: tuple[tuple[Panel, ...], ...]
    height: int = 8


class Dashboard(msgspec.Struct, frozen=True):
    """One dashboard, in one file.

    Attributes:
        name: of the file, and the end of its uid.
        title: what Grafana lists.
        question: what it answers as a whole.
        reads: the kind of its data source.
        since: how far back it looks when it is opened.
        rows: from top to bottom.
        sinks: whether a sink can be chosen.
    """

    name: str
    title: str
    question: str
    reads: Literal["prometheus", "elasticsearch"]
    since: str
    rows: tuple[Row, ...]
    sinks: bool = False

    @property
    def panels(self) -> list[Panel]:
        """All of them."""
        return [panel for row in self.rows for line in row.lines for panel in line]
