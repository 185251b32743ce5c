"""Evaluates rules on one event after another, and makes their alerts.

The engine's state depends only on the events and the stored alerts that the engine gets. So equal events lead to equal
alerts: while the forwarder runs, after a restart, and in `rules replay`. docs/decisions/0011 explains why the order in
which the events arrive does not matter.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from forwarder.core.alert import MOST_EVENTS, Alert, AlertWindow, RuleInfo
from forwarder.core.event import Event
from forwarder.core.time import SECOND, Micros
from forwarder.rules.conditions.event_fields import Reading, texts
from forwarder.rules.evaluation.derived_fields import reads_derived
from forwarder.rules.evaluation.groups import Feed, RuleGroup, RuleGroups, key_of, shape_of
from forwarder.rules.evaluation.ruleset import DetectionRule, Ruleset
from forwarder.rules.evaluation.windows import Entry, decode_id, encode_id
from forwarder.rules.sigma.correlation import Correlation

PERSON = "actor.id"
"""The field that groups the alerts of a rule that needs only one event: each alert is about one actor."""

_MAX_POINTS = 1000
"""The maximum number of correlation results that one event may pass on to other correlations. Real rules stay far
below."""

_MOST_AHEAD: Micros = 60 * SECOND
"""How far `published` may be ahead of the forwarder's clock."""


class Timing(msgspec.Struct, frozen=True):
    """Limits of the evaluation. All times are in seconds.

    Attributes:
        again: how long a rule that has alerted about a group does not alert about this group again.
        late: the age above which an event is late.
        max_age: the age above which an event is not evaluated.
        max_keys: the maximum number of groups of events that are kept in memory.
    """

    again: float = 3600
    late: float = 600
    max_age: float = 86_400
    max_keys: int = 100_000


class Evaluation(msgspec.Struct):
    """The result of the evaluation of one event.

    Attributes:
        matched: IDs of the rules that matched, correlations included.
        held_back: (rule ID, reason) for each rule that matched but did not alert. The reason is `exception` or `again`.
        too_old: whether the event was not evaluated, because it is older than `max_age`.
    """

    alerts: list[Alert] = []
    matched: list[str] = []
    held_back: list[tuple[str, str]] = []
    too_old: bool = False


class _Point(msgspec.Struct):
    """A match of a correlation, queued for the correlations that count this match. `time` and `id` are those of the last
    event of the match."""

    rule: int
    group: Mapping[str, str]
    time: Micros
    id: bytes


