"""Maps `debugContext.debugData`, an object that may have any keys. Its values are often objects written as strings."""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from forwarder.ecs.decode import encode
from forwarder.ecs.fields import FIELDS, DocumentBuilder, names_under, object_at
from forwarder.ecs.value_readers import (
    MAX_DEPTH,
    MAX_KEYS,
    REST,
    KeysLeft,
    clean,
    parsed_json,
    text,
    texts,
    with_fit_names,
)

_NAMED = names_under("debugContext.debugData")
_TAKEN = frozenset(
    {"flattened", "risk_level", "risk_reasons", "risk_behaviors"}
    | {
        field.rpartition(".")[2]
        for row in FIELDS
        if row.okta.startswith("debugContext.debugData.")
        for field in row.ecs
    }
)
"""Names of fields that have a fixed type and meaning. No other key may become a field with one of these names."""
_PARSED = ("logOnlySecurityData", "tunnels", "behaviors", "risk")
"""The keys whose values may be objects written as strings."""

_MAX_CACHED = 1_000  # characters of one entry; in the worst case, 256 entries take 8 MB
_JSON_OBJECT = re.compile(r'\s*\{\s*"')
_COMMA = re.compile(r",\s+|(?<=TIVE),")
"""Matches a comma between behaviors. The name of a behavior may contain a comma. So a comma without a space after it
counts only behind POSITIVE or NEGATIVE."""
_NEXT_PAIR = re.compile(r",\s*(?=[^\s=,]+\s*=)")


def debug_data(raw: dict[str, Any], draft: DocumentBuilder, *, flattened: bool) -> None:
    """Add the debug data of the decoded event `raw` to `draft`.

    If `flattened` is True, the field `okta.debug_context.debug_data.flattened` gets all debug data, with Okta's keys.
    If it is False, each key that is not in the table `FIELDS` becomes a field of `okta.debug_context.debug_data`, with
    underscores instead of spaces and dashes.
    """
    whole = object_at(raw, "debugContext", "debugData")
    data = clean(whole)
    if data is None:
        return
    fields = draft["okta.debug_context.debug_data"]
    written = {key: whole[key] for key in _PARSED if key in whole}
    if written:
        values = written.values()
        is_short = {*map(type, values)} == {str} and sum(map(len, values)) <= _MAX_CACHED
        parsed, risk = (_parse_cached if is_short else _parse)(tuple(written.items()))
        fields.update(risk)
        data.update(parsed)
        for key in written.keys() - parsed.keys():
            data.pop(key, None)
    if not flattened:
        _rename(data, fields, left_out=_NAMED, taken=_TAKEN)
    elif data:
        fields["flattened"] = data


def _parse(written: tuple[tuple[str, Any], ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse the strings in `written` that hold objects. Return (the parsed values by key, the fields about the risk).

    `written` has each key of `_PARSED` that the debug data has, with its value. A string that cannot be parsed is kept.
    A string that holds an empty object is left out. All objects together keep at most `MAX_KEYS` keys; the objects from
    short strings keep their keys first.
    """
    data: dict[str, Any] = {}
    left = KeysLeft(MAX_KEYS - len(written), fair=True)
    for key, value in sorted(written, key=lambda item: len(item[1]) if type(item[1]) is str else _MAX_CACHED):
        inner: Any
        if type(value) is not str or key not in ("behaviors", "risk") or _JSON_OBJECT.match(value):
            inner = parsed_json(value, MAX_DEPTH - 1, left)
        elif key == "behaviors":
            inner = _pairs(value, _split(_within_braces(value), _COMMA), left) or None
        else:
            parts = _split(_within_braces(value), _NEXT_PAIR)
            inner = _pairs(value, parts, left) or None
            # The text of a reason may contain commas. Then the whole string is kept too, as Elastic does.
            if inner is value or value.count(", ") >= len(parts):
                data["risk_object"] = value
        if inner is not None:
            data[key] = inner
    return data, _risk(data)


# The sign-ins of an org have few different texts: 13,022 sign-ins of the emulated org have 123. With the cache, making
# a document from such an event is 1.3 times as fast.
_parse_cached = lru_cache(maxsize=256)(_parse)
"""The same as `_parse`, with a cache. Several documents share the returned objects, so nothing may change them."""


def _within_braces(written: str) -> str:
    return written.strip().removeprefix("{").removesuffix("}")


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split `text` at each `separator` that is not inside braces, so that an inner object is one value.

    If the numbers of opening and closing braces differ, braces are ordinary characters.
    """
    if "{" not in text or text.count("{") != text.count("}"):
        return separator.split(text)
    parts: list[str] = []
    start = at = depth = 0
    for found in separator.finditer(text):
        depth += text.count("{", at, found.start()) - text.count("}", at, found.start())
        at = found.start()
        if depth <= 0:
            parts.append(text[start:at])
            start = found.end()
    return [*parts, text[start:]]


def _pairs(written: str, parts: list[str], keys_left: KeysLeft) -> dict[str, str] | str:
    """Return the pairs in `written`, the text of a Java map such as `{New City=NEGATIVE}`. Return any other text
    unchanged.

    `parts` is the text within the braces, split into the texts that should be pairs. `keys_left` is the number of keys
    that may still be kept.
    """
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            return {} if len(parts) == 1 and not part.strip() and len(written.strip()) > 1 else written
        found[name.strip()] = value.strip()
    return with_fit_names(found, MAX_DEPTH - 1, keys_left)


def _risk(data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that detection rules read: the level and the reasons of the risk, and the unusual behaviors."""
    logged = data.get("logOnlySecurityData")
    found: dict[str, Any] = {}
    for source in (data.get("risk"), logged.get("risk") if type(logged) is dict else None):
        if type(source) is not dict:
            continue
        if level := (text(source.get("level")) or "").strip():
            found["risk_level"] = level
        if reasons := _reasons(source.get("reasons")):
            found["risk_reasons"] = reasons
    behaviors = data.get("behaviors")
    if type(behaviors) is dict:
        unusual = [name for name, verdict in behaviors.items() if (text(verdict) or "").strip() == "POSITIVE"]
        if unusual:
            found["risk_behaviors"] = unusual
    return found


def _reasons(value: Any) -> list[str]:
    found = texts(value)
    parts = found if isinstance(found, list) else (found or "").split(",")
    return [reason for part in parts if (reason := part.strip())]


def _rename(
    value: dict[str, Any], into: dict[str, Any], *, left_out: Collection[str] = (), taken: Collection[str] = ()
) -> None:
    """Copy the keys of `value` to `into`, with underscores instead of spaces and dashes, at any depth.

    Keys in `left_out` are not copied. If the new name of a key is in `taken`, or another key has this name, the value
    becomes a part of the JSON text under the key `REST`.
    """
    others: dict[str, Any] = {}
    for key, inner in value.items():
        if key in left_out:
            continue
        name = _underscored(key)
        if name in taken or (name != key and (name in value or name in into)):
            others[key] = inner
        else:
            into[name] = inner if type(inner) is str else _renamed(inner)
    if others:
        if REST in into:
            others[REST] = into[REST]
        into[REST] = encode(others)


def _renamed(value: Any) -> Any:
    if type(value) is dict:
        found: dict[str, Any] = {}
        _rename(value, found)
        return found
    return [_renamed(inner) for inner in value] if type(value) is list else value


def _underscored(key: str) -> str:
    return key if key.isidentifier() else key.replace(" ", "_").replace("-", "_")
