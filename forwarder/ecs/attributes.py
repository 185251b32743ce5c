"""Makes an OpenTelemetry log record from an event: body, severity and flat attributes."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, Source
from forwarder.core.time import iso
from forwarder.ecs.action_document import action_fields
from forwarder.ecs.alert_document import ALERT_MODULE, alert_fields
from forwarder.ecs.categories import classes
from forwarder.ecs.copy_fields import copying_function
from forwarder.ecs.decode import encode
from forwarder.ecs.document import DocumentOptions, copy_objects, decoded, event_tags, mapped
from forwarder.ecs.fields import FIELDS, new_builder
from forwarder.ecs.value_readers import json_object, location, text

AttributeValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
"""The type of an attribute's value. All items of a list have the same type."""

SEMANTIC_NAMES = {
    "okta.uuid": "log.record.uid",
    "okta.actor.id": "user.id",
    "okta.actor.alternate_id": "user.name",
    "user.email": "user.email",
    "okta.actor.display_name": "user.full_name",
    "okta.client.ip": "client.address",
    "source.ip": "source.address",
    "okta.client.user_agent.raw_user_agent": "user_agent.original",
    "client.geo.city_name": "geo.locality.name",
    "client.geo.region_name": "okta.client.geo.region_name",
    "client.geo.country_name": "okta.client.geo.country_name",
    "client.geo.location": "geo.location",
    "okta.authentication_context.external_session_id": "session.id",
    "okta.device.id": "device.id",
    "event.category": "okta.event.category",
    "event.type": "okta.event.kind",
    "event.outcome": "okta.event.outcome",
    "tags": "okta.tags",
}
"""The name of the attribute for each of these fields of a document.

Other fields whose names begin with `okta.` keep their names. All remaining fields only repeat these values, and are
left out. OpenTelemetry's attributes for regions and countries need ISO codes, but Okta writes names. So the attributes
for these two fields have names of our own, which begin with `okta.`.
"""

_BODY = "okta.display_message"
_OPTIONS = DocumentOptions(remove_flattened_debug=True)  # so that attribute names have no spaces
_SCALARS = {str, bool, int, float}
_MOST_CELLS = 20_000  # number of objects in a list times number of their fields; more could fill the memory
_SEVERITIES = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}
"""OpenTelemetry's severity number for each severity of Okta."""

_LEVELS = {"informational": 9, "low": 10, "medium": 13, "high": 17, "critical": 21}
"""OpenTelemetry's severity number for each level of Sigma."""


class LogView(msgspec.Struct, frozen=True):
    """An event as an OpenTelemetry log record. The time is `event.published`, the observed time `event.received_at`.

    Attributes:
        body: what happened, in Okta's words.
        severity_text: Okta's severity as received, or the level of an alert; empty if there is none.
        severity_number: OpenTelemetry's number for the severity; 0 (unspecified) if the severity is missing or unknown.
        attributes: the attributes by name. Texts have no lone surrogates, integers have at most 64 bits, numbers are
            finite, and no value is empty.
    """

    body: str
    severity_text: str
    severity_number: int
    attributes: dict[str, AttributeValue]


def log_view(event: Event) -> LogView:
    """Return the log record of `event`.

    Raises:
        UnmappableError: the body is not a JSON object, or it is nested too deeply.
    """
    raw = decoded(event)
    try:
        if event.source is Source.ACTION:
            return _action_view(raw, event)
        attributes = _attributes(raw, event)
        if event.source is Source.ALERT:
            return _alert_view(raw, event, attributes)
    except RecursionError as error:
        raise UnmappableError("the event is nested too deeply") from error
    severity = text(raw.get("severity")) or ""
    return LogView(
        body=text(raw.get("displayMessage")) or event.event_type,
        severity_text=severity,
        severity_number=_SEVERITIES.get(severity.upper(), 0),
        attributes=attributes,
    )


def _alert_view(raw: dict[str, Any], event: Event, attributes: dict[str, AttributeValue]) -> LogView:
    """Return the log record of `event`, an alert. `raw` is the decoded body of the alert.

    `attributes` has the attributes that an Okta event with this body would have. The log record also has the fields
    `rule`, `threat` and `okta_forwarder` of the alert's ECS document, as attributes with the names of the fields.
    """
    alert = alert_fields(raw, mapped(raw, event, _OPTIONS), event, _OPTIONS)
    level = alert[ALERT_MODULE].get("level", "")
    found = _flat({root: alert[root] for root in ("rule", "threat", ALERT_MODULE) if root in alert})
    return LogView(
        body=alert["message"],
        severity_text=level,
        severity_number=_LEVELS.get(level, 0),
        attributes=attributes | {"event.kind": "alert", "event.severity": alert["event"]["severity"]} | found,
    )


def _action_view(raw: dict[str, Any], event: Event) -> LogView:
    """Return the log record of `event`, an event about an action. `raw` is the decoded body of the event.

    The attributes of the user and the address have OpenTelemetry's names. All other attributes have the names of fields
    in the ECS document.
    """
    made = action_fields(raw, event, _OPTIONS)
    about = made[ALERT_MODULE].get("action", {})
    for free in (about, about.get("request", {})):  # objects that may have any keys
        free |= {key: encode(free[key]) for key in ("settings", "before", "after", "body") if key in free}
    found = _flat({root: made[root] for root in ("rule", "user", "source", ALERT_MODULE) if root in made})
    severity = text(raw.get("severity")) or ""
    event_fields = made["event"]
    return LogView(
        body=made.get("message", ""),
        severity_text=severity,
        severity_number=_SEVERITIES.get(severity.upper(), 0),
        attributes={SEMANTIC_NAMES.get(name, name): value for name, value in found.items()}
        | {f"event.{key}": event_fields[key] for key in ("kind", "action", "outcome", "reason") if key in event_fields},
    )


