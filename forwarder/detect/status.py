"""Makes the rows for the table of rules on the status page."""

from collections.abc import Mapping
from typing import Any

from forwarder.core.time import SECOND, Micros, seconds_between
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.store.rule_counts import RuleCounts

DAY = 24 * 3600 * SECOND

_NOTHING = RuleCounts()


def rule_rows(rules: Ruleset, counts: Mapping[str, RuleCounts], now: Micros) -> list[dict[str, Any]]:
    """Return a row for each rule. The rules with the most alerts come first.

    `counts` has the counts of the 24 hours before `now`, by rule.
    """
    rows = [
        {
            "id": rule.id,
            "title": rule.title,
            "level": rule.level,
            "alerts_by_itself": rule.alerts,
            "alerts_24h": counted.alerts,
            "last_alert_seconds_ago": seconds_between(counted.last_alert, now),
            "held_back_24h": counted.held_back,
            "held_back_by_exceptions_24h": counted.by_exception,
        }
        for rule in rules.rules_and_correlations
        for counted in (counts.get(rule.id, _NOTHING),)
    ]
    return sorted(rows, key=lambda row: (-row["alerts_24h"], -row["held_back_24h"], not row["alerts_by_itself"]))
