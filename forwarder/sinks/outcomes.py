"""What a transport's answer means: delivered, retry or rejected. The one table; every sink asks here.

The rule behind it: a status that we do not know for certain is a retry. A second copy is harmless, a lost event is not.

    answer                         whole request                       one item of a bulk answer
    -----------------------------  ----------------------------------  ------------------------------
    2xx, OK                        delivered                           delivered
    409                            retry: unknown, pause               delivered (it is there already)
    3xx                            retry: redirect, pause              retry: redirect, pause
    400, 422, INVALID_ARGUMENT     1 event: rejected malformed         rejected mapping
                                   more: split, to find the culprit
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
    a certificate not trusted      retry: connection, pause            -
    no answer in time              retry: timeout                      -
"""

import ssl
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import msgspec

from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.time import Micros, to_micros

DETAIL_LIMIT = 1_000
"""Characters of a sink's own words that are kept: some servers quote the whole request back."""


class Verdict(msgspec.Struct, frozen=True):
    """What one answer means. With neither `retry` nor `reject`: delivered.

    Attributes:
        retry: why to send again; None where not.
        reject: why it will never be accepted; None where not.
        pause: an operator must act before it can succeed.
        split: too large, or one event of several spoils it: send it again in halves.
    """

    retry: RetryReason | None = None
    reject: RejectReason | None = None
    pause: bool = False
    split: bool = False


DELIVERED = Verdict()
CONNECTION = Verdict(RetryReason.CONNECTION)
UNTRUSTED = Verdict(RetryReason.CONNECTION, pause=True)
TIMEOUT = Verdict(RetryReason.TIMEOUT)
THROTTLED = Verdict(RetryReason.THROTTLED)
SERVER = Verdict(RetryReason.SERVER)
REDIRECT = Verdict(RetryReason.REDIRECT, pause=True)
UNAUTHORIZED = Verdict(RetryReason.UNAUTHORIZED, pause=True)
FORBIDDEN = Verdict(RetryReason.FORBIDDEN, pause=True)
NOT_FOUND = Verdict(RetryReason.NOT_FOUND, pause=True)
UNKNOWN = Verdict(RetryReason.UNKNOWN)
REFUSED = Verdict(RetryReason.UNKNOWN, pause=True)
SPLIT_TOO_LARGE = Verdict(RetryReason.TOO_LARGE, split=True)
SPLIT_MALFORMED = Verdict(RetryReason.UNKNOWN, split=True)
TOO_LARGE = Verdict(reject=RejectReason.TOO_LARGE)
MALFORMED = Verdict(reject=RejectReason.MALFORMED)
MAPPING = Verdict(reject=RejectReason.MAPPING)

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
"""Statuses that mean the same for a request and for one item."""

_GRPC_TOO_LARGE = ("larger than max", "exceeds maximum size", "length too large")
"""How the servers in Go, C++, Python, Java and Rust say that a message is too large."""

_GRPC_UNREACHED = (
    "failed to connect to all addresses",
    "errors resolving",
    "dns resolution failed",
    "socket closed",
)
"""How gRPC itself begins to say that it reached no server."""

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


def request(status: int, events: int) -> Verdict:
    """What the HTTP `status` of a whole request with `events` events means for all of them."""
    if status == 413:
        return SPLIT_TOO_LARGE if events > 1 else TOO_LARGE
    if status in (400, 422):
        return SPLIT_MALFORMED if events > 1 else MALFORMED
    return _http(status)


def item(status: int) -> Verdict:
    """What the `status` of one item of a bulk answer means for that event."""
    if status == 409:  # `create` met the same _id: an earlier try did arrive
        return DELIVERED
    if status == 413:
        return TOO_LARGE
    if status in (400, 422):
        return MAPPING
    return _http(status)


def _http(status: int) -> Verdict:
    if 200 <= status < 300:
        return DELIVERED
    if 300 <= status < 400:
        return REDIRECT
    if 400 <= status < 500:
        return _HTTP.get(status, REFUSED)
    return SERVER if 500 <= status < 600 else UNKNOWN


