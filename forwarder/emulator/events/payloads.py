"""The two shapes of one event, and what Okta writes into both: its id and its time."""

from random import Random
from typing import Any
from uuid import UUID

from forwarder.core.time import Micros, to_datetime

_GREGORIAN = 0x01B21DD213814000
"""Steps of 100 ns from the first day of the Gregorian calendar, where version-1 UUIDs count from, to 1970."""


def hook_shape(event: dict[str, Any], *, nulls: bool = False) -> dict[str, Any]:
    """The System Log's `event` as a hook carries it: the chain at `client.ipChain`, and no nulls.

    Args:
        event: in the System Log's shape; it is not changed.
        nulls: keep explicit nulls, as Okta's preview does.
    """
    shaped = dict(event)
    shaped["client"] = event["client"] | {"ipChain": shaped.pop("request")["ipChain"]}
    return shaped if nulls else _without_nulls(shaped)


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """`value` without the keys that say nothing. What an admin changed keeps its nulls: there they do say something."""
    kept: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and key != "changeDetails":
            kept[key] = _without_nulls(item)
        elif isinstance(item, list):
            kept[key] = [_without_nulls(part) if isinstance(part, dict) else part for part in item]
        elif item is not None:
            kept[key] = item
    return kept


def timestamp(at: Micros, timespec: str = "milliseconds") -> str:
    """`at` as Okta writes it."""
    return to_datetime(at).isoformat(timespec=timespec).replace("+00:00", "Z")


def uuid1_for(published: Micros, random: Random) -> str:
    """A version-1 UUID whose time is that of `published`, a few microseconds on, as Okta's are."""
    ticks = (published + 1 + random.getrandbits(4)) * 10 + _GREGORIAN
    time_low, time_mid, time_high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
    clock = random.getrandbits(6), random.getrandbits(8)
    return str(UUID(fields=(time_low, time_mid, time_high, *clock, random.getrandbits(48)), version=1))
