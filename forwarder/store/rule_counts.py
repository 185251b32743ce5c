"""Counts of what each rule did, by the hour. They stay after the bodies of the alerts are dropped."""

from collections.abc import Mapping

import msgspec

from forwarder.core.time import SECOND, Micros

HOUR = 3600 * SECOND

HeldBack = Mapping[tuple[str, str], int]
"""How many matches raised no alert, by (id of the rule, reason); a reason is `exception` or `again`."""

NONE: HeldBack = {}


class RuleCounts(msgspec.Struct, frozen=True):
    """Counts of what one rule did in a number of whole hours, by our clock.

    Attributes:
        alerts: alerts stored.
        by_exception: matches that raised no alert because of an exception.
        by_again: alerts that were not raised again because of `rules.again`.
        last_alert: when the last alert was stored; None if there were none.
    """

    alerts: int = 0
    by_exception: int = 0
    by_again: int = 0
    last_alert: Micros | None = None

    @property
    def held_back(self) -> int:
        """How many matches raised no alert: `by_exception` and `by_again` together."""
        return self.by_exception + self.by_again
