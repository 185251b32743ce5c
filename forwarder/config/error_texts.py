"""Rewrites pydantic's error texts for operators. Pydantic writes them for programmers."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from pydantic import PlainSerializer

_MAPPING = "write keys with values, as in {key: value}, with a blank after each colon"
_WHOLE = "write a whole number, as in 100"
_TEXT = "write a string; put a number, a date, or a word like no or off in quotes"
_NETWORK = "is not an address or a network; write one such as 192.0.2.7 or 192.0.2.0/28, without a port"
_TEXTS = {
    "missing": "is required",
    "too_short": "at least one is required",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "tuple_type": "write a list, as in [one, two]",
    "path_type": "write a path, as in /etc/forwarder/name",
    "string_type": _TEXT,
    "string_unicode": _TEXT,
    "string_too_short": "is empty; remove it, or write a value",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": "write a number, as in 0.3",
    "float_parsing": "write a number, as in 0.3",
    "finite_number": "write a number, as in 0.3",
    "ip_any_address": _NETWORK,
    "ip_any_network": _NETWORK,
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def shown(value: Any) -> str:
    """Return `value`, an invalid value of a setting, as text for an error: as YAML writes it, cut to 40 characters.

    For a list, the text is only "a list"; for a mapping, "a mapping".
    """
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "a mapping"
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    text = value.isoformat() if isinstance(value, date) else text
    return text if len(text) <= 40 else f"{text[:40]}…"


def plain(error: Any, annotated: Any) -> str:
    """Return a text that says what is wrong with a value, and what to write instead.

    The text does not contain the value, which may be a secret. Only a validator's own message may contain the value,
    if the setting is not a secret.

    `error` is one of pydantic's errors. `annotated` is the field with the error, a FieldInfo or an annotated type. If
    the values of the field have a unit, the text shows the bounds of the field with this unit.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {_written(context[key], annotated)}"
    if kind in {"literal_error", "enum"}:
        return "write " + re.sub(r"'(.*?)'", r"\1", context["expected"])
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters; shorten the value"
    if kind == "string_pattern_mismatch":
        examples = getattr(annotated, "examples", None) or []
        return "is empty, or has a character that is not allowed" + "".join(
            f"; write one as in {examples[0]}" if examples else ""
        )
    message = str(error["msg"]).removeprefix("Value error, ")
    return _TEXTS.get(kind) or f"{message[:1].lower()}{message[1:]}"


def _written(bound: Any, annotated: Any) -> str:
    """Return `bound`, a limit of the field, as text. If the values of the field have a unit, so has the text: `1m` for
    60."""
    write = _serializer(annotated)
    return write(bound) if write and bound else f"{bound:,.15g}" if isinstance(bound, float) else f"{bound:,}"


def _serializer(annotated: Any) -> Callable[[Any], str] | None:
    """Return the function that writes a value of the field with its unit; None if the field has no unit."""
    for item in (*getattr(annotated, "metadata", ()), *getattr(annotated, "__metadata__", ())):
        if isinstance(item, PlainSerializer):
            return item.func  # type: ignore[return-value]  # our serializers take only the value
    inner = [getattr(annotated, "annotation", None), *getattr(annotated, "__args__", ())]
    found = (_serializer(part) for part in inner if part is not None)
    return next((write for write in found if write), None)
