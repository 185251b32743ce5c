"""Points in time as options of a command."""

from datetime import datetime
from typing import Any

import click

from forwarder.clock import SystemClock
from forwarder.core.time import SECOND, Micros, to_micros


class TimeParam(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A date, a date and time (UTC unless it has an offset), or an age as in `24h`. Gives `Micros`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Convert what was written."""
        from pydantic import TypeAdapter, ValidationError

        from forwarder.config_types import Duration

        if isinstance(value, int):
            return value
        try:
            return to_micros(datetime.fromisoformat(value))
        except ValueError:
            pass
        try:
            age: float = TypeAdapter(Duration).validate_python(value)
            return SystemClock().now() - round(age * SECOND)
        except ValidationError:
            text = f"{value!r} is not a time; write 2026-01-31, 2026-01-31T08:00Z, or an age as in 24h or 7d"
            self.fail(text, param, ctx)
