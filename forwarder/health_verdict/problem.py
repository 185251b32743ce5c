"""A problem of the forwarder, and how bad it is."""

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad a problem is."""

    CRITICAL = "critical"
    """Events are lost, or may be; or an effect of a reaction lasts too long."""
    WARNING = "warning"
    """Events are late, or wait in the store; or reactions wait for a human."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of the forwarder. `hint` says what to do; `runbook` is the section of docs/runbook.md about the
    problem."""

    level: Level
    text: str
    hint: str
    runbook: str
