"""What a run prints: one line for each figure, with its bound and whether it holds."""

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One figure.

    Attributes:
        name: what was measured.
        value: the figure; None where it could not be measured, and `raw` says why.
        unit: of it; empty for a ratio.
        raw: what the figure was made of.
        least: the bound where it must not be less.
        most: the bound where it must not be more.
    """

    name: str
    value: float | None
    unit: str = ""
    raw: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is within its bound; None where it has none, or was not measured."""
        if self.value is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def bound(self) -> str:
        """The bound, as text."""
        if self.least is not None:
            return f"≥ {self.least:g}"
        return f"≤ {self.most:g}" if self.most is not None else ""

    def line(self) -> str:
        """One line of the table."""
        value = "-" if self.value is None else f"{_short(self.value)} {self.unit}".strip()
        verdict = {None: "", True: "yes", False: "NO"}[self.holds]
        return f"| {self.name} | {value} | {self.bound} | {verdict} | {self.raw} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(figures: Sequence[Figure]) -> str:
    """All figures, in Markdown."""
    head = ["| what | figure | bound | holds | raw |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(figure.line() for figure in figures)])


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """The median, with the least and the most where there are several."""
    text = f"{middle(values):,.0f}"
    return text if len(values) == 1 else f"{text} ({min(values):,.0f}-{max(values):,.0f})"


def machine() -> str:
    """What the run was made on, and how busy that was."""
    cores = len(os.sched_getaffinity(0))
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{cores} cores, Python {platform.python_version()}, {platform.system()}; load average {busy}"


def write(path: Path, figures: Sequence[Figure], **facts: Any) -> None:
    """All figures and `facts` about the run, as JSON."""
    rows = [{**msgspec.to_builtins(figure), "holds": figure.holds} for figure in figures]
    text = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts, "figures": rows}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
