"""The counts of each rule in each hour: how many alerts the rule raised, and how many matches of the rule raised no
alert.

The store keeps these counts for 8 days. The bodies of the alerts may be dropped earlier.
"""

from collections.abc import Mapping

import msgspec

from forwarder.core.time import SECOND, Micros

HOUR = 3600 * SECOND

HeldBack = Mapping[tuple[str, str], int]
"""The number of matches of rules that raised no alert, by (id of the rule, reason).

The reason is `exception` if a configured exception matches the event. The reason is `again` if the rule has raised an
alert for the same group (such as the same user) less than `rules.again` ago.
"""

NONE: HeldBack = {}


class RuleCounts(msgspec.Struct, frozen=True):
    """The counts of one rule, summed over a number of whole hours of our clock.

    Attributes:
        alerts: the number of alerts that were stored.
        by_exception: the number of matches that raised no alert because of a configured exception.
        by_again: the number of matches that raised no alert because the rule's last alert for the same group was too
            recent (`rules.again`).
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
