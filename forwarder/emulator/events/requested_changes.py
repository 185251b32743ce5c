"""Changes a generated event as a caller of `/emulator/events` asks."""

from collections.abc import Callable, Mapping
from typing import Any

from forwarder.emulator.events.fixtures import hop

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes an event in the System Log's shape, and returns it with changes."""


def changed(
    event: dict[str, Any], *, user: Mapping[str, Any] | None = None, fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a copy of an event in the System Log's shape, with changes.

    `user` replaces the actor and each user among the targets. `fields` are new values of the event's fields: an object
    is merged key by key; any other value replaces the old value. If `fields` has a new address of the client but no
    `request`, the address becomes the only hop in the event's `request`.
    """
    if user is not None:
        targets = [dict(user) if each["type"] == "User" else each for each in event["target"] or ()]
        event = event | {"actor": dict(user), "target": targets or None}
    if not fields:
        return event
    event = _merged(event, fields)
    if "ipAddress" in fields.get("client", {}) and "request" not in fields:
        client = event["client"]
        event["request"] = {"ipChain": [hop(client["ipAddress"], client.get("geographicalContext"))]}
    return event


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(known or {}, value) if both else value
    return merged
