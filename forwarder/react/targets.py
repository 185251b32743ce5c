"""Finds the target of an action in the alert. The target is a user or an IP address."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from forwarder.core.action import ActionTarget

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The form of Okta's ids. A text that does not match is never put into the path of a call."""

_LONGEST_NAME = 200
_NOBODY = ActionTarget("user", "")


def user_of(alert: Mapping[str, Any], where: str | None = None) -> tuple[ActionTarget, str]:
    """Return the user that an alert is about, and an empty text.

    If the alert does not name exactly one user, return a target without an id, and the reason as a text for an
    operator. `where` says where to look for the user: `actor` or `target`. None means the actor if the actor is a user,
    else the target.
    """
    actor = list(_users([alert.get("actor")]))
    if where == "actor" or (where is None and actor):
        found, place = actor, "actor"
    else:
        targets = alert.get("target")
        found, place = list(_users(targets if isinstance(targets, list) else [])), "target"
    if len(found) == 1 and found[0].id:
        return found[0], ""
    if len(found) == 1:
        return _NOBODY, f"the id of the {place} does not look like an id of Okta"
    if found:
        names = ", ".join(user.name or user.id for user in found[:5])
        return (_NOBODY, f"the alert has {len(found)} users as {place} ({names}), but an action is about one user")
    if where is None:
        return _NOBODY, "the alert has no user, neither as actor nor as target"
    return _NOBODY, f"the alert has no user as {place}, but the action has `user: {where}`"


def address_of(alert: Mapping[str, Any]) -> tuple[ActionTarget, str]:
    """Return the IP address of the client in an alert, and an empty text. If there is no address, return a target
    without an id, and the reason as a text for an operator."""
    client = alert.get("client")
    written = client.get("ipAddress") if isinstance(client, dict) else None
    try:
        address = ip_address(written if isinstance(written, str) and "%" not in written else "")
    except ValueError:
        return ActionTarget("ip", ""), "the alert has no IP address of a client"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return ActionTarget("ip", str(address)), ""


def _users(entries: list[Any]) -> Iterator[ActionTarget]:
    """Yield each user in `entries` once, even if several entries are about this user. If a user's id is malformed,
    yield the user with an empty id."""
    seen: set[object] = set()
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("type") != "User":
            continue
        found = entry.get("id")
        if found in (None, "", "unknown"):  # for example, a sign-in with a login that does not exist
            continue
        key = found if isinstance(found, str) else repr(found)
        if key not in seen:
            seen.add(key)
            is_id = isinstance(found, str) and _ID.fullmatch(found)
            yield ActionTarget("user", key if is_id else "", _name(entry))


def _name(entry: Mapping[str, Any]) -> str:
    for key in ("alternateId", "displayName"):
        if isinstance(name := entry.get(key), str) and name not in {"", "unknown"}:
            return name[:_LONGEST_NAME]
    return ""
