"""The readers of values. A reader converts any decoded JSON value to a value that a field can hold, or returns None.

If a reader returns None, the field is left out. docs/mapping.md shows the docstrings of the readers.

Okta's values sometimes have the wrong type (a string for an object, an invalid IP address), and an index refuses a
whole document for one such value. So every field has a reader, and a reader never raises an error.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from forwarder.ecs.decode import INT64, decode, encode

MAX_DEPTH = 16
"""The maximum number of levels of an object that may have any keys. Deeper values become JSON text. An index allows 20
levels in a document."""

MAX_KEYS = 100
"""The maximum number of keys of an object that may have any keys, including the keys of its inner objects. All further
keys become one JSON text under the key `REST`.

Without our mapping of the index, each key would be a field, and an index allows 1,000 fields.
"""

MAX_NAME = 256
"""The maximum number of characters of a key; the rest is cut off. An index stores the path of keys and the value as one
term of at most 32,766 bytes."""

REST = "other_keys"

_MAX_DOTS = 3
_NO_LIMIT = 2**63
_MAX_KNOWN_NAMES = 4096
# Keys that were found valid before. A look-up in this set is faster than another check of the key.
_known_names: set[str] = set()

_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)
_LONGEST_IP = 45  # characters
_OUTCOMES = {"success": "success", "allow": "success", "failure": "failure", "deny": "failure"}


class KeysLeft:
    """The number of keys that an object may still keep, counted together with the keys of its inner objects.

    Attributes:
        number: this number; negative if there were too many keys.
        fair: whether inner objects with few keys use the budget first, so that an object with too many keys takes none
            from the other objects.
    """

    __slots__ = ("fair", "number")

    def __init__(self, number: int, *, fair: bool = False) -> None:
        self.number = number
        self.fair = fair


def _items(value: dict[str, Any], keys_left: KeysLeft) -> Iterable[tuple[str, Any]]:
    """Return the items of `value`. If `keys_left` is fair, the items that contain few keys come first."""
    if not keys_left.fair:
        return value.items()
    return sorted(value.items(), key=lambda item: _number_of_keys(item[1], MAX_DEPTH))


def _number_of_keys(value: Any, room: int) -> int:
    """Return the number of keys of all objects in `value` together. Levels deeper than `room` do not count."""
    if room <= 0 or type(value) not in (dict, list):
        return 0
    inner = value.values() if type(value) is dict else value
    return (len(value) if type(value) is dict else 0) + sum(_number_of_keys(each, room - 1) for each in inner)


def text(value: Any) -> str | None:
    """A keyword: a string as it is, any other value as its JSON text. An empty value is left out."""
    if type(value) is str:
        return value or None
    if isinstance(value, dict | list):
        value = clean(value, keys_left=KeysLeft(_NO_LIMIT))
    return None if value is None else encode(value)


def texts(value: Any) -> str | list[str] | None:
    """A keyword, as `text` returns it. A list becomes a list with a keyword for each item."""
    if type(value) is not list:
        return text(value)
    return [read for item in value if (read := text(item)) is not None] or None


def flag(value: Any) -> bool | None:
    """A boolean, also from the strings `true` and `false`. Any other value is left out."""
    if type(value) is bool:
        return value
    return {"true": True, "false": False}.get(value) if type(value) is str else None


def integer(value: Any) -> int | None:
    """A 64-bit integer, also from a string of digits. Any other value is left out."""
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    return value if type(value) is int and value in INT64 else None


def integer32(value: Any) -> int | None:
    """A 32-bit integer, also from a string of digits. Any other value is left out."""
    found = integer(value)
    return found if found is not None and -(2**31) <= found < 2**31 else None


def ip(value: Any) -> str | None:
    """A valid IP address as it is. Any other value is left out, such as the text `null`, which Okta also sends."""
    if type(value) is not str or len(value) > _LONGEST_IP or "%" in value:
        return None
    return value if _IPV4.fullmatch(value) or _is_ip(value) else None


# `ipaddress` takes 5 µs, a tenth of the time for a document. The regular expression for IPv4 takes 0.5 µs.
@lru_cache(maxsize=1_024)
def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def email(value: Any) -> str | None:
    """A login that is an email address: it has an "@" after its first character. Any other value is left out."""
    return value if type(value) is str and value.find("@") > 0 else None


def outcome(value: Any) -> str:
    """`success` for SUCCESS and ALLOW, `failure` for FAILURE and DENY, and `unknown` for any other value."""
    return _OUTCOMES.get(value.lower(), "unknown") if type(value) is str else "unknown"


def location(value: Any) -> dict[str, float] | None:
    """The numbers `lat` and `lon` of an object. If one of them is missing or out of range, the point is left out."""
    if type(value) is not dict:
        return None
    lat: Any = value.get("lat")
    lon: Any = value.get("lon")
    if type(lat) not in (int, float) or type(lon) not in (int, float):
        return None
    return {"lat": lat, "lon": lon} if -90 <= lat <= 90 and -180 <= lon <= 180 else None


def json_object(value: Any) -> Any:
    """The object, or the list of objects, in a JSON string. Any other value becomes text in the key `raw` of an
    object."""
    parsed = parsed_json(value)
    objects = parsed if type(parsed) is list else [parsed]
    if objects and all(type(item) is dict for item in objects):
        return parsed
    return None if clean(value) is None else {"raw": text(value)}


def parsed_json(value: Any, room: int = MAX_DEPTH, keys_left: KeysLeft | None = None) -> Any:
    """Return the object or list in `value`, a JSON string. Empty values in it are kept, as Elastic does.

    A string that cannot be parsed is returned unchanged. A value that is not a string is converted by the function
    `clean`. `room` is the number of levels to keep, and `keys_left` the number of keys that may still be kept.
    """
    if type(value) is not str or value.lstrip()[:1] not in ("{", "["):
        return clean(value, room, keys_left)
    try:
        return bounded(decode(value), room, keys_left or KeysLeft(MAX_KEYS, fair=True))
    except (ValueError, RecursionError):
        return value


def clean(value: Any, room: int = MAX_DEPTH, keys_left: KeysLeft | None = None) -> Any:
    """Return `value` without nulls, "", {} and [], at any depth, and with valid field names; None if nothing is left.

    Only `room` levels of objects and lists are kept; deeper levels become JSON text. `keys_left` is the number of keys
    that may still be kept, by default `MAX_KEYS`; each object subtracts the number of its own keys.
    """
    kind = type(value)
    if kind is str:
        return value or None
    if kind is dict:
        return _clean_whole(value, room) if keys_left is None else _clean_object(value, room, keys_left)
    if kind is list:
        if room <= 0:
            return _json_text(value)
        return [inner for raw in value if (inner := clean(raw, room - 1, keys_left)) is not None] or None
    return str(value) if kind is int and value not in INT64 else value


def _clean_whole(value: dict[str, Any], room: int) -> Any:
    keys_left = KeysLeft(MAX_KEYS)
    kept = _clean_object(value, room, keys_left)
    return kept if keys_left.number >= 0 else _clean_object(value, room, KeysLeft(MAX_KEYS, fair=True))


def _clean_object(value: dict[str, Any], room: int, keys_left: KeysLeft) -> Any:
    if room <= 0:
        return _json_text(value)
    kept: dict[str, Any] = {}
    for key, raw in _items(with_fit_names(value, room, keys_left), keys_left):
        # Most values need no call of `clean`. This check here saves half of the time.
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


def bounded(value: Any, room: int, keys_left: KeysLeft) -> Any:
    """Return `value` without nulls, at any depth, and with valid field names. Empty strings, objects and lists stay.

    Only `room` levels of objects and lists are kept; deeper levels become JSON text. Each object subtracts the number
    of its own keys from `keys_left`.
    """
    kind = type(value)
    if kind in (dict, list) and room <= 0:
        return _json_text(value)
    if kind is dict:
        return {
            key: inner if type(inner) is str else bounded(inner, room - 1 - key.count("."), keys_left)
            for key, inner in _items(with_fit_names(value, room, keys_left), keys_left)
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


def with_fit_names(value: dict[str, Any], room: int, keys_left: KeysLeft) -> dict[str, Any]:
    """Return `value` itself if all its keys are valid field names and `keys_left` allows that many keys.

    Otherwise return a copy with valid names. In the copy, the key `REST` has one JSON text with two kinds of keys: keys
    beyond `keys_left`, and keys whose name would be a field inside another key. `room` is the number of levels that the
    document may still have.
    """
    keys_left.number -= len(value)
    if keys_left.number >= 0 and _known_names.issuperset(value):
        return value
    kept = max(0, len(value) + min(0, keys_left.number))
    fit: dict[str, Any] = {}
    others = dict(islice(value.items(), kept, None))
    for key, inner in islice(value.items(), kept):
        name = field_name(key, min(_MAX_DOTS, room - 1))
        if (name != key and (name in value or name in fit)) or _is_inside_another(name, value):
            others[key] = inner
            continue
        fit[name] = inner
        if name == key and "." not in name and len(_known_names) < _MAX_KNOWN_NAMES:
            _known_names.add(name)
    if others:
        if REST in fit:
            others[REST] = fit[REST]
        fit[REST] = _json_text(others)
    return fit


def _is_inside_another(name: str, value: dict[str, Any]) -> bool:
    """Whether `name` has dots, and would be a field of an object in `value`, as `a.b` would in `{"a": {"b": 1}}`."""
    at = name.find(".")
    while at > 0:
        outer = value.get(name[:at])
        if outer and type(outer) in (dict, list):
            return True
        at = name.find(".", at + 1)
    return False


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in the list `value`; for a single object, a list with this object; for any other value, an
    empty list."""
    if type(value) is dict:
        return [value] if value else []
    return [item for item in value if type(item) is dict] if type(value) is list else []


def field_name(key: str, dots: int = _MAX_DOTS) -> str:
    """Return a valid field name for `key`: at most 256 characters, no NUL, no blank part, and at most `dots` dots.

    An index refuses a document with any other name. Each dot adds a level to the document. If a key has invalid dots,
    all its dots become underscores, because the same name cannot be an object in one document and a value in another.
    """
    name = key[:MAX_NAME].replace("\0", "\ufffd")
    if "." in name and (name.count(".") > dots or not all(part.strip() for part in name.split("."))):
        name = name.replace(".", "_")
    return name if name.strip() else "_"
