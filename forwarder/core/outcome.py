"""The result of one try to send a batch to a sink: each event was delivered, must be retried, or was rejected. `seq` is
the number of an event in the store.

If it is unknown whether a sink accepted an event, the event is retried, because an event must not be lost. A second
copy of an event is harmless: every copy has the event's uuid.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class RetryReason(StrEnum):
    """The reason why events must be sent again. Each value is also the value of a label of metrics, so the set is small
    and fixed."""

    CONNECTION = "connection"  # no response: refused, reset, name not found, TLS
    TIMEOUT = "timeout"  # no response in time
    THROTTLED = "throttled"  # 429, RESOURCE_EXHAUSTED
    SERVER = "server"  # 5xx, UNAVAILABLE
    REDIRECT = "redirect"  # 3xx: the address is wrong; nothing was accepted
    UNAUTHORIZED = "unauthorized"  # 401, UNAUTHENTICATED: the sink pauses
    FORBIDDEN = "forbidden"  # 403, PERMISSION_DENIED: the sink pauses
    NOT_FOUND = "not_found"  # 404, UNIMPLEMENTED: the sink pauses
    TOO_LARGE = "too_large"  # 413: the batch is halved
    UNKNOWN = "unknown"  # anything else
    DISK = "disk"  # a file could not be written
    DEAD_LETTER_LIMIT = "dead_letter_limit"  # too many rejected in a row: the sink pauses


class RejectReason(StrEnum):
    """The reason why a sink will never accept an event. Each value is also the value of a label of metrics, so the set
    is small and fixed."""

    MAPPING = "mapping"  # 400 for one item of a `_bulk` request: the document does not fit the index mapping
    TOO_LARGE = "too_large"  # 413 for this event alone
    MALFORMED = "malformed"  # 400 for this event alone, INVALID_ARGUMENT
    FAILURE_STORE = "failure_store"  # Elasticsearch put the event into the failure store, which rules do not read
    PARTIAL_SUCCESS = "partial_success"  # an OTLP server accepted the batch, but not all of its events
    UNMAPPABLE = "unmappable"  # the forwarder could not make a document from the event
    ALERT_STREAM = "alert_stream"  # the data stream of alerts refused an alert; Okta's events are still sent
    ACTION_STREAM = "action_stream"  # the data stream of actions refused an event about an action
    FAILS_ALONE = "fails_alone"  # every request with this event failed, but others succeeded
    NOT_AN_EVENT = "not_an_event"  # the receiver found a malformed event


class Rejection(msgspec.Struct, frozen=True):
    """An event that a sink will never accept. `detail` is the sink's own text about the rejection."""

    seq: int
    reason: RejectReason
    detail: str


class BatchResult(msgspec.Struct, frozen=True):
    """The result of one try to send a batch. Each event is in exactly one of `delivered`, `retry` and `rejected`.

    Attributes:
        delivered: the seqs of the events that the sink has accepted.
        retry: the seqs of the events that must be sent again.
        rejected: the events that the sink will never accept. They become dead letters.
        reason: why the events of `retry` must be sent again; None if `retry` is empty.
        detail: the sink's own text about the events of `retry`, or about the events that `unattributed` counts; empty
            if the sink sent no text. The text is for a log line and the status page.
        hint: what an operator should do; empty if `reason` already says what to do.
        wait: the number of seconds that the sink asked the forwarder to wait (`Retry-After`); None if the sink asked
            for no wait.
        pause: whether the sink must be paused, because an operator must act (401, 403, 404, redirect). The worker then
            waits longer until the next try, and logs an error.
        whole: whether the whole request failed, not only single events. The worker then sends nothing else until the
            next try, unless the batch has only suspects (`deliver/state.py`) and the sink accepts other events.
        split: whether to send the batch again in halves, because the batch was too large, or because one event made the
            request fail.
        unattributed: the number of events in `delivered` that the sink rejected without saying which events (OTLP
            partial_success). The events that this number counts are dead letters. They are not a reason to send the
            batch again.
        warning: a problem of a sink that still accepts events, and what an operator should do; empty if there is no
            such problem.
    """

    delivered: Sequence[int] = ()
    retry: Sequence[int] = ()
    rejected: Sequence[Rejection] = ()
    reason: RetryReason | None = None
    detail: str = ""
    hint: str = ""
    wait: float | None = None
    pause: bool = False
    whole: bool = False
    split: bool = False
    unattributed: int = 0
    warning: str = ""

    @property
    def made_progress(self) -> bool:
        """Whether at least one event of the batch was delivered or rejected."""
        return bool(self.delivered or self.rejected)

    @property
    def rejection_detail(self) -> str:
        """The sink's text about one of the rejected events; empty if the sink rejected none."""
        if self.rejected:
            return self.rejected[-1].detail
        return self.detail if self.unattributed else ""
