"""Converts an event to the shape that hooks carry, and makes event ids in Okta's form."""

from random import Random
from typing import Any
from uuid import UUID

from forwarder.core.time import Micros

_GREGORIAN = 0x01B21DD213814000
"""The start of 1970 in the time of version-1 UUIDs, which counts steps of 100 ns since the Gregorian calendar
began."""


def hook_shape(event: dict[str, Any], *, nulls: bool = False) -> dict[str, Any]:
    """Return a copy of an event of the System Log in the shape that hooks carry.

    The IP chain moves from `request` to `client`. Keys with the value null are removed, unless `nulls` is true.
    """
    shaped = dict(event)
    shaped["client"] = event["client"] | {"ipChain": shaped.pop("request")["ipChain"]}
    return shaped if nulls else _without_nulls(shaped)


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` without the keys whose value is null. Nulls in `changeDetails` stay, because they have a
    meaning."""
    kept: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and key != "changeDetails":
            kept[key] = _without_nulls(item)
        elif isinstance(item, list):
            kept[key] = [_without_nulls(part) if isinstance(part, dict) else part for part in item]
        elif item is not None:
            kept[key] = item
    return kept


def uuid1_for(published: Micros, random: Random) -> str:
    """Return a version-1 UUID whose time is a few microseconds after `published`, as in Okta."""
    ticks = (published + 1 + random.getrandbits(4)) * 10 + _GREGORIAN
    time_low, time_mid, time_high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
    clock = random.getrandbits(6), random.getrandbits(8)
    return str(UUID(fields=(time_low, time_mid, time_high, *clock, random.getrandbits(48)), version=1))
