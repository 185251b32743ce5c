"""Converts presets and lists to the event types that a hook subscribes to, and finds event types that Okta would
refuse."""

import difflib
from collections.abc import Collection, Iterable, Mapping

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE, RELEASE
from forwarder.core.security_event_types import SECURITY_TYPES

ALL_ELIGIBLE = "all-eligible"
SECURITY = "security"
RULES = "rules"
PRESETS = (ALL_ELIGIBLE, SECURITY, RULES)
"""`all-eligible`: all event types that hooks can carry. `security`: the types in `SECURITY_TYPES` that hooks can carry.
`rules`: the event types that detection rules need."""

MAX_TYPES = 300
"""Okta's limit for the event types of one hook."""

Catalogue = Mapping[str, tuple[str, ...]]


def resolve(
    events: str | Iterable[str], needed: Collection[str] = (), catalogue: Catalogue = EVENT_TYPES
) -> frozenset[str]:
    """Return the event types that `events` stands for: one preset, or a list of event types and presets. `needed` are the
    types that the preset `rules` stands for."""
    eligible = {name for name, tags in catalogue.items() if HOOK_ELIGIBLE in tags}
    presets: dict[str, Collection[str]] = {
        ALL_ELIGIBLE: eligible,
        SECURITY: eligible.intersection(SECURITY_TYPES),
        RULES: needed,
    }
    written = [events] if isinstance(events, str) else events
    return frozenset(name for each in written for name in presets.get(each, (each,)))


def event_type_problems(
    types: Collection[str], filters: Iterable[str] = (), catalogue: Catalogue = EVENT_TYPES
) -> list[str]:
    """Return the reasons why Okta would refuse a hook with `types`, one line each; empty if Okta would accept the hook.
    `filters` are the event types that have a filter."""
    problems = []
    for name in sorted(types):
        if name not in catalogue:
            near = difflib.get_close_matches(name, catalogue, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"unknown event type {name} (not in Okta's catalogue, release {RELEASE}){hint}")
        elif HOOK_ELIGIBLE not in catalogue[name]:
            problems.append(f"hooks do not carry {name}, only the System Log does; remove it from the list")
    if not types:
        problems.append("no event type is selected, but a hook needs at least one")
    if len(types) > MAX_TYPES:
        problems.append(f"{len(types)} event types are too many for one hook; Okta allows {MAX_TYPES}")
    problems += [
        f"`filters` has a filter for {name}, which is not in `events`; add it to `events`, or remove the filter"
        for name in sorted(set(filters) - set(types))
    ]
    return problems