class RuleEngine:
    """Evaluates a ruleset. The caller passes each event once, in the order of the store."""

    def __init__(self, rules: Ruleset, timing: Timing) -> None:
        self.rules = rules
        self.timing = timing
        self._again = int(timing.again * SECOND)
        self._max_age = int(timing.max_age * SECOND)
        correlations = rules.correlations
        self._shapes = [shape_of(rule) for rule in correlations]
        self._silence = [max(self._again, shape.timespan) for shape in self._shapes]
        self._infos = [rule_info(rule, correlations) for rule in correlations]
        self._single = {rule.id: (-1 - n, rule_info(rule)) for n, rule in enumerate(rules.rules)}
        self._index = {rule.id: n for n, rule in enumerate(correlations)}
        self._feeds: dict[str, list[Feed]] = {}
        for index, rule in enumerate(correlations):
            for label, fed_by in enumerate(rule.rules):
                self._feeds.setdefault(fed_by, []).append(Feed(index, rule, label))
        self.reads_derived = reads_derived(rules)
        self.groups = RuleGroups(timing.max_keys, self.horizon)

    @property
    def horizon(self) -> Micros:
        """How long an event can affect alerts, in microseconds after the event's arrival."""
        return self._max_age + max([self._again, *self._silence])

    def feed(
        self, event: Event, raw: Mapping[str, Any], *, now: Micros | None = None, alerting: bool = True
    ) -> Evaluation:
        """Evaluate an event.

        Args:
            event: the event. The age of the event is measured at its arrival, or at `now` if `now` is later.
            raw: the decoded body, with the derived fields.
            now: the current time; None to measure the age at the arrival.
            alerting: False if the alerts of the event were already made. The event then only updates the state.
        """
        age = max(event.received_at, now or 0) - event.published
        if age > self._max_age:
            return Evaluation(too_old=True)
        found = Evaluation([], [], [])
        run = _Run(event, raw, found, alerting=alerting, late=age > self.timing.late * SECOND)
        for match in self.rules.matches(raw, run.reading):
            if match.exception is not None:
                found.held_back.append((match.rule.id, "exception"))
                continue
            found.matched.append(match.rule.id)
            if match.rule.alerts:
                self._alert_alone(run, match.rule)
            for feed in self._feeds.get(match.rule.id, ()):
                self._enter(run, feed)
        self._chain(run)
        return found

    def note(self, event: Event, body: Mapping[str, Any]) -> None:
        """Record the stored alert `event`, so that the alert's rule does not alert again about the alert's group for a
        while. `body` is the decoded body of `event`."""
        about = body.get("forwarder", {}).get("alert", {})
        rule, group = about.get("rule", {}).get("id"), tuple(about.get("group", {}).values())
        stale = False
        if rule in self._index:
            index = self._index[rule]
        elif rule in self._single:
            index = self._single[rule][0]
            stale = about.get("late") is True or _is_ahead(event)
        else:
            return
        noted = self.groups.touch(key_of(index, event.org, group), event.received_at)
        noted.alerted(event.published, stale=stale)

    def _alert_alone(self, run: "_Run", rule: DetectionRule) -> None:
        """Make an alert for a rule that needs only one event, unless less than `timing.again` seconds lie between the
        event and another alert of the rule about the event's actor."""
        index, info = self._single[rule.id]
        event = run.event
        person = (run.reading[texts(PERSON)] or ("",))[0]
        group = self.groups.touch(key_of(index, event.org, (person,)), event.received_at)
        group.matched += 1
        if not run.alerting:
            return
        if group.is_silent(event.published, self._again, stale=run.stale):
            group.held_back += 1
            run.found.held_back.append((rule.id, "again"))
            return
        window = AlertWindow(event.published, event.published, 0)
        run.found.alerts.append(
            Alert(
                event.org,
                info,
                {PERSON: person},
                window,
                event.uuid,
                (event.uuid,),
                1,
                group.matched,
                group.held_back,
                run.late,
            )
        )
        group.alerted(event.published, stale=run.stale)

    def _enter(self, run: "_Run", feed: Feed) -> None:
        """Add the event of `run` to the groups of the correlation that `feed` leads to."""
        event, labels = run.event, feed.labels(run.reading)
        run.id = run.id or encode_id(event.uuid)
        for values in feed.groups(run.reading):
            group = self.groups.touch(key_of(feed.index, event.org, values), event.received_at)
            group.matched += 1
            for label in labels:
                self._add(run, feed.index, group, (event.published, label, run.id), values)

    def _add(self, run: "_Run", index: int, group: RuleGroup, entry: Entry, values: Sequence[str]) -> None:
        shape, rule = self._shapes[index], self.rules.correlations[index]
        at = group.add(entry, run.event.received_at - self._max_age - shape.timespan)
        if at is None:
            return
        fed = rule.id in self._feeds
        silent, alerted = False, not (run.alerting and rule.alerts)
        ends = shape.completed(group, at) if fed or not alerted else ()
        names = rule.group_by
        for end in ends:
            time, _, id_ = group.entries[end]
            if fed and len(run.points) < _MAX_POINTS:
                run.points.append(_Point(index, dict(zip(names, values, strict=True)), time, id_))
            if not alerted:
                silent = group.is_silent(time, self._silence[index])
                if not silent:
                    alerted = True
                    self._alert(run, index, group, end, names, values)
            if alerted and not fed:
                break
        if silent and not alerted:
            group.held_back += 1
            run.found.held_back.append((rule.id, "again"))
        if len(group.entries) > group.compact_at:
            shape.compact(group, alerted=bool(group.alerts) and not fed)

    def _alert(
        self, run: "_Run", index: int, group: RuleGroup, end: int, names: Sequence[str], values: Sequence[str]
    ) -> None:
        shape = self._shapes[index]
        window = shape.window(group, end)
        span = AlertWindow(window[0][0], window[-1][0], shape.timespan // SECOND)
        ids = [decode_id(id_) for id_ in dict.fromkeys(entry[2] for entry in window[-MOST_EVENTS:])]
        run.found.matched.append(self.rules.correlations[index].id)
        run.found.alerts.append(
            Alert(
                run.event.org,
                self._infos[index],
                dict(zip(names, values, strict=True)),
                span,
                decode_id(window[0][2]),
                ids,
                shape.measured(window),
                group.matched,
                group.held_back,
                run.late,
            )
        )
        group.alerted(span.end)

    def _chain(self, run: "_Run") -> None:
        """Pass each match in `run.points` to the correlations that count this match. Those correlations may match and
        add more matches to `run.points`; stop when no match is left."""
        while run.points:
            point = run.points.popleft()
            for feed in self._feeds[self.rules.correlations[point.rule].id]:
                rule = self.rules.correlations[feed.index]
                values = feed.group_of(point.group, run.first)
                if values is None:
                    continue
                group = self.groups.touch(key_of(feed.index, run.event.org, values), run.event.received_at)
                group.matched += 1
                counted = (point.group.get(rule.field) or run.first(rule.field)) if rule.field else None
                label = counted.lower() if counted else (0 if rule.type == "event_count" else feed.label)
                self._add(run, feed.index, group, (point.time, label, point.id), values)


class _Run:
    """The state of the evaluation of one event."""

    __slots__ = ("alerting", "event", "found", "id", "late", "points", "reading", "stale")

    def __init__(self, event: Event, raw: Mapping[str, Any], found: Evaluation, *, alerting: bool, late: bool) -> None:
        self.event = event
        self.found = found
        self.alerting = alerting
        self.late = late
        self.stale = late or _is_ahead(event)  # no reaction acts on the alert of a stale event
        self.id = b""
        self.points: deque[_Point] = deque()
        self.reading = Reading(raw)

    def first(self, field: str) -> str | None:
        """Return the first value of `field` in the event; None if there is none."""
        found = self.reading[texts(field)]
        return found[0] if found else None


def _is_ahead(event: Event) -> bool:
    return event.published > event.received_at + _MOST_AHEAD


def rule_info(rule: DetectionRule | Correlation, correlations: Sequence[Correlation] = ()) -> RuleInfo:
    """Return the description of `rule` for its alerts. `correlations` must be all loaded correlations, because `rule`
    may count some of them."""
    kind, aliases = "event", {}
    if isinstance(rule, Correlation):
        kind, known = rule.type, {each.id: each for each in correlations}
        fields = {name: _stands_for(name, rule, known) for name in rule.group_by}
        aliases = {name: sorted(found) for name, found in fields.items() if found != {name}}
    return RuleInfo(rule.id, rule.title, rule.level, kind, rule.tags, rule.references, rule.file.name, aliases)


def content_of(rules: Ruleset) -> list[object]:
    """Return everything in `rules` that affects alerts. Two rulesets with equal results make equal alerts."""
    plain = [(rule_info(rule), rule.alerts, repr(rule.condition)) for rule in rules.rules]
    exceptions = [(each.id, each.rules, each.until, repr(each.condition)) for each in rules.exceptions]
    return [plain, repr(rules.correlations), exceptions]


def _stands_for(name: str, rule: Correlation, known: Mapping[str, Correlation]) -> set[str]:
    """Return the fields of an event from which the value of `name` may come. `name` is a field or an alias that `rule`
    groups by.

    `Feed.group_of` reads these fields. `known` has all correlations by their IDs.
    """
    found: set[str] = set()
    for fed_by in rule.rules:
        field = rule.aliases.get(name, {}).get(fed_by, name)
        inner = known.get(fed_by)
        found.add(field)
        for each in {field, name}.intersection(inner.group_by if inner else ()):
            assert inner is not None
            found |= _stands_for(each, inner, known)
    return found
