"""Readers: from any decoded JSON value to what a field can hold, or None when there is nothing to keep.

Okta's objects carry surprises (a string for an object, an "IP" that is none), and an index refuses a whole
document for one value of the wrong type. So every field has a reader, and no reader ever fails.
"""

import ipaddress
import re
from itertools import islice
from typing import Any

from forwarder.ecs.decode import INT64, decode, encode

MAX_DEPTH = 16
"""Levels that a free object keeps; what lies deeper becomes its JSON text. An index allows 20 in all."""

MAX_KEYS = 100
"""Keys that a free object keeps, those of its inner objects included; the others become one JSON text under `REST`.
Without our mapping each key is a field, and an index allows 1,000 in all."""

MAX_NAME = 256
"""Characters of a key that are kept. The keys on the way to a value are one term of at most 32,766 bytes with it."""

REST = "other_keys"

_MAX_DOTS = 3
_NO_LIMIT = 2**63
_MAX_KNOWN_NAMES = 4096
_known_names: set[str] = (
    set()
)  # keys seen that may stay as they are: to ask the set is faster than to look again

_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)
_OUTCOMES = {"success": "success", "allow": "success", "failure": "failure", "deny": "failure"}


def text(value: Any) -> str | None:
    """A keyword: strings as they are, other values as their JSON text."""
    if type(value) is str:
        return value or None
    if isinstance(value, dict | list):
        value = clean(value, keys_left=[_NO_LIMIT])
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


def parsed_json(value: Any, room: int = MAX_DEPTH, keys_left: list[int] | None = None) -> Any:
    """What a JSON string says, with its empty objects, as Elastic keeps it; any other value as it is.

    `room` and `keys_left` as for `clean`.
    """
    if type(value) is not str or value.lstrip()[:1] not in ("{", "["):
        return clean(value, room, keys_left)
    try:
        return bounded(decode(value), room, [MAX_KEYS] if keys_left is None else keys_left)
    except (ValueError, RecursionError):
        return value


def clean(value: Any, room: int = MAX_DEPTH, keys_left: list[int] | None = None) -> Any:
    """`value` without nulls, "", {} and [], at any depth, and with keys that an index takes; None when nothing is left.

    Args:
        value: any JSON value.
        room: levels that may still be opened.
        keys_left: one number, the keys that may still be kept; each object takes its own off.
    """
    kind = type(value)
    if kind is str:
        return value or None
    if kind is dict:
        return _clean_object(value, room, [MAX_KEYS] if keys_left is None else keys_left)
    if kind is list:
        if room <= 0:
            return _json_text(value)
        return [inner for raw in value if (inner := clean(raw, room - 1, keys_left)) is not None] or None
    return str(value) if kind is int and value not in INT64 else value


def _clean_object(value: dict[str, Any], room: int, keys_left: list[int]) -> Any:
    if room <= 0:
        return _json_text(value)
    kept: dict[str, Any] = {}
    for key, raw in with_fit_names(value, room, keys_left).items():
        # Most values need no look: asking here saves half of the time.
        kind = type(raw)
        if kind is str:
            if raw:
                kept[key] = raw
        elif kind is float or kind is bool:
            kept[key] = raw
        elif raw is not None:
            inner = clean(raw, room - 1 - key.count("."), keys_left)
            if inner is not None:
                kept[key] = inner
    return kept or None


def bounded(value: Any, room: int, keys_left: list[int]) -> Any:
    """As `clean`, but what is empty stays, except null."""
    kind = type(value)
    if kind in (dict, list) and room <= 0:
        return _json_text(value)
    if kind is dict:
        return {
            key: inner if type(inner) is str else bounded(inner, room - 1 - key.count("."), keys_left)
            for key, inner in with_fit_names(value, room, keys_left).items()
            if inner is not None
        }
    if kind is list:
        return [bounded(inner, room - 1, keys_left) for inner in value if inner is not None]
    return str(value) if kind is int and value not in INT64 else value


def _json_text(value: Any) -> str | None:
    try:
        return encode(value)
    except RecursionError:
        return None


def with_fit_names(value: dict[str, Any], room: int, keys_left: list[int]) -> dict[str, Any]:
    """`value` with at most `keys_left` keys, each of them one that an index takes; usually `value` itself."""
    keys_left[0] -= len(value)
    if keys_left[0] >= 0 and value.keys() <= _known_names:
        return value
    kept = max(0, len(value) + min(0, keys_left[0]))
    fit: dict[str, Any] = {}
    for key, inner in islice(value.items(), kept):
        name = field_name(key, min(_MAX_DOTS, room - 1))
        if name != key:
            fit.setdefault(name, inner)  # a neighbour whose own name it is keeps it
            continue
        fit[name] = inner
        if "." not in name and len(_known_names) < _MAX_KNOWN_NAMES:
            _known_names.add(name)
    if kept < len(value):
        fit[REST] = _json_text(dict(islice(value.items(), kept, None)))
    return fit


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; a single object counts as a list of one, anything else is left out."""
    if type(value) is dict:
        return [value] if value else []
    return [item for item in value if type(item) is dict] if type(value) is list else []


def field_name(key: str, dots: int = _MAX_DOTS) -> str:
    """A key of a free object as a field name. An index refuses the document for a name with a blank part, with NUL, or one
    that is too long, and each of at most `dots` dots opens a level. A name that has to change gets no dots at all: an
    object and a value of one name refuse each other's documents."""
    name = key[:MAX_NAME].replace("\0", "\ufffd")
    if "." in name and (name.count(".") > dots or not all(part.strip() for part in name.split("."))):
        name = name.replace(".", "_")
    return name if name.strip() else "_"
