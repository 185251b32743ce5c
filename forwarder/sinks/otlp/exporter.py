"""What the sink needs from an exporter, whichever protocol it uses."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from opentelemetry.sdk._logs import ReadableLogRecord

from forwarder.core.outcome import RejectReason
from forwarder.sinks import outcomes
from forwarder.sinks.outcomes import Verdict


class ExportResult(msgspec.Struct, frozen=True):
    """What the server said about one request.

    Attributes:
        verdict: what it means for all records of the request.
        detail: the server's own text.
        wait: seconds that the server asked us to wait.
        refused: how many records it refused although it accepted the request (partial_success).
        answered: the server answered, so the connection can be used again.
    """

    verdict: Verdict
    detail: str = ""
    wait: float | None = None
    refused: int = 0
    answered: bool = True


class Exporter(Protocol):
    """The SDK's exporter, with the server's real response."""

    def export(self, records: Sequence[ReadableLogRecord]) -> ExportResult:
        """Encode `records` and send them in one request. Blocks its thread."""
        ...

    def close(self) -> None:
        """Close the connection. Another thread may call it while `export` runs."""
        ...


NO_RESPONSE = ExportResult(outcomes.UNKNOWN, "the request was started, but not answered", answered=False)


def not_encoded(records: int) -> ExportResult:
    """Return the result if the SDK made no request: a record cannot be encoded. Halving the batch finds it.

    This is not expected, because `record` checks every value. Without it such an event would be sent without
    end.
    """
    if records > 1:
        return ExportResult(outcomes.SPLIT_MALFORMED, "a record cannot be encoded")
    return ExportResult(Verdict(reject=RejectReason.UNMAPPABLE), "the record cannot be encoded")
