"""A problem of the forwarder, and how bad it is."""

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad a problem is: the severity of the alert that its section of the runbook is about."""

    CRITICAL = "critical"
    """A human must act now: events are lost, or may be soon; a sink gets no events until an operator acts, or has got
    none for an hour; or an effect of a reaction lasts too long."""
    WARNING = "warning"
    """A human must act today: events are late, or wait in the store; or reactions wait for a human."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of the forwarder. `hint` says what to do; `runbook` is the section of docs/runbook.md about the
    problem."""

    level: Level
    text: str
    hint: str
    runbook: str
