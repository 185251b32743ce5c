"""Keeps what a rule remembers about each of its groups of events. The number of groups is limited: the groups that were
used longest ago are dropped first."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice, product
from typing import Any

from forwarder.core.time import SECOND, Micros
from forwarder.rules.conditions.event_fields import FieldReader, Reading, texts
from forwarder.rules.evaluation.windows import Count, Different, Ordered, Shape, Windows
from forwarder.rules.sigma.correlation import Correlation

_STEP = 500
"""The number of groups that are checked or dropped in one step."""

_MOST_GROUPS = 16
"""The maximum number of groups of one event; its fields may have several values."""

_MOST_VALUE = 200
"""The number of characters of a value that are compared. A sender could make a value of any length."""


class RuleGroup(Windows):
    """One group of one rule: events with the same values in the fields that the rule groups by.

    Attributes:
        matched: the number of events since the last alert.
        held_back: the number of alerts that were held back since the last alert.
        alerts: the times of the latest alerts, oldest first. The time of an alert is the end of its time span. Other
            alerts near these times are held back.
        stale: the times of stale alerts. An alert is stale if its rule needs only one event, and this event is late or
            ahead of the forwarder's clock. Reactions ignore stale alerts. So a stale alert holds back only other stale
            alerts: a later alert that is not stale must still get its reaction.
        touched: when the group last matched an event, by the forwarder's clock.
    """

    __slots__ = ("alerts", "held_back", "matched", "stale", "touched")

    def __init__(self) -> None:
        super().__init__()
        self.matched = 0
        self.held_back = 0
        self.alerts: tuple[Micros, ...] = ()
        self.stale: tuple[Micros, ...] = ()
        self.touched: Micros = 0

    def is_silent(self, at: Micros, again: Micros, *, stale: bool = False) -> bool:
        """Whether an alert at the time `at` must be held back, because less than `again` lies between `at` and another
        alert of the group."""
        alerts = self.alerts + self.stale if stale else self.alerts
        return bool(alerts) and any(abs(at - alert) < again for alert in alerts)

    def alerted(self, at: Micros, *, stale: bool = False) -> None:
        """Record an alert at `at`, and reset the counts."""
        if stale:
            self.stale = _with(self.stale, at)
        else:
            self.alerts = _with(self.alerts, at)
        self.matched = self.held_back = 0


def _with(times: tuple[Micros, ...], at: Micros) -> tuple[Micros, ...]:
    return times if at in times else tuple(sorted([*times, at])[-32:])


class RuleGroups:
    """The groups of all rules, by key.

    Attributes:
        evicted: the number of groups that were dropped too early, before the end of `keep`, because there were more
            than `most` groups. A caller may reset this number to 0.
    """

    def __init__(self, most: int, keep: Micros) -> None:
        """Keep at most `most` groups, each for `keep` microseconds after its last event."""
        self._most = most
        self._keep = keep
        self._groups: dict[str, RuleGroup] = {}
        self._swept: Micros = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._groups)

    def touch(self, key: str, now: Micros) -> RuleGroup:
        """Return the group with `key`, or a new group, and record that it was used at `now`. Other groups may be
        dropped: those whose time to keep has ended and, if there are too many groups, those used longest ago."""
        group = self._groups.pop(key, None) or RuleGroup()
        self._groups[key] = group  # to the end: the first group is the one used longest ago
        group.touched = now
        if len(self._groups) > self._most:
            self._evict(now)
        elif now - self._swept > self._keep // 32:
            self._sweep(now)
        return group

    def _evict(self, now: Micros) -> None:
        # Drop several at a time, because finding the first entry of a dict is slow after many first entries were deleted.
        for key in list(islice(self._groups, max(1, min(_STEP, self._most // 50)))):
            self.evicted += now - self._groups.pop(key).touched <= self._keep

    def _sweep(self, now: Micros) -> None:
        self._swept = now
        while self._groups:
            first = list(islice(self._groups, _STEP))
            old = [key for key in first if now - self._groups[key].touched > self._keep]
            for key in old:
                del self._groups[key]
            if len(old) < _STEP:
                return


def shape_of(rule: Correlation) -> Shape:
    """Return the Shape that evaluates the condition of a correlation."""
    timespan = rule.timespan * SECOND
    if rule.type == "temporal_ordered":
        return Ordered(timespan, len(rule.rules))
    return (Count if rule.type == "event_count" else Different)(timespan, rule.wanted)


class Feed:
    """Connects a rule to a correlation that counts the matches of this rule. For each event that matches the rule, finds
    the groups of the correlation to which the event belongs, and the labels to count in these groups.

    Attributes:
        index: the position of the correlation in the order of evaluation.
        label: the position of the rule in the correlation.
    """

    def __init__(self, index: int, rule: Correlation, label: int) -> None:
        self.index = index
        self.label = label
        fed_by = rule.rules[label]
        self._names = rule.group_by
        self._fields = [rule.aliases.get(name, {}).get(fed_by, name) for name in rule.group_by]
        self._readers = [texts(field) for field in self._fields]
        self._single = self._readers[0] if len(self._readers) == 1 else None
        self._counted: FieldReader | None = texts(rule.field) if rule.field else None
        self._labels = (0,) if rule.type == "event_count" else (label,)

    def groups(self, reading: Reading) -> Sequence[tuple[str, ...]]:
        """Return the groups that an event belongs to. A group is a tuple: the values of the fields that the correlation
        groups by.

        There are several groups if a field has several values, and none if a field is missing.
        """
        if self._single is not None:
            value: tuple[str, ...] = reading[self._single]
            if len(value) == 1 and 0 < len(value[0]) <= _MOST_VALUE:
                return (value,)
            return [(one,) for one in _values(value)]
        found = [_values(reading[reader]) for reader in self._readers]
        return list(islice(product(*found), _MOST_GROUPS))

    def group_of(self, inner: Mapping[str, str], reading: Callable[[str], str | None]) -> tuple[str, ...] | None:
        """Return the group that a match of an inner correlation belongs to; None if a value of the group is missing.

        `inner` is the group of the inner correlation that matched: values by field. A value that is not in `inner`
        comes from `reading`, which takes a field and returns its value in the event.
        """
        pairs = zip(self._names, self._fields, strict=True)
        found = [inner.get(field) or inner.get(name) or reading(field) for name, field in pairs]
        return tuple(value for value in found if value) if all(found) else None

    def labels(self, reading: Reading) -> Sequence[Any]:
        """Return the labels that an event adds to each of its groups; the event adds one entry for each label."""
        if self._counted is not None:
            return [value.lower() for value in _values(reading[self._counted])]
        return self._labels


def _values(found: Sequence[str]) -> Sequence[str]:
    if len(found) == 1 and len(found[0]) <= _MOST_VALUE:
        return found if found[0] else ()
    return [value[:_MOST_VALUE] for value in dict.fromkeys(found) if value][:_MOST_GROUPS]


def key_of(index: int, org: str, group: Sequence[str]) -> str:
    """Return the key of a group in `RuleGroups`. `index` is the number of the group's rule, and `group` has the
    group's values.

    Upper and lower case do not matter: `ADA@x` and `ada@x` are one user.
    """
    values = "\0".join(group)
    if values.count("\0") >= len(group):  # a value contains the separator
        values = "\0".join([value.replace("\0", "\ufffd") for value in group])
    return f"{index}\0{org}\0{values.lower()}"
