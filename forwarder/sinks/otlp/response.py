"""What came of one OTLP request, whichever protocol carried it, and the seam between the two and the sink."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from opentelemetry.sdk._logs import ReadableLogRecord

from forwarder.core.outcome import RejectReason
from forwarder.sinks import outcomes
from forwarder.sinks.outcomes import Verdict


class Reply(msgspec.Struct, frozen=True):
    """What the server said.

    Attributes:
        verdict: what it means for all records of the request.
        detail: the server's words.
        wait: seconds that the server asked us to wait.
        refused: how many records it did not take although it took the request (partial_success).
        answered: the server answered, so the connection can be used again.
    """

    verdict: Verdict
    detail: str = ""
    wait: float | None = None
    refused: int = 0
    answered: bool = True


class Exporter(Protocol):
    """The SDK's exporter, with the server's real answer."""

    def export(self, records: Sequence[ReadableLogRecord]) -> Reply:
        """Encode and send `records` in one request. It blocks its thread, until the timeout at the longest."""
        ...

    def close(self) -> None:
        """Let go of the connection. May be called from another thread while `export` runs."""
        ...


UNANSWERED = Reply(outcomes.UNKNOWN, "the request was begun and not answered", answered=False)


def not_encoded(records: int) -> Reply:
    """The SDK made no request of the records, so one of them cannot be encoded: find it by halves.

    `otlp_record` checks every value, so this is not expected; but without it such an event would be sent for ever.
    """
    if records > 1:
        return Reply(outcomes.SPLIT_MALFORMED, "a record cannot be encoded")
    return Reply(Verdict(reject=RejectReason.UNMAPPABLE), "the record cannot be encoded")
