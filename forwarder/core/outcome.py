"""What became of a batch: every event of it is delivered, to be retried, or rejected.

Anything that a sink does not know for certain is a retry: a second copy is harmless (both
Elasticsearch and OTLP carry the event's uuid), a lost one is not.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class RetryReason(StrEnum):
    """Why events must be sent again: a label value, so the set is small and fixed."""

    CONNECTION = "connection"  # no answer: refused, reset, name not found, TLS
    TIMEOUT = "timeout"  # no answer in time
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
    """Why an event will never be accepted: a label value, so the set is small and fixed."""

    MAPPING = "mapping"  # 400 of one item: the document does not fit the index
    TOO_LARGE = "too_large"  # 413 for this event alone
    MALFORMED = "malformed"  # 400 for this event alone, INVALID_ARGUMENT
    FAILURE_STORE = "failure_store"  # kept by Elasticsearch, but in the failure store
    PARTIAL_SUCCESS = "partial_success"  # an OTLP server took the batch and refused some of it
    UNMAPPABLE = "unmappable"  # we could not turn it into a document
    NOT_AN_EVENT = "not_an_event"  # the receiver's: an element that is no event


class Rejection(msgspec.Struct, frozen=True):
    """One event that a sink will never take.

    Attributes:
        seq: the event.
        reason: for counting.
        detail: the sink's own words.
    """

    seq: int
    reason: RejectReason
    detail: str


class BatchResult(msgspec.Struct, frozen=True):
    """What became of one batch. `delivered`, `retry` and `rejected` split the batch exactly.

    Attributes:
        delivered: seqs that the sink has, for certain and durably as far as it says.
        retry: seqs to send again.
        rejected: events that this sink will never take.
        reason: why there is a `retry`; None where there is none.
        detail: the sink's own words about the `retry`, for a log line and the status page.
        wait: seconds that the sink asked us to wait (`Retry-After`); None where it did not say.
        pause: an operator must act (401, 403, 404, redirect): wait long between tries, and alarm.
        whole: the retry concerns the sink as a whole, not single events: nothing else is sent meanwhile.
        split: the batch was too large as a whole; send it again in halves.
        unattributed: how many of `delivered` the sink refused without saying which (OTLP partial_success).
            They are counted as dead; the rest of the batch must not be sent again.
    """

    delivered: Sequence[int] = ()
    retry: Sequence[int] = ()
    rejected: Sequence[Rejection] = ()
    reason: RetryReason | None = None
    detail: str = ""
    wait: float | None = None
    pause: bool = False
    whole: bool = False
    split: bool = False
    unattributed: int = 0
