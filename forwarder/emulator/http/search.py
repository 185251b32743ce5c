"""Evaluates the parameters `filter`, `search` and `sortBy` of calls that list objects, on the objects as the API
shows them.

Like Okta, this module ignores case. Okta refuses attributes that it does not know; this module refuses attributes that
no object of the list has.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.emulator.http.errors import invalid, invalid_search
from forwarder.emulator.http.responses import OktaRequest
from forwarder.rules.conditions import event_fields
from forwarder.rules.conditions.compiler import compiled
from forwarder.rules.conditions.condition import And, Condition, Not, Or
from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.conditions.okta_filter import Comparison, parse_filter

_Item = tuple[dict[str, Any], Reading]
"""An object as the API shows it, and its attributes in lower case."""


def matching(request: OktaRequest, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects in `items` that match the parameters `filter` and `search` of a request.

    As in Okta, the results of a `search` are in the order that `sortBy` and `sortOrder` ask for.

    Raises:
        OktaApiError: Okta would refuse one of the parameters.
    """
    readings = [Reading(_folded(item)) for item in items]
    found = list(zip(items, readings, strict=True))
    for name in ("filter", "search"):
        if text := request.query_params.get(name, "").strip():
            try:
                test = compiled(_checked(parse_filter(text), readings))
            except (RuleFileError, RecursionError) as error:
                raise invalid_search(f"{name}: {error}") from error
            found = [(item, reading) for item, reading in found if test(reading)]
    if request.query_params.get("search", "").strip():
        found = _sorted(request, found, readings)
    return [item for item, _ in found]


def _sorted(request: OktaRequest, found: list[_Item], readings: Sequence[Reading]) -> list[_Item]:
    """Return `found`, sorted by the attribute `sortBy` of the request, ignoring case, and then by id.

    `sortOrder` gives the direction. Without `sortBy`, the order does not change. `readings` are all objects of the
    list; they show which attributes exist.
    """
    query = request.query_params
    attribute, order = query.get("sortBy", ""), query.get("sortOrder", "asc").lower()
    if not attribute:
        return found
    if order not in {"asc", "desc"}:
        raise invalid("sortOrder", "sortOrder: must be asc or desc")
    presence = event_fields.presence(attribute)
    if readings and not any(reading[presence] for reading in readings):
        raise invalid_search(f"sortBy: unknown attribute {attribute!r}")
    found = sorted(found, key=lambda each: str(each[0]["id"]))
    texts = event_fields.lower_texts(attribute)
    return sorted(found, key=lambda each: tuple(each[1][texts]), reverse=order == "desc")


def _checked(condition: Condition, readings: Sequence[Reading]) -> Condition:
    """Return `condition` with its values in lower case.

    Raises:
        RuleFileError: `condition` contains a kind of test that is not emulated, or an attribute that no
            object has.
    """
    match condition:
        case And(parts) | Or(parts):
            return type(condition)(tuple(_checked(part, readings) for part in parts))
        case Not(part):
            return Not(_checked(part, readings))
        case Comparison(attribute=attribute):
            presence = event_fields.presence(attribute)
            if readings and not any(reading[presence] for reading in readings):
                raise RuleFileError(f"unknown attribute {attribute!r}")
            return msgspec.structs.replace(condition, value=condition.value.lower())
    raise RuleFileError("the emulator compares an attribute with one value only")


def _folded(value: Any) -> Any:
    """Return `value` with its texts in lower case."""
    if isinstance(value, dict):
        return {key: _folded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_folded(inner) for inner in value]
    return value.lower() if isinstance(value, str) else value
