"""`debugContext.debugData`: a free object whose values are often an object written as a string."""

import re
from typing import Any

from forwarder.ecs.fields import Draft, names_under, object_at
from forwarder.ecs.readers import clean, field_name, parsed_json, text

_PATH = ("debugContext", "debugData")
_NAMED = names_under("debugContext.debugData")
_NEXT_PAIR = re.compile(r", (?=[^\s=,]+=)")
_COMMA = re.compile(r",\s*")
_NO_NAME = str.maketrans(" -", "__")


def debug_data(raw: dict[str, Any], draft: Draft, *, flattened: bool) -> None:
    """Everything of the debug data that the field table does not cover.

    Args:
        raw: the decoded event.
        draft: gets `okta.debug_context.debug_data`.
        flattened: keep the whole object, under Okta's names, in `.flattened`; without it every key becomes a
            field of its own, with spaces and dashes as underscores.
    """
    data = clean(object_at(raw, _PATH))
    if data is None:
        return
    _parse(data)
    fields = draft["okta.debug_context.debug_data"]
    fields.update(_risk(data))
    if flattened:
        fields["flattened"] = data
        return
    for key, value in data.items():
        if key not in _NAMED:
            fields[field_name(key.translate(_NO_NAME))] = _renamed(value)


def _parse(data: dict[str, Any]) -> None:
    """Turn the strings that hold an object into that object; one that cannot be read stays a string."""
    for key in ("logOnlySecurityData", "tunnels"):
        if key in data:
            data[key] = parsed_json(data[key])
    if type(data.get("behaviors")) is str:
        _put(data, "behaviors", _pairs(data["behaviors"], ", "))
    risk = data.get("risk")
    if type(risk) is str:
        if _pairs(risk, ", ") == risk:  # reasons hold commas of their own; Elastic then keeps the string too
            data["risk_object"] = risk
        _put(data, "risk", _pairs(risk, _NEXT_PAIR))


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    if value:
        data[key] = value
    else:
        del data[key]


def _pairs(written: str, separator: str | re.Pattern[str]) -> dict[str, str] | str:
    """`{New City=NEGATIVE, Velocity=POSITIVE}`, as Java writes a map; the string itself if it is none."""
    inner = written.removeprefix("{").removesuffix("}")
    if not inner:
        return {}
    parts = inner.split(separator) if isinstance(separator, str) else separator.split(inner)
    if not all("=" in part for part in parts):
        return written
    return {key: value for key, _, value in (part.partition("=") for part in parts)}


def _risk(data: dict[str, Any]) -> dict[str, Any]:
    """What detection rules ask for: level and reasons of the risk, and the behaviors that were unusual."""
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
    if type(value) is list:
        return [reason for item in value if (reason := text(item))]
    return [reason for reason in _COMMA.split(text(value) or "") if reason]


def _renamed(value: Any) -> Any:
    if type(value) is dict:
        return {field_name(key.translate(_NO_NAME)): _renamed(inner) for key, inner in value.items()}
    if type(value) is list:
        return [_renamed(inner) for inner in value]
    return value
