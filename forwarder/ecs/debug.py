"""Maps `debugContext.debugData`: an object with any keys, whose values are often objects written as strings."""

import re
from typing import Any

from forwarder.ecs.fields import DocumentBuilder, names_under, object_at
from forwarder.ecs.readers import MAX_DEPTH, MAX_KEYS, clean, parsed_json, text, texts, with_fit_names

_NAMED = names_under("debugContext.debugData")
_NEXT_PAIR = re.compile(r",\s+(?=[^\s=,]+\s*=)")


def debug_data(raw: dict[str, Any], draft: DocumentBuilder, *, flattened: bool) -> None:
    """Add the debug data that the table `FIELDS` does not cover to `draft`.

    Args:
        raw: the decoded event.
        draft: the document; the fields go to `okta.debug_context.debug_data`.
        flattened: put the whole object, with Okta's keys, into the field `flattened`. If False, each key becomes a
            field of its own, with underscores for spaces and dashes.
    """
    keys_left = [MAX_KEYS]
    data = clean(object_at(raw, "debugContext", "debugData"), MAX_DEPTH, keys_left)
    if data is None:
        return
    _parse(data, keys_left)
    fields = draft["okta.debug_context.debug_data"]
    fields.update(_risk(data))
    if flattened:
        if data:
            fields["flattened"] = data
        return
    for key, value in data.items():
        if key not in _NAMED:
            fields[_underscored(key)] = value if type(value) is str else _renamed(value)


def _parse(data: dict[str, Any], keys_left: list[int]) -> None:
    """In `data`, replace each string that holds an object by the parsed object. Keep a string that cannot be parsed.

    `keys_left` means the same as in `clean`.
    """
    for key in ("logOnlySecurityData", "tunnels"):
        if key in data:
            data[key] = parsed_json(data[key], MAX_DEPTH - 1, keys_left)
    behaviors = data.get("behaviors")
    if type(behaviors) is str:
        _put(data, "behaviors", _pairs(behaviors, _within_braces(behaviors).split(", "), keys_left))
    risk = data.get("risk")
    if type(risk) is str:
        parts = _NEXT_PAIR.split(_within_braces(risk))
        pairs = _pairs(risk, parts, keys_left)
        # Reasons may hold commas of their own; Elastic then keeps the string too.
        if pairs is risk or risk.count(", ") >= len(parts):
            data["risk_object"] = risk
        _put(data, "risk", pairs)


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    if value:
        data[key] = value
    else:
        del data[key]


def _within_braces(written: str) -> str:
    return written.strip().removeprefix("{").removesuffix("}")


def _pairs(written: str, parts: list[str], keys_left: list[int]) -> dict[str, str] | str:
    """Parse the text of a Java map, such as `{New City=NEGATIVE}`; return any other text unchanged.

    Args:
        written: the whole text.
        parts: the text within the braces, split into the texts that should be pairs.
        keys_left: the same as in `clean`.
    """
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            return {} if len(parts) == 1 and not part.strip() and len(written.strip()) > 1 else written
        found[name.strip()] = value.strip()
    return with_fit_names(found, MAX_DEPTH - 1, keys_left)


def _risk(data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that detection rules read: level and reasons of the risk, and the unusual behaviors."""
    logged = data.get("logOnlySecurityData")
    found: dict[str, Any] = {}
    for source in (data.get("risk"), logged.get("risk") if type(logged) is dict else None):
        if type(source) is not dict:
            continue
        if level := text(source.get("level")):
            found["risk_level"] = level
        if reasons := _reasons(source.get("reasons")):
            found["risk_reasons"] = reasons
    behaviors = data.get("behaviors")
    if type(behaviors) is dict:
        unusual = [name for name, verdict in behaviors.items() if verdict == "POSITIVE"]
        if unusual:
            found["risk_behaviors"] = unusual
    return found


def _reasons(value: Any) -> list[str]:
    found = texts(value)
    if isinstance(found, list):
        return found
    return [reason for part in found.split(",") if (reason := part.strip())] if found else []


def _renamed(value: Any) -> Any:
    if type(value) is dict:
        return {
            _underscored(key): inner if type(inner) is str else _renamed(inner)
            for key, inner in value.items()
        }
    if type(value) is list:
        return [_renamed(inner) for inner in value]
    return value


def _underscored(key: str) -> str:
    return key if key.isidentifier() else key.replace(" ", "_").replace("-", "_")
