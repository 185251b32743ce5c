"""What an operator sets about every sink, whatever its kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from forwarder.config_types import Duration, Section, Size


class DeliverySettings(Section):
    """How events are sent to one sink.

    Attributes:
        batch_events: the most events in a batch.
        batch_bytes: the most bytes of event bodies in a batch, as received; a larger event is sent alone.
        timeout: how long to wait for the response to a batch; then it is sent again.
        concurrency: batches in flight at once, so that one is prepared while another waits for its response.
        backoff_base: upper limit of the wait after the first failure; it doubles with each further failure.
        backoff_cap: upper limit of every wait.
        lone_tries: how often an event is sent alone whose requests fail while the sink accepts others; then it
            is a dead letter; 0 means without end.
        dead_letter_limit: if this many events in a row are rejected and none is delivered, the sink pauses,
            so that the whole store does not become dead letters; 0 means no limit.
    """

    batch_events: int = Field(default=500, ge=1, le=5_000)
    batch_bytes: Size = Field(default="4MiB", validate_default=True, ge=1024)
    timeout: Duration = Field(default="30s", validate_default=True, gt=0)
    concurrency: int = Field(default=1, ge=1, le=8)
    backoff_base: Duration = Field(default="500ms", validate_default=True, gt=0)
    backoff_cap: Duration = Field(default="30s", validate_default=True, gt=0)
    lone_tries: int = Field(default=10, ge=0)
    dead_letter_limit: int = Field(default=100, ge=0, le=1_000_000_000)

    @model_validator(mode="after")
    def _base_below_cap(self) -> Self:
        if self.backoff_base > self.backoff_cap:
            raise ValueError("`backoff_base` is longer than `backoff_cap`, the longest wait")
        return self


class SinkSettings(Section):
    """One sink. Each kind adds its own keys, and its own defaults of `delivery`.

    Attributes:
        start: what a new sink gets: `oldest` for every event in the store, `now` for new events only.
        delivery: how events are delivered, see `sinks.NAME.delivery`.
    """

    kind: str
    start: Literal["oldest", "now"] = "oldest"
    delivery: DeliverySettings = DeliverySettings()
    _several_orgs: bool = PrivateAttr(default=False)

    @property
    def several_orgs(self) -> bool:
        """Whether the configuration that this is a part of has more than one org."""
        return self._several_orgs

    def note_orgs(self, orgs: int) -> None:
        """Note how many orgs the configuration has. It counts in a comparison, so a reload builds the sink again."""
        self._several_orgs = orgs > 1

    @property
    def files(self) -> list[Path]:
        """The files that these settings name to be read."""
        named = (getattr(self, key, None) for key in ("ca_file", "cert_file", "key_file"))
        return [path for path in named if path]

    def file_problems(self) -> Iterator[tuple[str, str]]:
        """Check the files that the settings name. Yields the key and what is wrong for each file that cannot
        be used."""
        yield from ()
