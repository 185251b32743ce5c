"""Readers: from any decoded JSON value to what a field can hold, or None when there is nothing to keep.

Okta's objects carry surprises (a string for an object, an "IP" that is none), and an index refuses a whole
document for one value of the wrong type. So every field has a reader, and no reader ever fails.
"""

import ipaddress
import re
from typing import Any

from forwarder.ecs.decode import INT64, decode, encode

MAX_DEPTH = 16
"""Levels that a free object keeps; what lies deeper becomes its JSON text. An index allows 20 in all."""

_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)
_PLAIN = {str, float, bool}
_OUTCOMES = {"success": "success", "allow": "success", "failure": "failure", "deny": "failure"}


def text(value: Any) -> str | None:
    """A keyword: strings as they are, other values as their JSON text."""
    if type(value) is str:
        return value or None
    if isinstance(value, dict | list):
        value = clean(value)
    return None if value is None else encode(value)


def texts(value: Any) -> str | list[str] | None:
    """Keywords: what `text` reads, but the items of a list one by one."""
    if type(value) is not list:
        return text(value)
    return [read for item in value if (read := text(item)) is not None] or None


def flag(value: Any) -> bool | None:
    """A boolean, also one that was written as a string."""
    if type(value) is bool:
        return value
    return {"true": True, "false": False}.get(value) if type(value) is str else None


def integer(value: Any) -> int | None:
    """An integer of 64 bits, also one that was written as a string."""
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    return value if type(value) is int and value in INT64 else None


def ip(value: Any) -> str | None:
    """An IP address. Okta also sends "null" and junk; an index would refuse the document for it."""
    if type(value) is not str or "%" in value:
        return None
    if _IPV4.fullmatch(value):  # five times as fast as the library, and nearly every address is one
        return value
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return None
    return value


def email(value: Any) -> str | None:
    """A login that is an address: an "@" that is not its first character."""
    return value if type(value) is str and value.find("@") > 0 else None


def outcome(value: Any) -> str:
    """ECS knows three outcomes; SKIPPED, CHALLENGE and whatever comes next are "unknown"."""
    return _OUTCOMES.get(value.lower(), "unknown") if type(value) is str else "unknown"


def location(value: Any) -> dict[str, float] | None:
    """A point on Earth: both numbers there, and in range."""
    if type(value) is not dict:
        return None
    lat: Any = value.get("lat")
    lon: Any = value.get("lon")
    if type(lat) not in (int, float) or type(lon) not in (int, float):
        return None
    return {"lat": lat, "lon": lon} if -90 <= lat <= 90 and -180 <= lon <= 180 else None


def json_object(value: Any) -> Any:
    """An object that Okta sends as a JSON string. Any other value goes into `raw`, because the field accepts no string."""
    parsed = parsed_json(value)
    objects = parsed if type(parsed) is list else [parsed]
    if objects and all(type(item) is dict for item in objects):
        return parsed
    return None if clean(value) is None else {"raw": text(value)}


def parsed_json(value: Any) -> Any:
    """What a JSON string says, with its empty objects, as Elastic keeps it; any other value as it is."""
    if type(value) is not str or value.lstrip()[:1] not in ("{", "["):
        return clean(value)
    try:
        return _bounded(decode(value), MAX_DEPTH)
    except (ValueError, RecursionError):
        return value


def clean(value: Any, room: int = MAX_DEPTH) -> Any:
    """`value` without nulls, "", {} and [], at any depth; None when nothing is left.

    Args:
        value: any JSON value.
        room: levels that may still be opened.
    """
    kind = type(value)
    if kind is str:
        return value or None
    if kind is dict:
        if not room:
            return encode(value)
        # Most values need no look: asking here saves half of the time.
        return {
            key: inner
            for key, raw in value.items()
            if (inner := raw if raw and type(raw) in _PLAIN else clean(raw, room - 1)) is not None
        } or None
    if kind is list:
        if not room:
            return encode(value)
        return [inner for raw in value if (inner := clean(raw, room - 1)) is not None] or None
    return str(value) if kind is int and value not in INT64 else value


def _bounded(value: Any, room: int) -> Any:
    kind = type(value)
    if kind in (dict, list) and not room:
        return encode(value)
    if kind is dict:
        return {key: _bounded(inner, room - 1) for key, inner in value.items() if inner is not None}
    if kind is list:
        return [_bounded(inner, room - 1) for inner in value if inner is not None]
    return str(value) if kind is int and value not in INT64 else value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; a single object counts as a list of one, anything else is left out."""
    if type(value) is dict:
        return [value] if value else []
    return [item for item in value if type(item) is dict] if type(value) is list else []


def field_name(key: str) -> str:
    """A key of a free object as a field name: an index refuses a document for a name with a blank part."""
    if key and key[0] != "." and key[-1] != "." and ".." not in key and not key.isspace():
        return key
    return ".".join(part if part.strip() else "_" for part in key.split("."))
