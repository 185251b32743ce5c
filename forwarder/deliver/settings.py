"""What an operator sets about the delivery to one sink."""

from pydantic import Field

from forwarder.config_types import Duration, Section, Size


class DeliverySettings(Section):
    """How events are brought to one sink; every sink has its own.

    Attributes:
        batch_events: events in a batch, at most.
        batch_bytes: bodies of a batch together, as received; a larger event goes alone.
        timeout: how long one try may take; what is not answered by then is sent again.
        concurrency: batches in flight at once, so that one is prepared while another waits for its answer.
        backoff_base: upper bound of the first wait after a failure; it doubles with each further one.
        backoff_cap: upper bound of any such wait.
        dead_letter_limit: events rejected in a row, with none delivered between, after which the sink pauses instead
            of emptying the store into the dead letters; 0 turns the limit off.
    """

    batch_events: int = Field(default=500, ge=1, le=5_000)
    batch_bytes: Size = Field(default="4MiB", validate_default=True, ge=1024)
    timeout: Duration = Field(default="30s", validate_default=True, gt=0)
    concurrency: int = Field(default=1, ge=1, le=8)
    backoff_base: Duration = Field(default="500ms", validate_default=True, gt=0)
    backoff_cap: Duration = Field(default="30s", validate_default=True, gt=0)
    dead_letter_limit: int = Field(default=100, ge=0)
