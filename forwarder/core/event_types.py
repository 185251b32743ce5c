"""Compares event types with names and patterns. In a pattern, `*` stands for any text, as in `user.session.*`."""

import difflib
import re
from collections.abc import Iterable

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.alert import EVENT_TYPE as ALERT_EVENT_TYPE
from forwarder.core.catalogue import EVENT_TYPES, RELEASE
from forwarder.core.doctor_event import EVENT_TYPE as DOCTOR_EVENT_TYPE

_MOST = 4_096
"""The maximum number of event types for which a result is cached. Without this limit, a sender that invents event types
could fill the memory."""


class EventTypes:
    """A set of event types, given by names and by patterns with `*`."""

    def __init__(self, names: Iterable[str]) -> None:
        names = tuple(names)
        self._pattern = re.compile("|".join(map(_expression, names)) or r"(?!)", re.DOTALL)
        self._known: dict[str, bool] = {}

    def __contains__(self, event_type: str) -> bool:
        found = self._known.get(event_type)
        if found is None:
            found = self._pattern.fullmatch(event_type) is not None
            if len(self._known) < _MOST:
                self._known[event_type] = found
        return found


def _expression(name: str) -> str:
    """Return a regular expression that matches what `name`, a name or a pattern, matches.

    The expression tries the text after each `*` only at the first place where the text matches. Otherwise, an event
    type that a sender invents could make a pattern with many `*` very slow.
    """
    begin, *rest = map(re.escape, name.split("*"))
    return begin + "".join(f"(?>.*?{text})" for text in rest[:-1]) + (f".*{rest[-1]}" if rest else "")


def unknown_event_type(name: str) -> str | None:
    """Return an error text if `name`, a name or a pattern, matches no known event type; None if `name` matches at least
    one."""
    types = EventTypes([name])
    if any(each in types for each in (*EVENT_TYPES, ALERT_EVENT_TYPE, ACTION_EVENT_TYPE, DOCTOR_EVENT_TYPE)):
        return None
    groups = (f"{each.rpartition('.')[0]}.*" for each in EVENT_TYPES)
    known = dict.fromkeys(groups) if "*" in name else EVENT_TYPES
    near = difflib.get_close_matches(name.strip().lower(), known, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else "write a name such as user.session.start, or a pattern such as user.session.*"
    )
    what = "no event type matches" if "*" in name else "unknown event type"
    return f"{what} {name} (searched in Okta's catalogue, release {RELEASE}); {hint}"