def attribute_name(field: str) -> str | None:
    """Return the name of the attribute for `field`, a field of the ECS document. Return None if `field` only repeats
    another field or the body of the log record."""
    if field == _BODY:
        return None
    return SEMANTIC_NAMES.get(field) or (field if field.startswith("okta.") else None)


def _target(field: str) -> tuple[str, str] | None:
    name = attribute_name(field)
    return ("", name) if name else None


_copy_fields = copying_function(_target)
_NESTED = [name for row in FIELDS if row.read in (location, json_object) if (name := attribute_name(row.ecs[0]))]
"""The attributes whose values are objects that must be flattened."""
_FREE = ("okta.device", "okta.request", "okta.debug_context.debug_data", "okta")
"""The objects of a document that have fields outside of `FIELDS`. These fields become attributes with the same
names."""


def _attributes(raw: dict[str, Any], event: Event) -> dict[str, AttributeValue]:
    """Return the attributes of `event`. `raw` is the decoded body of the event.

    The values are copied directly from the event to the attributes. Making the ECS document first would take longer.
    """
    draft = new_builder()
    found = draft[""]
    found["okta.event.outcome"] = "unknown"
    _copy_fields(raw, draft)
    for name in _NESTED:
        if name in found:
            _flatten({name: found.pop(name)}, "", found, _flatten_list)
    copy_objects(raw, draft, flattened=False)
    for path in _FREE:
        _flatten(draft[path], path + ".", found, _flatten_list)
    categories, types = classes(event.event_type)
    found["okta.event.category"], found["okta.event.kind"] = list(categories), list(types)
    found["okta.tags"] = event_tags(event)
    return found


def _flat(value: dict[str, Any]) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    _flatten(value, "", found, _flatten_list)
    return found


def _flatten(
    value: dict[str, Any], path: str, found: dict[str, Any], add_list: Callable[[list[Any], str, dict[str, Any]], None]
) -> None:
    """Add the fields of `value`, at any depth, to `found`, under dotted names that begin with `path`. Call `add_list`
    to add a field that is a list."""
    for key, inner in value.items():
        kind = type(inner)
        if kind is dict:
            _flatten(inner, f"{path}{key}.", found, add_list)
        elif kind is list:
            add_list(inner, path + key, found)
        else:
            found[path + key] = inner


def _flatten_list(values: list[Any], name: str, found: dict[str, AttributeValue]) -> None:
    """Add the list `values` to `found` under `name`.

    A list of objects becomes one list for each field of the objects. An object without the field has "" in this list,
    so that items at the same index belong to the same object.
    """
    columns: dict[str, Any] = {}
    _add_columns(values, name, columns)
    for key, column in columns.items():
        found[key] = column if type(column) is str else _of_one_type(column)


def _add_columns(values: list[Any], name: str, columns: dict[str, Any]) -> None:
    """Add to `columns` one list for each field of the objects in `values`, by attribute name.

    If some of the `values` are not objects, add `values` itself. If the lists would be too large, add one JSON text.

    Do not encode inner lists yet. If an inner list were encoded before the list around it, the outer encoding would
    escape the quotes of the inner list. With each further level, the text would double.
    """
    if {*map(type, values)} - {dict}:
        columns[name] = values
        return
    if len(values) == 1:  # as most are
        row: dict[str, Any] = {}
        _flatten(values[0], name + ".", row, _add_columns)
        for key, value in row.items():
            columns[key] = [value]
        return
    rows: list[dict[str, Any]] = [{} for _ in values]
    for value, row in zip(values, rows, strict=True):
        _flatten(value, "", row, _add_columns)
    keys = dict.fromkeys(key for row in rows for key in row)
    if len(rows) * len(keys) > _MOST_CELLS:
        columns[name] = encode(values)
        return
    for key in keys:
        columns[f"{name}.{key}"] = [row.get(key, "") for row in rows]


def _of_one_type(values: list[Any]) -> AttributeValue:
    """Return `values` if all items have the same simple type; else a list in which each item is text."""
    if len(values) == 1 and type(values[0]) in _SCALARS:  # as most are
        return values
    kinds = {*map(type, values)}
    if len(kinds) == 1 and kinds <= _SCALARS:
        return values
    return [item if type(item) is str else encode(item) for item in values]


def record_for_json(event: Event) -> dict[str, Any]:
    """Return the OTLP log record of `event` as a JSON object, for display.

    Raises:
        UnmappableError: the body is not a JSON object, or it is nested too deeply.
    """
    view = log_view(event)
    return {
        "time": iso(event.published),
        "observed_time": iso(event.received_at),
        "severity_text": view.severity_text,
        "severity_number": view.severity_number,
        "event_name": event.event_type,
        "body": view.body,
        "resource": {"service.name": "okta", "okta.org.name": event.org},
        "attributes": {"log.record.uid": event.uuid, **view.attributes},
    }
