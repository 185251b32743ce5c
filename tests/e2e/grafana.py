"""What Grafana asks for each panel of a dashboard, read from the files as they are shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]

SHOWN = 60
"""Seconds that the tests' Grafana shows."""
VARIABLES = {
    "$__rate_interval": "5s",
    "$__interval": "2s",
    "$__range": f"{SHOWN}s",
    "$job": ".+",
    "$instance": ".+",
    "$org": ".+",
    "$sink": ".+",
}
"""As Grafana fills them in when everything is chosen; the data source is scraped twice a second."""


class Asked(msgspec.Struct, frozen=True):
    """A query of a panel, as it is in the file."""

    dashboard: str
    panel: Json
    target: Json

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel['title']} {self.target['refId']}"


def dashboard(path: Path) -> Json:
    """A dashboard as it is shipped."""
    found: Json = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(path: Path) -> list[Json]:
    """The panels of a dashboard, without its rows."""
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def asked(path: Path) -> Iterator[Asked]:
    """Every query of a dashboard."""
    for panel in panels(path):
        for target in panel["targets"]:
            yield Asked(path.stem, panel, target)


def filled(expression: str) -> str:
    """The expression as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression
