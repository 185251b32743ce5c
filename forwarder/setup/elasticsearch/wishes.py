"""What the operator asks of setup."""

from typing import Literal

import msgspec

from forwarder.setup.elasticsearch.bodies import Retention


class Target(msgspec.Struct, frozen=True):
    """What of the sink's settings matters here.

    Attributes:
        data_stream: its name.
        documents: `ecs`, or `raw` for Elastic's own pipeline.
        pipeline: that every request names; None for the index's default.
    """

    data_stream: str
    documents: Literal["ecs", "raw"] = "ecs"
    pipeline: str | None = None


class Wishes(msgspec.Struct, frozen=True):
    """What the operator asks for.

    Attributes:
        retention: how long events stay.
        dry_run: show what would change, change nothing.
        rollover: begin a new backing index where the present one has an older mapping.
    """

    retention: Retention = Retention()
    dry_run: bool = False
    rollover: bool = False
