"""The table `rule_hours`: the counts of each rule in each hour.

The counts are committed in the same transaction as the position of the rules. So after a crash, nothing is counted
twice.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence

from forwarder.core.alert import rule_of
from forwarder.core.event import Event
from forwarder.core.time import SECOND, Micros
from forwarder.store.rule_counts import HOUR, HeldBack, RuleCounts

_KEPT = 8 * 86_400 * SECOND

_ADD = """
INSERT INTO rule_hours VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (rule, hour) DO UPDATE SET
  alerts = alerts + excluded.alerts, by_exception = by_exception + excluded.by_exception,
  by_again = by_again + excluded.by_again, last_alert = IFNULL(excluded.last_alert, last_alert)
"""


def add(db: sqlite3.Connection, alerts: Sequence[Event], held_back: HeldBack, now: Micros) -> None:
    """Add `alerts` and `held_back` (the matches that raised no alert) to the counts of the hour that contains `now`."""
    alerted = Counter(map(rule_of, alerts))
    for rule in {*alerted, *(rule for rule, _ in held_back)}:
        by_exception, by_again = (held_back.get((rule, reason), 0) for reason in ("exception", "again"))
        last = now if alerted[rule] else None
        db.execute(_ADD, (rule, now // HOUR, alerted[rule], by_exception, by_again, last))


def read(db: sqlite3.Connection, since: Micros) -> dict[str, RuleCounts]:
    """See `store.interface.StoreCommands.rule_counts`."""
    rows = db.execute(
        "SELECT rule, SUM(alerts), SUM(by_exception), SUM(by_again), MAX(last_alert) FROM rule_hours "
        "WHERE hour >= ? GROUP BY rule",
        (since // HOUR,),
    )
    return {rule: RuleCounts(*counts) for rule, *counts in rows}


def drop_old(db: sqlite3.Connection, now: Micros) -> None:
    """Drop the counts of hours that are more than 8 days old."""
    db.execute("DELETE FROM rule_hours WHERE hour < ?", ((now - _KEPT) // HOUR,))
