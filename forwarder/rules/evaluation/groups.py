"""What a rule remembers about each of its groups. Memory is bounded: groups that were touched longest ago are
dropped first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from forwarder.core.time import SECOND, Micros
from forwarder.rules.conditions.event_fields import FieldReader, Reading, texts
from forwarder.rules.evaluation.windows import Count, Different, Ordered, Shape, Windows
from forwarder.rules.sigma.correlation import Correlation

_STEP = 500
"""How many groups are checked, or dropped, at a time."""

_MOST_GROUPS = 16
"""How many groups one event can belong to, if its fields have several values."""

_MOST_VALUE = 200
"""How many characters of a value are compared; a sender could make it any length."""


class RuleGroup(Windows):
    """One group of one rule.

    Attributes:
        matched: number of events since the last alert.
        held_back: number of alerts held back since the last alert.
        alerts: the times of the latest alerts (the ends of their windows), oldest first; they silence other
            alerts that are near in time.
        stale: the times of alerts about one event that is late or ahead of our clock. No reaction acts on
            such an alert, so it silences only others like it: it must not keep a genuine event from its
            reaction.
        touched: when it last matched an event, by our clock.
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
        """Whether an alert at `at` is less than `again` away from another alert of the group."""
        alerts = self.alerts + self.stale if stale else self.alerts
        return bool(alerts) and any(abs(at - alert) < again for alert in alerts)

    def alerted(self, at: Micros, *, stale: bool = False) -> None:
        """Note an alert at `at`, and reset the counts."""
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
        evicted: how many groups were dropped before their time was up, because there were more than `most`.
    """

    def __init__(self, most: int, keep: Micros) -> None:
        """Hold at most `most` groups, each for `keep` microseconds after its last event."""
        self._most = most
        self._keep = keep
        self._groups: dict[str, RuleGroup] = {}
        self._swept: Micros = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._groups)

    def keys(self) -> Iterator[str]:
        """Yield the keys, those touched longest ago first."""
        return iter(self._groups)

    def all(self) -> Iterator[RuleGroup]:
        """Yield the groups, those touched longest ago first."""
        return iter(self._groups.values())

    def touch(self, key: str, now: Micros) -> RuleGroup:
        """Return the group with `key`, new or known, and note that it was touched at `now`. May drop other
        groups."""
        group = self._groups.pop(key, None) or RuleGroup()
        self._groups[key] = group  # to the end: the first ones are those touched longest ago
        group.touched = now
        if len(self._groups) > self._most:
            self._evict(now)
        elif now - self._swept > self._keep // 32:
            self._sweep(now)
        return group

    def _evict(self, now: Micros) -> None:
        # Drop several at a time: if a dict has lost its first entries, finding the next one takes a search.
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
    """Return the condition of a correlation, as the Shape for its type."""
    timespan = rule.timespan * SECOND
    if rule.type == "temporal_ordered":
        return Ordered(timespan, len(rule.rules))
    return (Count if rule.type == "event_count" else Different)(timespan, rule.wanted)


class Feed:
    """How the matches of one rule reach one correlation: the fields that group the events, and the label to
    count.

    Attributes:
        index: place of the correlation in the order of evaluation.
        label: the number of the rule in the correlation.
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
        """Return the groups of an event, each as the values of its fields: several if a field has several
        values, and no group if a field is missing."""
        if self._single is not None:
            value: tuple[str, ...] = reading[self._single]
            if len(value) == 1 and 0 < len(value[0]) <= _MOST_VALUE:
                return (value,)
            return [(one,) for one in _values(value)]
        found = [_values(reading[reader]) for reader in self._readers]
        return list(islice(product(*found), _MOST_GROUPS))

    def group_of(
        self, inner: Mapping[str, str], reading: Callable[[str], str | None]
    ) -> tuple[str, ...] | None:
        """Return the group to which a result of an inner correlation belongs; None if a value of it is missing.

        Each value is taken from `inner`, the inner correlation's own group, if it is there, else from the event, by
        `reading`.
        """
        found = [inner.get(field) or inner.get(name) or reading(field) for name, field in self._pairs]
        return tuple(value for value in found if value) if all(found) else None

    @property
    def _pairs(self) -> Iterator[tuple[str, str]]:
        return zip(self._names, self._fields, strict=True)

    def labels(self, reading: Reading) -> Sequence[Any]:
        """Return the label of each entry that an event adds to a group."""
        if self._counted is not None:
            return [value.lower() for value in _values(reading[self._counted])]
        return self._labels


def _values(found: Sequence[str]) -> Sequence[str]:
    if len(found) == 1 and len(found[0]) <= _MOST_VALUE:
        return found if found[0] else ()
    return [value[:_MOST_VALUE] for value in dict.fromkeys(found) if value][:_MOST_GROUPS]


def key_of(index: int, org: str, group: Sequence[str]) -> str:
    """Return the key in `RuleGroups` for the group with the values `group`, of the rule with the number
    `index`. Texts are compared without case: who signs in as `ADA@x` and as `ada@x` is one user."""
    values = "\0".join(group)
    if values.count("\0") >= len(group):  # a value contains the separator
        values = "\0".join([value.replace("\0", "\ufffd") for value in group])
    return f"{index}\0{org}\0{values.lower()}"
