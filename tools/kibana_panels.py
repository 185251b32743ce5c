"""The words in which tools/kibana_dashboards.py describes dashboards."""

from typing import Literal

import msgspec


class Top(msgspec.Struct, frozen=True):
    """The values of a field that are most frequent.

    Attributes:
        field: its name in the document.
        label: what the reader sees.
        size: how many values.
        of: the kind of its values.
    """

    field: str
    label: str
    size: int = 10
    of: Literal["string", "ip"] = "string"


class Measure(msgspec.Struct, frozen=True):
    """A number.

    Attributes:
        kind: `count` counts events, `unique` different values; `median`, `p95` and `largest` are of a number, `latest` of a
            date.
        label: what the reader sees.
        field: of which field; none for `count`.
        filter: KQL, for this number alone.
    """

    kind: Literal["count", "unique", "median", "p95", "largest", "latest"]
    label: str
    field: str = ""
    filter: str = ""


class Panel(msgspec.Struct, frozen=True):
    """One panel.

    Attributes:
        title: unique on its dashboard.
        question: what it answers.
        kind: `number`, `bars` and `lines` over time, `donut`, `table`, or single `events`, the newest first.
        by: what the numbers are broken down by; for `events`, the columns.
        measures: the numbers.
        filter: KQL; empty for all events.
        width: of 48; 0 for an equal share of what the row has left.
        system_log_only: no event hook carries such events, only Okta's System Log.
        health: it reads the forwarder's heartbeat, not Okta's events.
    """

    title: str
    question: str
    kind: Literal["number", "bars", "lines", "donut", "table", "events"]
    by: tuple[Top, ...] = ()
    measures: tuple[Measure, ...] = (Measure("count", "Events"),)
    filter: str = ""
    width: int = 0
    system_log_only: bool = False
    health: bool = False

    @property
    def description(self) -> str:
        """What Kibana shows beside the title."""
        more = " Only the System Log has these events." if self.system_log_only else ""
        return self.question + more + (" Needs `ops.heartbeat`." if self.health else "")


class Dashboard(msgspec.Struct, frozen=True):
    """One dashboard, in one file.

    Attributes:
        name: of the file, and the end of its id.
        title: what Kibana lists.
        question: what it answers as a whole.
        since: how far back it looks when it is opened.
        rows: its panels, from top to bottom, each row 48 wide.
    """

    name: str
    title: str
    question: str
    since: str
    rows: tuple[tuple[Panel, ...], ...]
