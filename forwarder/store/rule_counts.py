"""What the rules did, as the store counts it by the hour: it outlives the bodies of alerts, and needs no running forwarder."""

from collections.abc import Mapping

import msgspec

from forwarder.core.time import SECOND, Micros

HOUR = 3600 * SECOND

HeldBack = Mapping[tuple[str, str], int]
"""How often which rule, by id, was held back for which reason: `exception` or `again`."""

NONE: HeldBack = {}


class RuleCounts(msgspec.Struct, frozen=True):
    """What one rule did in some whole hours, by our clock.

    Attributes:
        alerts: alerts stored.
        by_exception: matches that an exception held back.
        by_again: alerts held back by `rules.again`.
        last_alert: when the last of the alerts was stored; None if there is none.
    """

    alerts: int = 0
    by_exception: int = 0
    by_again: int = 0
    last_alert: Micros | None = None

    @property
    def held_back(self) -> int:
        """Both kinds together."""
        return self.by_exception + self.by_again
