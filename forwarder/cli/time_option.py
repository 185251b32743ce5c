"""The types of command-line options that are a point in time or a duration."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

from forwarder.clock import SystemClock
from forwarder.core.time import FIRST, LAST, SECOND, Micros, to_datetime, to_micros


class TimeParam(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A date, a date with time (UTC unless it has an offset), or an age such as `24h`, converted to `Micros`."""

    name = "time"
    examples = "2026-01-31, 2026-01-31T08:00Z, or an age such as 24h or 7d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Return the time that `value` names."""
        from pydantic import TypeAdapter, ValidationError

        from forwarder.config.types import Duration

        if isinstance(value, int):
            return value
        try:
            return min(max(FIRST, to_micros(datetime.fromisoformat(value))), LAST)
        except ValueError:
            pass
        try:
            age: float = TypeAdapter(Duration).validate_python(value)
            return SystemClock().now() - round(age * SECOND)
        except ValidationError:
            self.fail(f"{value!r} is not a time; write {self.examples}", param, ctx)


class MomentParam(TimeParam):
    """A time of day such as `10:03` (UTC unless it has an offset), or what `TimeParam` accepts.

    A time of day means today. If that time is in the future, it means yesterday.
    """

    examples = f"10:03, {TimeParam.examples}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Return the time that `value` names."""
        try:
            time_of_day = time.fromisoformat(value if value[1:2] != ":" else f"0{value}")
        except (TypeError, ValueError):
            return super().convert(value, param, ctx)
        zone = time_of_day.tzinfo or UTC
        now = to_datetime(SystemClock().now()).astimezone(zone)
        moment = datetime.combine(now.date(), time_of_day, zone)
        return to_micros(moment if moment <= now else moment - timedelta(days=1))


class DurationParam(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A duration with a unit, such as `30s`, converted to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the duration in `value`, in seconds."""
        from pydantic import TypeAdapter, ValidationError

        from forwarder.config.types import Duration

        try:
            return float(TypeAdapter(Duration).validate_python(value))
        except ValidationError as error:
            self.fail(error.errors()[0]["msg"].removeprefix("Value error, "), param, ctx)
