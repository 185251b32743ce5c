"""Tracks whether a sink works, decides when the worker tries a failing sink again, and logs failures and recoveries."""

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import Gauge

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.event import Event
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.core.ports import Clock
from forwarder.core.time import Micros

_logger = logs.get("deliver")

_LOG_INTERVAL = 300.0
"""The minimum number of seconds between two log lines about the same failure, and between two log lines about
rejections."""

_HINTS = {
    RetryReason.CONNECTION: "check the address, the network and, for TLS, the certificate and `ca_file`",
    RetryReason.REDIRECT: "configure the address that the server redirects to; redirects are not followed",
    RetryReason.UNAUTHORIZED: "check the credentials: they may be expired, revoked or for another server",
    RetryReason.FORBIDDEN: "give the credentials permission to write, and check that nothing blocks writes",
    RetryReason.NOT_FOUND: "check the address and path, and that the index or endpoint exists",
    RetryReason.THROTTLED: "the server has too little capacity or disk space: add some, or lower the load on it; "
    "delivery resumes by itself",
    RetryReason.SERVER: "look at the log and the health of the server, and of a proxy in front of it; "
    "delivery resumes by itself",
    RetryReason.TIMEOUT: "check the load of the server and the network, or raise `delivery.timeout`",
    RetryReason.DEAD_LETTER_LIMIT: "see `forwarder dead-letters list`, correct what its errors name, or raise "
    "`dead_letter_limit`; the other events wait, and delivery resumes when the sink accepts one",
}
_OTHER_HINT = "correct what the error names; if it names nothing, check the sink's address and settings"


_PAUSED_BACKOFF = Backoff(base=5.0, cap=15.0)


class SinkState(StrEnum):
    """The state of a sink's worker."""

    RUNNING = "running"  # the sink works, and batches are in flight
    IDLE = "idle"  # the sink works, and no batch is in flight
    RETRYING = "retrying"  # the last try failed, and the worker will try again
    PAUSED = "paused"  # an operator must act; the worker still tries again from time to time
    STOPPED = "stopped"  # the worker has ended


