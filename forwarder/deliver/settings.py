"""What an operator sets about the delivery to one sink."""

from pydantic import Field

from forwarder.config_types import Duration, Section, Size


class DeliverySettings(Section):
    """How events are sent to one sink.

    Attributes:
        batch_events: the most events in a batch.
        batch_bytes: the most bytes of event bodies in a batch, as received; a larger event is sent alone.
        timeout: how long to wait for the response to a batch; then it is sent again.
        concurrency: batches in flight at once, so that one is prepared while another waits for its response.
        backoff_base: the longest wait after a first failure; it doubles with each further one.
        backoff_cap: the longest wait after any failure.
        dead_letter_limit: after so many rejected events in a row, with none delivered between, the sink
            pauses instead of turning the whole store into dead letters; 0 turns the limit off.
    """

    batch_events: int = Field(default=500, ge=1, le=5_000)
    batch_bytes: Size = Field(default="4MiB", validate_default=True, ge=1024)
    timeout: Duration = Field(default="30s", validate_default=True, gt=0)
    concurrency: int = Field(default=1, ge=1, le=8)
    backoff_base: Duration = Field(default="500ms", validate_default=True, gt=0)
    backoff_cap: Duration = Field(default="30s", validate_default=True, gt=0)
    dead_letter_limit: int = Field(default=100, ge=0)
