"""For each rule and hour, the numbers of alerts and of matches that raised no alert.

The store keeps these counts longer than the bodies of the alerts.
"""

from collections.abc import Mapping

import msgspec

from forwarder.core.time import SECOND, Micros

HOUR = 3600 * SECOND

HeldBack = Mapping[tuple[str, str], int]
"""The number of matches that raised no alert, by (id of the rule, reason).

The reason `exception` means that a configured exception matches the event. The reason `again` means that the rule alerted
about the same group less than `rules.again` ago.
"""

NONE: HeldBack = {}


class RuleCounts(msgspec.Struct, frozen=True):
    """The counts of one rule, added up over some whole hours of our clock.

    Attributes:
        alerts: the number of alerts that were stored.
        by_exception: the number of matches that raised no alert because of a configured exception.
        by_again: the number of matches that raised no alert because of the setting `rules.again`.
        last_alert: when the last alert was stored; None if there was no alert.
    """

    alerts: int = 0
    by_exception: int = 0
    by_again: int = 0
    last_alert: Micros | None = None

    @property
    def held_back(self) -> int:
        """The number of matches that raised no alert: the sum of `by_exception` and `by_again`."""
        return self.by_exception + self.by_again