def grpc(code: str, events: int, detail: str = "") -> Verdict:
    """What a gRPC status means for all events of a call.

    Args:
        code: the status's name, as in `UNAVAILABLE`.
        events: how many the call carried.
        detail: the server's words. Only there does a server tell "message too large" from "busy": both are
            RESOURCE_EXHAUSTED, and the first would be sent again for ever. And only there does gRPC tell a server
            that is not there from one that says it is not ready.
    """
    words = detail.lower()
    if code in {"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"} and any(sign in words for sign in _GRPC_TOO_LARGE):
        return SPLIT_TOO_LARGE if events > 1 else TOO_LARGE
    if code == "INVALID_ARGUMENT":
        return SPLIT_MALFORMED if events > 1 else MALFORMED
    if code == "UNAVAILABLE" and words.startswith(_GRPC_UNREACHED):
        return UNTRUSTED if "certificate_verify_failed" in words else CONNECTION
    return _GRPC.get(code, UNKNOWN)


def failure(error: BaseException) -> Verdict:
    """What it means that no answer came. Causes are looked at too, because clients wrap what the system said."""
    seen: BaseException | None = error
    known = UNKNOWN
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return UNTRUSTED
        if known is UNKNOWN and isinstance(seen, TimeoutError):
            known = TIMEOUT
        elif known is UNKNOWN and isinstance(seen, OSError):
            known = CONNECTION
        seen = seen.__cause__ or seen.__context__
    return known


def retry_after(value: str | None, now: Micros) -> float | None:
    """Seconds that a `Retry-After` header asks for, from `now` on; None where it is absent, past or unreadable.

    Args:
        value: seconds, or a date as HTTP writes it.
        now: the wall clock.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = to_micros(parsedate_to_datetime(text))
    except ValueError:
        return None
    return (at - now) / 1_000_000 if at > now else None


def whole(seqs: Sequence[int], verdict: Verdict, detail: str = "", wait: float | None = None) -> BatchResult:
    """The outcome of a batch that met one fate.

    Args:
        seqs: the events of the batch.
        verdict: what the answer means.
        detail: the sink's own words; shortened.
        wait: seconds that the sink asked us to wait.
    """
    words = detail[:DETAIL_LIMIT]
    if verdict.reject is not None:
        return BatchResult(rejected=[Rejection(seq, verdict.reject, words) for seq in seqs])
    if verdict.retry is None:
        return BatchResult(delivered=seqs)
    return BatchResult(
        retry=seqs,
        reason=verdict.retry,
        detail=words,
        wait=wait,
        pause=verdict.pause,
        whole=not verdict.split,
        split=verdict.split,
    )


def each(
    seqs: Sequence[int], answers: Sequence[tuple[Verdict, str]], wait: float | None = None
) -> BatchResult:
    """The outcome of a batch whose events were answered one by one.

    Args:
        seqs: the events of the batch.
        answers: a verdict and the sink's own words for each, in the same order. An event without an answer
            is a retry, because nothing is known about it.
        wait: seconds that the sink asked us to wait.
    """
    delivered: list[int] = []
    retry: list[int] = []
    rejected: list[Rejection] = []
    worst: tuple[Verdict, str] | None = None
    unanswered = [(UNKNOWN, "the answer does not name this event")] * (len(seqs) - len(answers))
    for seq, (verdict, words) in zip(seqs, [*answers, *unanswered], strict=False):
        if verdict.reject is not None:
            rejected.append(Rejection(seq, verdict.reject, words[:DETAIL_LIMIT]))
        elif verdict.retry is None:
            delivered.append(seq)
        else:
            retry.append(seq)
            if worst is None or (verdict.pause and not worst[0].pause):
                worst = (verdict, words[:DETAIL_LIMIT])
    if worst is None:
        return BatchResult(delivered=delivered, rejected=rejected)
    verdict, words = worst
    return BatchResult(
        delivered, retry, rejected, reason=verdict.retry, detail=words, wait=wait, pause=verdict.pause
    )
