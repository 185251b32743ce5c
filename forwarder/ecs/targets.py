"""`target`: what the event was done to, in no particular order; found by type, never by place."""

from typing import Any

from forwarder.ecs.decode import encode
from forwarder.ecs.fields import Draft
from forwarder.ecs.readers import clean, field_name, objects, text

_NAMES = (("id", "id"), ("type", "type"), ("alternateId", "alternate_id"), ("displayName", "display_name"))
_DETAILS = ("methodTypeUsed", "methodUsedVerifiedProperties")


def targets(raw: dict[str, Any], draft: Draft) -> None:
    """Put `okta.target` and, of the first user and the first group among them, `user.target` into `draft`."""
    found = [made for item in objects(raw.get("target")) if (made := _target(item))]
    if not found:
        return
    draft["okta"]["target"] = found
    user, group = _first(found, "user"), _first(found, "usergroup")
    _copy(user, (("display_name", "full_name"), ("id", "id")), draft, "user.target")
    _copy(group, (("display_name", "name"), ("id", "id")), draft, "user.target.group")


def _target(item: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, name in _NAMES:
        if value := text(item.get(key)):
            made[name] = value
    entry = item.get("detailEntry")
    if type(entry) is dict:
        details = {key: value for key in _DETAILS if (value := text(entry.get(key)))}
        if details:
            made["detailEntry"] = details
    changes = clean(item.get("changeDetails"))
    if type(changes) is dict:
        sides = {side: _as_text(changes[side]) for side in ("from", "to") if type(changes.get(side)) is dict}
        if sides:
            made["changeDetails"] = sides
    return made


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    """The same attribute is a string in one event and an object in the next, so all of them become text."""
    return {field_name(key): value if type(value) is str else encode(value) for key, value in values.items()}


def _first(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next((made for made in found if made.get("type", "").lower() == kind), {})


def _copy(source: dict[str, Any], names: tuple[tuple[str, str], ...], draft: Draft, path: str) -> None:
    for key, name in names:
        if key in source:
            draft[path][name] = source[key]
