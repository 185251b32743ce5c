"""Metrics and log lines of reactions."""

from collections import Counter

from forwarder import logs
from forwarder.core.action import KINDS, Action, EffectKind, End, Outcome, Reason, Waits
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros, seconds_between
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import Metrics
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.guards.pauses import Pauses
from forwarder.react.settings.actions import ANSWERS
from forwarder.react.settings.limits import LimitsSettings
from forwarder.react.status import is_overdue

_DONE = {Outcome.DONE, Outcome.ACCEPTED}

_logger = logs.get("react")


class ReactionMetrics:
    """Counts and logs the results of actions. From the start, each metric has a series for all label values that are
    known in advance."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._limited = RateLimitedLogger(_logger, clock, interval=600.0)
        self._reported: Micros = 0
        for name, kind in KINDS.items():
            metrics.reaction_latency.labels(name)
            if kind is EffectKind.TIMED:
                metrics.reactions_live.labels(name)
            for reason in Reason:
                metrics.reactions_refused.labels(name, reason.value)
        for waits in Waits:
            metrics.reactions_waiting.labels(waits.value)
        for by in ("push", "ciba"):
            for answer in ANSWERS:
                metrics.prompts.labels(by, answer)
        for limit in LimitsSettings.model_fields:
            metrics.reactions_limit_tripped.labels(limit)

    def changed(self, action: Action, now: Micros) -> None:
        """Count and log a stored change of an action."""
        if action.outcome is not None and action.end is None:
            self._metrics.reactions.labels(action.rule, action.name, action.mode, action.outcome.value).inc()
            if action.outcome in _DONE:
                latency = seconds_between(action.published, now) or 0.0
                self._metrics.reaction_latency.labels(action.name).observe(latency)
        if action.outcome is Outcome.REFUSED and action.reason is not None:
            self._metrics.reactions_refused.labels(action.name, action.reason.value).inc()
        if action.answer and action.end is None:
            self._metrics.prompts.labels(str(action.settings.get("by", "")), action.answer).inc()
        if action.waits_for is Waits.APPROVAL and action.reason is Reason.LIMIT and action.approval:
            self._metrics.reactions_limit_tripped.labels(action.approval.why).inc()
        self._log(action)

    def state(self, memory: ActionsInMemory, pauses: Pauses, now: Micros) -> None:
        """Set the gauges of waiting actions, live effects, overdue undos and pauses. Do nothing if the gauges were set
        less than a second ago."""
        if 0 <= now - self._reported < SECOND:
            return
        self._reported = now
        on = pauses.on(now)
        self._metrics.reactions_paused.set(len(on))
        since = min((pause.at for pause in on), default=0)
        self._metrics.reactions_paused_since.set(since / SECOND)
        for waits in Waits:
            self._metrics.reactions_waiting.labels(waits.value).set(memory.count_waiting(waits))
        lasting = memory.lasting()
        live = Counter(each.name for each in lasting)
        for name in (name for name, kind in KINDS.items() if kind is EffectKind.TIMED):
            self._metrics.reactions_live.labels(name).set(live[name])
        self._metrics.undo_overdue.set(sum(is_overdue(each, now) for each in lasting))

    def store_failed(self, error: StoreError) -> None:
        """Log that the store cannot be read or written."""
        self._limited.error(
            "the reactions cannot read or write the store; the forwarder retries until they can",
            action="reactions_store_error",
            error=str(error),
        )

    def _log(self, action: Action) -> None:
        fields = {
            "id": action.id,
            "name": action.name,
            "org": action.org,
            "target": action.target.id,
            "rule": action.rule,
            "mode": action.mode,
            "detail": action.detail or None,
        }
        if action.outcome is Outcome.FAILED:
            self._limited.warning("an action has failed", action.rule, action.name, action="action_failed", **fields)
        else:
            self._limited.info(
                "an action has changed",
                action.name,
                str(action.outcome),
                action="reaction",
                state=action.state.value,
                outcome=_word(action.end or action.outcome),
                reason=_word(action.reason),
                waits_for=_word(action.waits_for),
                **fields,
            )


def _word(value: End | Outcome | Reason | Waits | None) -> str | None:
    return None if value is None else value.value