class Health:
    """The state of one sink: whether the sink works or fails, and since when.

    Attributes:
        attempt: the number of failed tries since the sink last worked; 0 while the sink works.
        resume_at: the time when the worker may try the failing sink again, in seconds of the monotonic clock.
        last_failure: the text about the last failure of the sink or of a single event; empty before the first failure.
            A recovery does not clear this text.
        hint: what an operator should do about the failing sink; empty while the sink works.
        last_success: when events were last delivered; None if no event was delivered yet.
        warning: a problem of the sink that does not prevent it from accepting events; empty if no problem is known.
    """

    def __init__(self, sink: str, backoff: Backoff, clock: Clock, random: Callable[[], float], up: Gauge) -> None:
        self.attempt = 0
        self.resume_at = 0.0
        self.last_failure = ""
        self.hint = ""
        self.last_success: Micros | None = None
        self.warning = ""
        self._sink = sink
        self._backoff = backoff
        self._clock = clock
        self._random = random
        self._up = up
        self._paused = False
        self._failing_since = 0.0
        self._recoveries = logs.RecoveryLimit()
        self._unlogged_recovery: dict[str, float] | None = None  # fields of the log line that is still to be written
        self._failure_logger = logs.RateLimitedLogger(_logger, clock, _LOG_INTERVAL)
        self._set_aside_logger = logs.RateLimitedLogger(_logger, clock)
        self._rejections = 0  # rejected events that no log line has counted yet
        self._rejections_logged = -_LOG_INTERVAL
        up.set(1)

    @property
    def failing(self) -> bool:
        """Whether the sink fails: a request failed as a whole, not only for single events, and the sink has not worked
        since then."""
        return self.attempt > 0

    @property
    def may_try(self) -> bool:
        """Whether the sink works, or its next try is due."""
        return not self.failing or self._clock.monotonic() >= self.resume_at

    @property
    def state(self) -> SinkState:
        """RUNNING while the sink works; RETRYING or PAUSED while the sink fails. The property is never IDLE
        or STOPPED: other classes know these states."""
        if not self.failing:
            return SinkState.RUNNING
        return SinkState.PAUSED if self._paused else SinkState.RETRYING

    @property
    def seconds_to_next_try(self) -> float | None:
        """The number of seconds until the failing sink is tried again; None while the sink works."""
        return max(0.0, self.resume_at - self._clock.monotonic()) if self.failing else None

    def failed(self, result: BatchResult) -> None:
        """Record and log that the sink failed as a whole, and set the time of the next try. The delay before the next
        try grows with each failure in a row."""
        now = self._clock.monotonic()
        if not self.failing:
            self._failing_since = now
        self.attempt += 1
        self._unlogged_recovery = None
        self.last_failure = result.detail
        self.hint = result.hint or _HINTS.get(result.reason or RetryReason.UNKNOWN, _OTHER_HINT)
        self._paused = result.pause
        backoff = _PAUSED_BACKOFF if result.pause else self._backoff
        self.resume_at = now + backoff.delay(self.attempt, self._random(), result.wait)
        self._up.set(0)
        fields = {
            "sink": self._sink,
            "reason": str(result.reason),
            "detail": result.detail[:300],
            "hint": self.hint,
            "attempt": self.attempt,
            "next_try_in_seconds": round(self.resume_at - now, 1),
        }
        if result.pause:
            text = (
                "the sink is paused, because the error probably does not pass by itself; its events wait in the store"
            )
            self._failure_logger.error(text, action="sink_paused", **fields)
        else:
            text = "the sink failed and is tried again; its events wait in the store"
            self._failure_logger.warning(text, action="sink_failing", **fields)

    def retry_delay(self, attempt: int, result: BatchResult) -> float:
        """Return the delay, in seconds, before events are sent again that failed while the sink accepted other events.

        `attempt` is the number of failed tries of the events so far. The method also stores `result.detail` as
        `last_failure`.
        """
        self.last_failure = result.detail
        return self._backoff.delay(attempt, self._random(), result.wait)

    def set_aside(self, event: Event, detail: str) -> None:
        """Log that `event` fails again and again while the sink accepts other events."""
        self._set_aside_logger.error(
            "an event fails again and again, while the sink accepts other events; the forwarder retries this "
            "event after growing pauses, and meanwhile delivers the other events",
            action="event_set_aside",
            sink=self._sink,
            org=event.org,
            uuid=event.uuid,
            event_type=event.event_type,
            detail=detail[:300],
            hint="the detail shows the response; find out why the sink, or a proxy in front of it, refuses this event",
        )

    def recovered(self, *, delivered: bool) -> None:
        """Record that the sink works. `delivered` is True if the sink has accepted events, and False if the sink has
        only rejected single events.

        If the sink was failing, the recovery is logged. It is usually logged at once. After too many recoveries in a
        short time, it is logged by a later call of this method, unless the sink fails again before this call.
        """
        now = self._clock.monotonic()
        if self.failing:
            self._unlogged_recovery = {"after_seconds": round(now - self._failing_since, 1), "attempts": self.attempt}
        if self._unlogged_recovery and self._recoveries.allows(now):
            _logger.info("the sink works again", action="sink_recovered", sink=self._sink, **self._unlogged_recovery)
            self._unlogged_recovery = None
            self._failure_logger.reset()
        self.attempt, self._paused, self.hint = 0, False, ""
        self._up.set(1)
        if delivered:
            self.last_success = self._clock.now()

    def warned(self, text: str) -> None:
        """Set `warning` to `text`, and log `text` if it differs from the previous warning. An empty `text` clears the
        warning."""
        if text and text != self.warning:
            _logger.warning(text, action="sink_warning", sink=self._sink)
        self.warning = text

    def rejected(self, events: int, detail: str) -> None:
        """Count rejected events, and log their number at most once in 5 minutes.

        `events` is the number of events that the sink has just rejected. `detail` is the sink's text about one of the
        rejected events.
        """
        self._rejections += events
        now = self._clock.monotonic()
        if not events or now - self._rejections_logged < _LOG_INTERVAL:
            return
        _logger.error(
            "the sink rejected events; they are dead letters",
            action="events_dead_lettered",
            sink=self._sink,
            events=self._rejections,
            detail=detail[:300],
            hint=f"see `forwarder dead-letters list --sink {self._sink}`, correct the cause, then run"
            f" `forwarder dead-letters replay --all --sink {self._sink}`",
        )
        self._rejections_logged, self._rejections = now, 0
