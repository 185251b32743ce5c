"""The one table from a transport's answer to delivered, retry or rejected."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.core.time import retry_after
from forwarder.sinks import response_verdicts
from forwarder.sinks.response_verdicts import ResponseVerdict
from tests.fakes.clock import NOON

CODES = st.sampled_from([200, 201, 302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 0, 999])


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_accepted_request_is_delivered(status: int) -> None:
    assert response_verdicts.request_verdict(status, 10) == response_verdicts.item_verdict(status) == ResponseVerdict()


def test_a_conflict_of_one_item_is_delivered_because_it_is_there_already() -> None:
    assert response_verdicts.item_verdict(409) == ResponseVerdict()


@pytest.mark.parametrize(
    ("status", "reason", "pause"),
    [
        (203, RetryReason.UNKNOWN, True),
        (205, RetryReason.UNKNOWN, True),
        (206, RetryReason.UNKNOWN, True),
        (226, RetryReason.UNKNOWN, True),
        (301, RetryReason.REDIRECT, True),
        (302, RetryReason.REDIRECT, True),
        (307, RetryReason.REDIRECT, True),
        (401, RetryReason.UNAUTHORIZED, True),
        (403, RetryReason.FORBIDDEN, True),
        (404, RetryReason.NOT_FOUND, True),
        (405, RetryReason.UNKNOWN, True),
        (407, RetryReason.UNAUTHORIZED, True),
        (408, RetryReason.TIMEOUT, False),
        (415, RetryReason.UNKNOWN, True),
        (429, RetryReason.THROTTLED, False),
        (500, RetryReason.SERVER, False),
        (502, RetryReason.SERVER, False),
        (503, RetryReason.SERVER, False),
        (507, RetryReason.SERVER, False),
    ],
)
def test_a_failed_request_is_sent_again(status: int, reason: RetryReason, *, pause: bool) -> None:
    assert (
        response_verdicts.request_verdict(status, 10)
        == response_verdicts.item_verdict(status)
        == ResponseVerdict(reason, pause=pause)
    )


@pytest.mark.parametrize("status", [-1, 0, 100, 199, 600, 999])
def test_an_unknown_status_is_a_retry(status: int) -> None:
    assert (
        response_verdicts.request_verdict(status, 1)
        == response_verdicts.item_verdict(status)
        == ResponseVerdict(RetryReason.UNKNOWN)
    )


@pytest.mark.long
@given(status=st.integers(-1, 1_000), events=st.integers(2, 5_000))
def test_no_status_rejects_a_whole_batch(status: int, events: int) -> None:
    assert response_verdicts.request_verdict(status, events).reject is None


def test_a_batch_too_large_is_split_and_one_event_too_large_is_rejected() -> None:
    assert response_verdicts.request_verdict(413, 2) == ResponseVerdict(RetryReason.TOO_LARGE, split=True)
    assert (
        response_verdicts.request_verdict(413, 1)
        == response_verdicts.item_verdict(413)
        == ResponseVerdict(reject=RejectReason.TOO_LARGE)
    )


def test_a_malformed_batch_is_split_until_the_malformed_event_is_alone() -> None:
    assert response_verdicts.request_verdict(400, 2) == ResponseVerdict(RetryReason.UNKNOWN, split=True)
    assert response_verdicts.request_verdict(400, 1) == ResponseVerdict(reject=RejectReason.MALFORMED)
    assert response_verdicts.item_verdict(400) == ResponseVerdict(reject=RejectReason.MAPPING)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("OK", ResponseVerdict()),
        ("UNAVAILABLE", ResponseVerdict(RetryReason.SERVER)),
        ("INTERNAL", ResponseVerdict(RetryReason.SERVER)),
        ("DEADLINE_EXCEEDED", ResponseVerdict(RetryReason.TIMEOUT)),
        ("RESOURCE_EXHAUSTED", ResponseVerdict(RetryReason.THROTTLED)),
        ("UNAUTHENTICATED", ResponseVerdict(RetryReason.UNAUTHORIZED, pause=True)),
        ("PERMISSION_DENIED", ResponseVerdict(RetryReason.FORBIDDEN, pause=True)),
        ("UNIMPLEMENTED", ResponseVerdict(RetryReason.NOT_FOUND, pause=True)),
        ("INVALID_ARGUMENT", ResponseVerdict(RetryReason.UNKNOWN, split=True)),
        ("OUT_OF_RANGE", ResponseVerdict(RetryReason.UNKNOWN)),
        ("A_CODE_OF_TOMORROW", ResponseVerdict(RetryReason.UNKNOWN)),
    ],
)
def test_what_a_grpc_code_means(code: str, verdict: ResponseVerdict) -> None:
    assert response_verdicts.grpc_verdict(code, 10) == verdict


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (4612345 vs. 4194304)"),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (4612345 vs. 4194304)"),
        ("RESOURCE_EXHAUSTED", "gRPC message exceeds maximum size 4194304: 4612345"),
        ("OUT_OF_RANGE", "Error, decoded message length too large: found 4612345 bytes, the limit is: 4194304"),
    ],
)
def test_a_grpc_message_too_large_is_recognized_by_the_text_of_each_server(code: str, detail: str) -> None:
    assert response_verdicts.grpc_verdict(code, 2, detail) == ResponseVerdict(RetryReason.TOO_LARGE, split=True)
    assert response_verdicts.grpc_verdict(code, 1, detail) == ResponseVerdict(reject=RejectReason.TOO_LARGE)


@pytest.mark.parametrize(
    ("detail", "verdict"),
    [
        ("failed to connect to all addresses; last error: Connection refused", response_verdicts.CONNECTION),
        ("errors resolving otel.test:4317: Domain name not found", response_verdicts.CONNECTION),
        ("failed to connect to all addresses; last error: CERTIFICATE_VERIFY_FAILED", response_verdicts.TLS_UNTRUSTED),
        ("the queue is full", response_verdicts.SERVER),
    ],
)
def test_an_unreachable_grpc_server_differs_from_a_busy_one(detail: str, verdict: ResponseVerdict) -> None:
    assert response_verdicts.grpc_verdict("UNAVAILABLE", 2, detail) == verdict


def test_a_grpc_message_too_large_differs_from_a_busy_server() -> None:
    words = "grpc: received message larger than max (4823449 vs. 4194304)"
    assert response_verdicts.grpc_verdict("RESOURCE_EXHAUSTED", 10, words) == ResponseVerdict(
        RetryReason.TOO_LARGE, split=True
    )
    assert response_verdicts.grpc_verdict("RESOURCE_EXHAUSTED", 1, words) == ResponseVerdict(
        reject=RejectReason.TOO_LARGE
    )


def test_one_malformed_event_over_grpc_is_rejected() -> None:
    assert response_verdicts.grpc_verdict("INVALID_ARGUMENT", 1) == ResponseVerdict(reject=RejectReason.MALFORMED)


class _ClientError(Exception):
    """An error as a client library wraps it."""


def _wrapped(cause: BaseException) -> Exception:
    error = _ClientError("the request failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ConnectionRefusedError(111, "refused"), ResponseVerdict(RetryReason.CONNECTION)),
        (OSError("name not found"), ResponseVerdict(RetryReason.CONNECTION)),
        (TimeoutError(), ResponseVerdict(RetryReason.TIMEOUT)),
        (ssl.SSLError("handshake"), ResponseVerdict(RetryReason.CONNECTION)),
        (ssl.SSLCertVerificationError("self-signed"), ResponseVerdict(RetryReason.CONNECTION, pause=True)),
        (_wrapped(TimeoutError()), ResponseVerdict(RetryReason.TIMEOUT)),
        (_wrapped(ConnectionResetError()), ResponseVerdict(RetryReason.CONNECTION)),
        (_wrapped(ssl.SSLCertVerificationError("expired")), ResponseVerdict(RetryReason.CONNECTION, pause=True)),
        (ValueError("our own fault"), ResponseVerdict(RetryReason.UNKNOWN)),
    ],
)
def test_what_a_missing_response_means(error: Exception, verdict: ResponseVerdict) -> None:
    assert response_verdicts.error_verdict(error) == verdict


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:59:30 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after({} if value is None else {"retry-after": value}, NOON) == seconds


def test_a_date_in_retry_after_counts_by_the_clock_of_the_server() -> None:
    headers = {"retry-after": "Thu, 01 Jan 2026 13:00:30 GMT", "date": "Thu, 01 Jan 2026 13:00:00 GMT"}
    assert retry_after(headers, NOON) == 30
    assert retry_after(headers | {"date": "soon"}, NOON) == 3630


@pytest.mark.long
@given(st.text())
def test_no_retry_after_header_breaks_the_sink(value: str) -> None:
    seconds = retry_after({"retry-after": value}, NOON)
    assert seconds is None or seconds >= 0


def test_a_whole_request_that_failed_concerns_the_sink_and_a_split_does_not() -> None:
    down = response_verdicts.batch_outcome([1, 2], response_verdicts.SERVER, "busy", wait=3.0)
    assert (down.retry, down.reason, down.detail, down.wait, down.whole) == (
        [1, 2],
        RetryReason.SERVER,
        "busy",
        3.0,
        True,
    )
    large = response_verdicts.batch_outcome([1, 2], response_verdicts.SPLIT_TOO_LARGE)
    assert (large.retry, large.split, large.whole) == ([1, 2], True, False)


def test_an_item_that_pauses_gives_the_reason_over_one_that_does_not() -> None:
    outcome = response_verdicts.item_outcomes(
        [1, 2, 3], [(response_verdicts.THROTTLED, "slow"), (response_verdicts.FORBIDDEN, "no"), (ResponseVerdict(), "")]
    )
    assert (outcome.delivered, outcome.retry) == ([3], [1, 2])
    assert (outcome.reason, outcome.detail, outcome.pause) == (RetryReason.FORBIDDEN, "no", True)


def test_an_event_missing_in_the_response_is_sent_again() -> None:
    outcome = response_verdicts.item_outcomes([1, 2], [(ResponseVerdict(), "")])
    assert (outcome.delivered, outcome.retry, outcome.reason) == ([1], [2], RetryReason.UNKNOWN)


@pytest.mark.long
@given(st.lists(CODES, min_size=1), st.integers(0, 3))
def test_every_event_has_exactly_one_outcome(statuses: list[int], forgotten: int) -> None:
    seqs = list(range(1, len(statuses) + forgotten + 1))
    for outcome in (
        response_verdicts.item_outcomes(
            seqs, [(response_verdicts.item_verdict(status), "words") for status in statuses]
        ),
        response_verdicts.batch_outcome(seqs, response_verdicts.request_verdict(statuses[0], len(seqs)), "words"),
    ):
        parts = [*outcome.delivered, *outcome.retry, *(rejection.seq for rejection in outcome.rejected)]
        assert sorted(parts) == seqs
        assert (outcome.reason is None) == (not outcome.retry)


def test_the_detail_is_shortened() -> None:
    words = "x" * 100_000
    outcome = response_verdicts.item_outcomes(
        [1, 2], [(response_verdicts.MAPPING, words), (response_verdicts.SERVER, words)]
    )
    assert len(outcome.rejected[0].detail) == len(outcome.detail) == response_verdicts.DETAIL_LIMIT
