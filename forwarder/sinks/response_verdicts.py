"""Decides what a response means for an event: delivered, retry or rejected. All sinks that send over a network use this
table, in which "pause" means that the sink waits longer, because an operator must act.

If the outcome of an event is unknown, the event is sent again, because an event must not be lost, and a second copy of
an event is harmless.

    response                       whole request                       one item of a bulk response
    -----------------------------  ----------------------------------  ------------------------------
    200, 201, 202, 204, OK         delivered                           delivered
    another 2xx                    retry: unknown, pause               retry: unknown, pause
    409                            retry: unknown, pause               delivered (it is there already)
    3xx                            retry: redirect, pause              retry: redirect, pause
    400, 422, INVALID_ARGUMENT     1 event: rejected malformed         rejected mapping
                                   more: split, to find the event
    401, 407, UNAUTHENTICATED      retry: unauthorized, pause          the same
    403, PERMISSION_DENIED         retry: forbidden, pause             the same
    404, 410, UNIMPLEMENTED        retry: not found, pause             the same
    408, DEADLINE_EXCEEDED         retry: timeout                      the same
    413, "larger than max"         1 event: rejected too large         rejected too large
                                   more: split
    425, 429, RESOURCE_EXHAUSTED   retry: throttled                    the same
    another 4xx                    retry: unknown, pause               retry: unknown, pause
    5xx, UNAVAILABLE, INTERNAL     retry: server                       the same
    anything else                  retry: unknown                      retry: unknown
    no connection                  retry: connection                   -
    untrusted certificate          retry: connection, pause            -
    no response in time            retry: timeout                      -
"""

import ssl
from collections.abc import Sequence
from functools import cache

import msgspec
from msgspec.structs import replace

from forwarder.connection_errors import error_chain
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.redaction import redact_start

DETAIL_LIMIT = 1_000
"""The maximum number of characters of a sink's own text that are kept. Some servers quote the whole request in their
text."""


def kept(detail: str) -> str:
    """Return `detail`, a sink's own text, with secrets redacted, and shortened to DETAIL_LIMIT characters."""
    return redact_start(detail, DETAIL_LIMIT)


class ResponseVerdict(msgspec.Struct, frozen=True):
    """The meaning of a response for the events of its request. If `retry` and `reject` are both None, the events are
    delivered.

    Attributes:
        retry: the reason why the events must be sent again; None if they must not be sent again.
        reject: the reason why the sink will never accept the event; None if the event is not rejected.
        pause: whether the sink must be paused, because a retry can succeed only after an operator has acted.
        split: whether to send the batch again in halves, because the batch is too large, or because one of its events
            makes the request fail.
    """

    retry: RetryReason | None = None
    reject: RejectReason | None = None
    pause: bool = False
    split: bool = False


DELIVERED = ResponseVerdict()
CONNECTION = ResponseVerdict(RetryReason.CONNECTION)
TIMEOUT = ResponseVerdict(RetryReason.TIMEOUT)
THROTTLED = ResponseVerdict(RetryReason.THROTTLED)
SERVER = ResponseVerdict(RetryReason.SERVER)
UNKNOWN = ResponseVerdict(RetryReason.UNKNOWN)

# For these verdicts, the same request fails again until an operator acts.
TLS_UNTRUSTED = ResponseVerdict(RetryReason.CONNECTION, pause=True)
REDIRECT = ResponseVerdict(RetryReason.REDIRECT, pause=True)
UNAUTHORIZED = ResponseVerdict(RetryReason.UNAUTHORIZED, pause=True)
FORBIDDEN = ResponseVerdict(RetryReason.FORBIDDEN, pause=True)
NOT_FOUND = ResponseVerdict(RetryReason.NOT_FOUND, pause=True)
REFUSED = ResponseVerdict(RetryReason.UNKNOWN, pause=True)

# If a request with only one event fails, this event is rejected. A larger batch is split until the event that fails is
# alone.
SPLIT_TOO_LARGE = ResponseVerdict(RetryReason.TOO_LARGE, split=True)
SPLIT_MALFORMED = ResponseVerdict(RetryReason.UNKNOWN, split=True)
TOO_LARGE = ResponseVerdict(reject=RejectReason.TOO_LARGE)
MALFORMED = ResponseVerdict(reject=RejectReason.MALFORMED)
MAPPING = ResponseVerdict(reject=RejectReason.MAPPING)

_ACCEPTED = (200, 201, 202, 204)
"""The HTTP statuses by which servers accept events. The other 2xx statuses have other meanings, such as a part of a
file."""

_HTTP = {
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    404: NOT_FOUND,
    407: UNAUTHORIZED,
    408: TIMEOUT,
    410: NOT_FOUND,
    425: THROTTLED,
    429: THROTTLED,
}
"""The verdict for each HTTP status that has the same meaning for a whole request and for one item of a bulk
response."""

_GRPC_TOO_LARGE = ("larger than max", "exceeds maximum size", "length too large")
"""Parts of the texts with which servers in Go, C++, Python, Java and Rust refuse a message that is too large."""

_GRPC_NO_CONNECTION = (
    "failed to connect to all addresses",
    "errors resolving",
    "dns resolution failed",
    "socket closed",
)
"""The beginnings of the gRPC library's own texts about a server that it cannot reach."""

