"""What the exporters of both protocols share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter

from forwarder.core.outcome import RejectReason
from forwarder.core.ports import Clock
from forwarder.sinks import outcomes
from forwarder.sinks.otlp.settings import OtlpSinkSettings
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


NO_RESPONSE = ExportResult(outcomes.UNKNOWN, "the request was started, but not answered", answered=False)


class Exporter(ABC):
    """Sends records by the SDK's exporter, and sees the response, which that reduces to success or failure.

    Attributes:
        result: what the server said to the last request; None if there was no request. A subclass sets it.
        records: how many records the request carries.
    """

    def __init__(self, settings: OtlpSinkSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.result: ExportResult | None = None
        self.records = 0
        self._exporter: LogRecordExporter | None = None
        self._closed = False

    @abstractmethod
    def connect(self) -> LogRecordExporter:
        """Create the SDK's exporter. It runs in the thread of the first `export`, so it may read files."""

    def export(self, records: Sequence[ReadableLogRecord]) -> ExportResult:
        """Encode `records` and send them in one request. Blocks its thread."""
        self.result, self.records = None, len(records)
        self._exporter = exporter = self._exporter or self.connect()
        if self._closed:
            self.close()
        exporter.export(records)
        if self.result is not None:
            return self.result
        # No request was made: a record cannot be encoded, and halving the batch finds it. This is not
        # expected, because `record` checks every value. Without it such an event would be sent without end.
        if len(records) > 1:
            return ExportResult(outcomes.SPLIT_MALFORMED, "a record cannot be encoded")
        return ExportResult(Verdict(reject=RejectReason.UNMAPPABLE), "the record cannot be encoded")

    def close(self) -> None:
        """Close the connection. Another thread may call it while `export` runs."""
        self._closed = True
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
