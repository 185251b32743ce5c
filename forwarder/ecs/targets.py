"""Maps `target`, the list of objects that the event is about. Its order has no meaning: the type identifies them."""

from typing import Any

from forwarder.ecs.decode import encode
from forwarder.ecs.fields import DocumentBuilder
from forwarder.ecs.value_readers import clean, objects, text

_NAMES = (("id", "id"), ("type", "type"), ("alternateId", "alternate_id"), ("displayName", "display_name"))
_DETAILS = ("methodTypeUsed", "methodUsedVerifiedProperties")


def targets(raw: dict[str, Any], draft: DocumentBuilder) -> None:
    """Add `okta.target` to `draft`, and `user.target` from the first user and the first group in the list."""
    found = [made for item in objects(raw.get("target")) if (made := _target(item))]
    if not found:
        return
    draft["okta"]["target"] = found
    kinds = [made.get("type", "").lower() for made in found]
    if "user" in kinds:
        _copy(found[kinds.index("user")], "full_name", draft["user.target"])
    if "usergroup" in kinds:
        _copy(found[kinds.index("usergroup")], "name", draft["user.target.group"])


def _target(item: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, name in _NAMES:
        value = item.get(key)
        if value and (type(value) is str or (value := text(value))):
            made[name] = value
    entry, changes = item.get("detailEntry"), item.get("changeDetails")
    if type(entry) is dict:
        details = {key: value for key in _DETAILS if (value := text(entry.get(key)))}
        if details:
            made["detailEntry"] = details
    if type(changes) is dict:
        cleaned = {side: clean(changes[side]) for side in ("from", "to") if type(changes.get(side)) is dict}
        sides = {side: _as_text(values) for side, values in cleaned.items() if values}
        if sides:
            made["changeDetails"] = sides
    return made


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    """Return `values` with all values as text: the same attribute may be a string in one event and an object in another."""
    return {key: value if type(value) is str else encode(value) for key, value in values.items()}


def _copy(made: dict[str, Any], name: str, into: dict[str, Any]) -> None:
    if "display_name" in made:
        into[name] = made["display_name"]
    if "id" in made:
        into["id"] = made["id"]