_GRPC_UNTRUSTED = ("certificate_verify_failed", "hostname verification check failed")

_GRPC = {
    "OK": DELIVERED,
    "ABORTED": SERVER,
    "CANCELLED": SERVER,
    "DATA_LOSS": SERVER,
    "DEADLINE_EXCEEDED": TIMEOUT,
    "INTERNAL": SERVER,
    "NOT_FOUND": NOT_FOUND,
    "PERMISSION_DENIED": FORBIDDEN,
    "RESOURCE_EXHAUSTED": THROTTLED,
    "UNAUTHENTICATED": UNAUTHORIZED,
    "UNAVAILABLE": SERVER,
    "UNIMPLEMENTED": NOT_FOUND,
}


def request_verdict(status: int, events: int) -> ResponseVerdict:
    """Return the verdict for a request with `events` events whose response has the HTTP status `status`."""
    if status == 413:
        return SPLIT_TOO_LARGE if events > 1 else TOO_LARGE
    if status in (400, 422):
        return SPLIT_MALFORMED if events > 1 else MALFORMED
    return _http_verdict(status)


def item_verdict(status: int) -> ResponseVerdict:
    """Return the verdict for one event whose item in a bulk response has the status `status`."""
    if status == 409:  # a document with this `_id` exists, because an earlier request has created it
        return DELIVERED
    if status == 413:
        return TOO_LARGE
    if status in (400, 422):
        return MAPPING
    return _http_verdict(status)


def _http_verdict(status: int) -> ResponseVerdict:
    if status in _ACCEPTED:
        return DELIVERED
    if 200 <= status < 300:
        return REFUSED
    if 300 <= status < 400:
        return REDIRECT
    if 400 <= status < 500:
        return _HTTP.get(status, REFUSED)
    return SERVER if 500 <= status < 600 else UNKNOWN


def grpc_verdict(code: str, events: int, detail: str = "") -> ResponseVerdict:
    """Return the verdict for a call with `events` events that ended with the gRPC status `code`, such as `UNAVAILABLE`.

    `detail` is the text of the status. Only this text distinguishes a message that is too large from a busy server
    (both have the status RESOURCE_EXHAUSTED), and an unreachable server from a server that is not ready (both have the
    status UNAVAILABLE).
    """
    text = detail.lower()
    if code in {"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"} and any(sign in text for sign in _GRPC_TOO_LARGE):
        return SPLIT_TOO_LARGE if events > 1 else TOO_LARGE
    if code == "INVALID_ARGUMENT":
        return SPLIT_MALFORMED if events > 1 else MALFORMED
    if code == "UNAVAILABLE" and text.startswith(_GRPC_NO_CONNECTION):
        return TLS_UNTRUSTED if any(sign in text for sign in _GRPC_UNTRUSTED) else CONNECTION
    return _GRPC.get(code, UNKNOWN)


def error_verdict(error: BaseException) -> ResponseVerdict:
    """Return the verdict for the events of a request that raised `error` instead of getting a response."""
    verdict = UNKNOWN
    for cause in error_chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TLS_UNTRUSTED
        if verdict is UNKNOWN and isinstance(cause, TimeoutError):
            verdict = TIMEOUT
        elif verdict is UNKNOWN and isinstance(cause, OSError):
            verdict = CONNECTION
    return verdict


def batch_outcome(
    seqs: Sequence[int], verdict: ResponseVerdict, detail: str = "", wait: float | None = None
) -> BatchResult:
    """Return the result of a batch with the events `seqs`. Each event has the verdict `verdict`.

    `detail` is the sink's own text. `wait` is the number of seconds that the sink asked the forwarder to wait; None if
    the sink did not ask.
    """
    result = item_outcomes(seqs, [(verdict, detail)] * len(seqs), wait)
    return replace(result, whole=not verdict.split, split=verdict.split) if result.retry else result


def item_outcomes(
    seqs: Sequence[int], items: Sequence[tuple[ResponseVerdict, str]], wait: float | None = None
) -> BatchResult:
    """Return the result of a batch with the events `seqs`. Each event has a verdict of its own.

    `items` has the verdict and the sink's own text for each event, in the order of `seqs`. If `items` is shorter than
    `seqs`, the outcome of the remaining events is unknown, so they must be sent again. `wait` is the number of seconds
    that the sink asked the forwarder to wait; None if the sink did not ask.
    """
    delivered: list[int] = []
    retry: list[int] = []
    rejected: list[Rejection] = []
    worst = DELIVERED, ""
    keep = cache(kept)  # if a whole batch is rejected, all its events have the same text
    missing = [(UNKNOWN, "the response has no result for this event")] * (len(seqs) - len(items))
    for seq, (verdict, detail) in zip(seqs, [*items, *missing], strict=False):
        if verdict.reject is not None:
            rejected.append(Rejection(seq, verdict.reject, keep(detail)))
        elif verdict.retry is None:
            delivered.append(seq)
        else:
            retry.append(seq)
            if worst[0] is DELIVERED or (verdict.pause and not worst[0].pause):
                worst = verdict, kept(detail)
    if not retry:
        return BatchResult(delivered=delivered, rejected=rejected)
    verdict, detail = worst
    return BatchResult(delivered, retry, rejected, reason=verdict.retry, detail=detail, wait=wait, pause=verdict.pause)
