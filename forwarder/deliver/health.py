"""Whether a sink works, when to try it again, and what a human is told about it."""

from collections.abc import Callable
from enum import StrEnum

import msgspec
from prometheus_client import Gauge

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.outcome import RetryReason
from forwarder.core.ports import Clock
from forwarder.core.time import Micros

_logger = logs.get("deliver")

_REPEAT = 300.0
"""Seconds after which a trouble that lasts is logged once more."""

_WHAT_TO_DO = {
    RetryReason.CONNECTION: "check the address, the network and, for TLS, the certificate and `ca_file`",
    RetryReason.DISK: "make room on the disk, or let the forwarder write to that path",
    RetryReason.REDIRECT: "give the address that the server redirects to; nothing is sent to it unasked",
    RetryReason.UNAUTHORIZED: "check the credentials: expired, revoked or of another server",
    RetryReason.FORBIDDEN: "give the credentials the right to write there, and see that nothing blocks writes",
    RetryReason.NOT_FOUND: "check the address and path, and that the place to write to exists",
    RetryReason.DEAD_LETTER_LIMIT: "look at `forwarder dead-letters list`, mend the index or the mapping, or raise "
    "`dead_letter_limit`; the other events wait, and go on by themselves as soon as one is taken",
}


class State(StrEnum):
    """What a sink's worker is doing."""

    RUNNING = "running"  # the sink takes what it is sent
    IDLE = "idle"  # there is nothing to send
    RETRYING = "retrying"  # the last try failed; another follows
    PAUSED = "paused"  # an operator must act; tried now and then
    STOPPED = "stopped"


class Trouble(msgspec.Struct, frozen=True):
    """Why a try failed.

    Attributes:
        reason: for counting.
        detail: the sink's own words.
        pause: an operator must act.
        wait: seconds that the sink asked us to wait; None where it did not say.
    """

    reason: RetryReason
    detail: str
    pause: bool = False
    wait: float | None = None


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker as the status page shows it.

    Attributes:
        position: how far the sink has come in the log.
        in_flight: events that were sent and not answered yet.
        held: events that wait to be sent again.
        attempt: failed tries since the sink last worked.
        reason: of the last failure, single events included; None where there was none.
        detail: the sink's own words about it.
        last_success: when events were delivered last.
        next_try: when a failing sink is tried again; None where it works.
    """

    sink: str
    state: State
    position: int
    in_flight: int
    held: int
    attempt: int
    reason: RetryReason | None
    detail: str
    last_success: Micros | None
    next_try: Micros | None


class Health:
    """What is known about one sink.

    Attributes:
        attempt: failed tries since the sink last worked; 0 while it works.
        resume_at: seconds of the monotonic clock, when the sink may be tried again.
        trouble: the last failure, also of single events; kept after the sink has recovered.
        last_success: when events were delivered last.
    """

    def __init__(
        self, sink: str, backoff: Backoff, clock: Clock, random: Callable[[], float], up: Gauge
    ) -> None:
        self.attempt = 0
        self.resume_at = 0.0
        self.trouble: Trouble | None = None
        self.last_success: Micros | None = None
        self._sink = sink
        self._backoff = backoff
        self._clock = clock
        self._random = random
        self._up = up
        self._paused = False
        self._since = 0.0
        self._told_at: float | None = None
        self._dead_told_at: float | None = None
        self._dead_untold = 0
        up.set(1)

    @property
    def failing(self) -> bool:
        """The sink as a whole failed, and has taken nothing since."""
        return self.attempt > 0

    @property
    def may_try(self) -> bool:
        """Nothing failed, or the time for the next try has come."""
        return not self.failing or self._clock.monotonic() >= self.resume_at

    @property
    def state(self) -> State:
        if not self.failing:
            return State.RUNNING
        return State.PAUSED if self._paused else State.RETRYING

    def failed(self, trouble: Trouble) -> None:
        """The sink as a whole failed: wait longer with each failure, and tell a human."""
        now = self._clock.monotonic()
        if not self.failing:
            self._since = now
        self.attempt += 1
        self.trouble = trouble
        rule = Backoff.paused() if trouble.pause else self._backoff
        self.resume_at = now + rule.delay(self.attempt, self._random(), trouble.wait)
        if trouble.pause and not self._paused:
            self._told_at = None  # it is worse than what was told before
        self._paused = trouble.pause
        self._up.set(0)
        self._tell(trouble, now)

    def retry_delay(self, attempt: int, trouble: Trouble) -> float:
        """Seconds until single events are sent again that failed `attempt` times; the sink itself works."""
        self.trouble = trouble
        return self._backoff.delay(attempt, self._random(), trouble.wait)

    def answered(self, *, delivered: bool) -> None:
        """The sink works: it took events, or said for each why it never will."""
        if self.failing:
            _logger.info(
                "the sink works again",
                action="sink_recovered",
                sink=self._sink,
                after_seconds=round(self._clock.monotonic() - self._since, 1),
                attempts=self.attempt,
            )
        self.attempt, self._paused, self._told_at = 0, False, None
        self._up.set(1)
        if delivered:
            self.last_success = self._clock.now()

    def rejected(self, events: int, words: str) -> None:
        """The sink refused `events` for ever; `words` are its own about one of them. One line for many."""
        self._dead_untold += events
        now = self._clock.monotonic()
        if not events or (self._dead_told_at is not None and now - self._dead_told_at < _REPEAT):
            return
        _logger.error(
            "the sink refuses events for ever; they are dead letters now",
            action="events_dead_lettered",
            sink=self._sink,
            events=self._dead_untold,
            detail=words[:300],
            hint="look at `forwarder dead-letters list`, mend the cause, then `forwarder dead-letters replay`",
        )
        self._dead_told_at, self._dead_untold = now, 0

    @property
    def next_try(self) -> Micros | None:
        """When a failing sink is tried again, by the wall clock; None where it works."""
        if not self.failing:
            return None
        return self._clock.now() + round((self.resume_at - self._clock.monotonic()) * 1_000_000)

    def _tell(self, trouble: Trouble, now: float) -> None:
        if self._told_at is not None and now - self._told_at < _REPEAT:
            return
        self._told_at = now
        facts = {
            "sink": self._sink,
            "reason": str(trouble.reason),
            "detail": trouble.detail[:300],
            "attempt": self.attempt,
            "next_try_in_seconds": round(self.resume_at - now, 1),
        }
        if trouble.pause:
            advice = _WHAT_TO_DO.get(
                trouble.reason, "check the sink's address and settings against its own words"
            )
            _logger.error(
                "the sink is paused until an operator acts; its events wait, none is lost",
                action="sink_paused",
                hint=advice,
                **facts,
            )
        else:
            _logger.warning("the sink fails; its events wait, none is lost", action="sink_failing", **facts)
