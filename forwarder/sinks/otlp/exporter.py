"""What the sink needs from an exporter, whichever protocol it uses."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter

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


class ResponseRecorder:
    """Sees the server's response, of which the SDK's exporter returns only success or failure.

    Attributes:
        result: what the server said to the last request; None if there was no request.
        records: how many records it carries.
    """

    def __init__(self) -> None:
        super().__init__()
        self.result: ExportResult | None = None
        self.records = 0

    def export(self, exporter: LogRecordExporter, records: Sequence[ReadableLogRecord]) -> ExportResult:
        """Let `exporter` send `records` in one request, and return what the server said."""
        self.result, self.records = None, len(records)
        exporter.export(records)
        if self.result is not None:
            return self.result
        # No request was made: a record cannot be encoded, and halving the batch finds it. This is not expected,
        # because `record` checks every value. Without it such an event would be sent without end.
        if len(records) > 1:
            return ExportResult(outcomes.SPLIT_MALFORMED, "a record cannot be encoded")
        return ExportResult(Verdict(reject=RejectReason.UNMAPPABLE), "the record cannot be encoded")
