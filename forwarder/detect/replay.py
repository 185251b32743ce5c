"""`rules replay`: evaluates the rules on stored events as if they had just been received, and reports the matches.

The replay evaluates the events in the order of the store, as the live evaluation did. So with the same rules, it finds
the same alerts. It writes nothing to the store.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from forwarder.core.alert import Alert, rule_of, to_event
from forwarder.core.event import OKTA_SOURCES, Event, Source, StoredEvent
from forwarder.core.sighting import PLACES
from forwarder.core.time import SECOND, Micros, iso
from forwarder.detect.replay_file import ReplayDatabase
from forwarder.detect.users import MOST_USERS, Decoded, Users
from forwarder.ecs.decode import decode_object
from forwarder.ecs.fields import object_at
from forwarder.react.prompts.muted import Muted
from forwarder.react.rehearsal import NOT_JUDGED, Rehearsal, RehearsedAction
from forwarder.rules.evaluation.engine import Evaluation, RuleEngine, Timing
from forwarder.rules.evaluation.ruleset import DetectionRule, Ruleset
from forwarder.rules.settings import RulesSettings
from forwarder.rules.sigma.correlation import Correlation
from forwarder.store.interface import StoreCommands

_EVENTS, _BYTES = 1000, 8 * 1024 * 1024  # in one read
_HOUR = 3600 * SECOND
_LOUDEST = 10
_BUSIEST = 3
_FOREVER = 1e6 * 86_400

MOST_ALERTS = 10_000
"""The maximum number of alerts in a report. Each alert takes about 1.5 kB of memory."""

MOST_ACTIONS = 10_000
"""The maximum number of actions in a report."""


class ActionReport(msgspec.Struct):
    """What one action of `reactions` would have done about the alerts of one rule, if `mode` were `enforce`.

    Attributes:
        calls: how often the action would have run.
        asks: how often the action would have waited for a human, by reason: `approval` (a human must approve the
            action) or `limit` (the action exceeds a limit).
        no_op: how often the action would have changed nothing, by reason: `state` (of the target) or `live` (another
            action already has this effect).
        refused: how often the action would have been refused, by the guard that refused it.
        targets: how many different users or addresses the action would have changed.
    """

    action: str
    calls: int = 0
    asks: dict[str, int] = {}
    no_op: dict[str, int] = {}
    refused: dict[str, int] = {}
    targets: int = 0


class RuleReport(msgspec.Struct):
    """What the replay found out about one rule.

    Attributes:
        matches: the number of events that matched the rule; for a correlation, how often its condition was met.
        alerts: the number of alerts, under the limits of the live evaluation.
        stored_alerts: the number of alerts of the rule that the live evaluation stored in the replayed period.
        alerts_too_old: the number of alerts about events older than `rules.max_age`. The live evaluation leaves these
            alerts out.
        users: the number of different actors in the matches.
        loudest: the actors with the most matches, each with the number of matches.
        busiest: the hours with the most matches, each with the number of matches.
        held_back: the number of alerts that were held back, by reason: `exception` or `again`.
        actions: what each action of the reactions to this rule would have done.
    """

    id: str
    title: str
    level: str
    matches: int = 0
    alerts: int = 0
    stored_alerts: int = 0
    alerts_too_old: int = 0
    users: int = 0
    loudest: list[tuple[str, int]] = []
    busiest: list[tuple[str, int]] = []
    held_back: dict[str, int] = {}
    actions: list[ActionReport] = []


class ReplayReport(msgspec.Struct):
    """The result of a replay.

    Attributes:
        since: the time from which events were replayed, in ISO 8601.
        until: the time when the last of these events was received, in ISO 8601.
        events: the number of replayed events.
        too_old: the number of replayed events that were too old for the live evaluation.
        rules: a report for each chosen rule.
        alerts: the first `MOST_ALERTS` alerts.
        alerts_left_out: the number of further alerts.
        actions: the first `MOST_ACTIONS` actions that reactions would have decided about.
        actions_left_out: the number of further actions.
        not_judged: the guards that a replay cannot apply, each with what the guard looks at.
    """

    since: str
    until: str
    events: int
    too_old: int
    rules: list[RuleReport]
    alerts: list[dict[str, Any]]
    alerts_left_out: int
    actions: list[RehearsedAction] = []
    actions_left_out: int = 0
    not_judged: dict[str, str] = {}


class _Counts:
    """The counts of one rule during the replay. `targets` has the changed users and addresses, by action."""

    def __init__(self) -> None:
        self.matches = 0
        self.alerts = 0
        self.users: Counter[str] = Counter()
        self.hours: Counter[int] = Counter()
        self.held_back: Counter[str] = Counter()
        self.actions: dict[str, ActionReport] = {}
        self.targets: dict[str, set[str]] = {}


class Replay:
    """A replay of the events that were received since a point in time. Call `run` once."""

    def __init__(  # noqa: PLR0913
        self,
        store: StoreCommands,
        settings: RulesSettings,
        rules: Ruleset,
        since: Micros,
        *,
        most_users: int = MOST_USERS,
        most_alerts: int = MOST_ALERTS,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._rules = rules
        self._since = since
        self._counts: dict[str, _Counts] = {}
        self._stored: Counter[str] = Counter()  # the number of alerts in the store, by rule
        self._most_users = most_users
        self._most_alerts = most_alerts
        self._alerts: list[Alert] = []
        self._alerts_left_out = 0
        self._events = 0
        self._too_old = 0
        self._until = since
        self._rehearsal = rehearsal
        self._actions: list[RehearsedAction] = []
        self._actions_left_out = 0

    def run(self, only: Callable[[DetectionRule | Correlation], bool] = lambda _: True) -> ReplayReport:
        """Evaluate all rules, and report on the rules that `only` accepts.

        Raises:
            StoreError: there is no store, or it cannot be read.
        """
        chosen = [rule for rule in self._rules.rules_and_correlations if only(rule)]
        self._chosen = {rule.id for rule in chosen}
        too_old: Counter[str] = Counter()
        with ReplayDatabase() as database:
            for event, raw, found in self._evaluated(self._settings.max_age, database):
                self._count(event, raw, found, database)
                self._rehearse(event, raw, found)
            if self._rehearsal is not None:
                self._count_actions(self._rehearsal.finish(self._until))
            if self._too_old:
                database.forget_sightings()
                for event, _, found in self._evaluated(_FOREVER, database):
                    if event.received_at - event.published > self._settings.max_age * SECOND:
                        too_old.update(alert.rule.id for alert in found.alerts if not database.has_alert(alert.uuid))
        return ReplayReport(
            iso(self._since, "seconds"),
            iso(self._until, "seconds"),
            self._events,
            self._too_old,
            [self._report(rule, too_old[rule.id]) for rule in chosen],
            [_shown(alert) for alert in self._alerts],
            self._alerts_left_out,
            self._actions,
            self._actions_left_out,
            dict(NOT_JUDGED) if self._rehearsal else {},
        )

    def _rehearse(self, event: Event, raw: Mapping[str, Any], found: Evaluation) -> None:
        """Find out what the reactions to the alerts of `event` would have done at the time when `event` was
        received."""
        if self._rehearsal is None:
            return
        self._rehearsal.event(event, raw)
        for alert in found.alerts:
            at = max(self._until, event.received_at)
            self._count_actions(self._rehearsal.alert(to_event(alert, raw, at), at))

    def _count_actions(self, actions: Sequence[RehearsedAction]) -> None:
        for action in actions:
            counts = self._counts.setdefault(action.rule, _Counts())
            report = counts.actions.setdefault(action.action, ActionReport(action.action))
            reasons = {"ask": report.asks, "no_op": report.no_op, "refuse": report.refused}
            if action.verdict == "call":
                report.calls += 1
                counts.targets.setdefault(action.action, set()).add(action.target)
                report.targets = len(counts.targets[action.action])
            else:
                reasons[action.verdict][action.reason] = reasons[action.verdict].get(action.reason, 0) + 1
            if action.rule not in self._chosen:
                continue
            if len(self._actions) < MOST_ACTIONS:
                self._actions.append(action)
            else:
                self._actions_left_out += 1

    def _evaluated(
        self, max_age: float, database: ReplayDatabase
    ) -> Iterator[tuple[Event, dict[str, Any], Evaluation]]:
        """Yield (event, decoded body, result) for each event that was received since the start of the period.

        Earlier events are evaluated too, to fill the time windows of the rules, but they are not yielded. Events that
        were older than `max_age` seconds when they were received are too old for the rules.
        """
        timing = Timing(self._settings.again, self._settings.late, max_age, self._settings.max_keys)
        engine = RuleEngine(self._rules, timing)
        warm_up = RuleEngine(self._rules, msgspec.structs.replace(timing, max_age=self._settings.max_age)).horizon
        users = Users(most=self._most_users)
        self._stored.clear()
        muted = Muted()
        muted.restore(self._store.actions(self._since - 2 * warm_up))
        for batch in self._batches(self._since - warm_up):
            alerts = (stored.event for stored in batch if stored.event.source is Source.ALERT)
            self._stored.update(rule_of(alert) for alert in alerts if alert.received_at >= self._since)
            read = [(stored.event, raw) for stored in batch if (raw := self._raw(stored.event)) is not None]
            decoded = [(event, raw) for event, raw in read if not muted.covers(event, raw)]
            with users.batch(decoded if engine.reads_derived else []):
                if engine.reads_derived:
                    self._read_users(users, decoded, database)
                for event, raw in decoded:
                    if engine.reads_derived:
                        users.derive(event, raw)
                    found = engine.feed(event, raw)
                    if event.received_at >= self._since:
                        yield event, raw, found
            database.save_sightings(users.unsaved.values())
            users.mark_saved()

    def _read_users(self, users: Users, decoded: list[Decoded], database: ReplayDatabase) -> None:
        for org, names in users.missing(decoded).items():
            # Skip the stored sign-ins, which are newer than the replayed events. The replay takes the earlier sign-ins
            # from the events.
            found = [each for each in self._store.sightings(org, names) if each.kind != PLACES]
            users.keep(org, names, database.merge(found, org, names))

    def _batches(self, since: Micros) -> Iterator[list[StoredEvent]]:
        """Yield the events that were received at `since` or later, in the order of the store."""
        at = self._store.received_since(since) - 1
        while batch := self._store.events(at, limit=_EVENTS, max_bytes=_BYTES):
            yield list(batch)
            at = batch[-1].seq

    def _raw(self, event: Event) -> dict[str, Any] | None:
        orgs = self._settings.orgs
        if event.source not in OKTA_SOURCES or (orgs is not None and event.org not in orgs):
            return None
        return decode_object(event.body)

    def _count(self, event: Event, raw: Mapping[str, Any], found: Evaluation, database: ReplayDatabase) -> None:
        self._events += 1
        self._until = max(self._until, event.received_at)
        self._too_old += found.too_old
        actor = object_at(dict(raw), "actor") if found.matched else {}
        who = str(actor.get("alternateId") or actor.get("id") or "")
        for rule in found.matched:
            counts = self._counts.setdefault(rule, _Counts())
            counts.matches += 1
            counts.hours[event.published // _HOUR] += 1
            if who:
                counts.users[who] += 1
        for rule, reason in found.held_back:
            self._counts.setdefault(rule, _Counts()).held_back[reason] += 1
        for alert in found.alerts:
            self._counts.setdefault(alert.rule.id, _Counts()).alerts += 1
            database.add_alert(alert.uuid)
            if alert.rule.id not in self._chosen:
                continue
            if len(self._alerts) < self._most_alerts:
                self._alerts.append(alert)
            else:
                self._alerts_left_out += 1

    def _report(self, rule: DetectionRule | Correlation, too_old: int) -> RuleReport:
        counts = self._counts.get(rule.id) or _Counts()
        return RuleReport(
            rule.id,
            rule.title,
            rule.level,
            counts.matches,
            counts.alerts,
            self._stored[rule.id],
            too_old,
            len(counts.users),
            counts.users.most_common(_LOUDEST),
            [(iso(hour * _HOUR, "minutes"), number) for hour, number in counts.hours.most_common(_BUSIEST)],
            dict(counts.held_back),
            list(counts.actions.values()),
        )


def _shown(alert: Alert) -> dict[str, Any]:
    return {
        "uuid": alert.uuid,
        "org": alert.org,
        "rule": alert.rule.id,
        "group": dict(alert.group),
        "start": iso(alert.window.start, "milliseconds"),
        "end": iso(alert.window.end, "milliseconds"),
        "count": alert.count,
        "matched": alert.matched,
        "held_back": alert.held_back,
        "late": alert.late,
    }
