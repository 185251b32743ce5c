"""Points in time as an operator writes them for a command."""

from datetime import datetime
from typing import Any

import click

from forwarder.clock import SystemClock
from forwarder.core.time import Micros, to_micros


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A date, a date and time (UTC unless it says otherwise), or how long ago, as in `24h`; gives `Micros`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Read what was written."""
        from pydantic import TypeAdapter, ValidationError

        from forwarder.config_types import Duration

        if isinstance(value, int):
            return value
        try:
            return to_micros(datetime.fromisoformat(value))
        except ValueError:
            pass
        try:
            ago: float = TypeAdapter(Duration).validate_python(value)
            return SystemClock().now() - round(ago * 1_000_000)
        except ValidationError:
            self.fail(
                f"{value!r} is no time; write 2026-01-31, 2026-01-31T08:00Z, or how long ago, as in 24h or 7d",
                param,
                ctx,
            )
