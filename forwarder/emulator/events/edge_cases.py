"""Unusual but legal contents of events: Okta promises little, so a receiver must accept all such contents."""

from collections.abc import Callable
from random import Random
from typing import Any

Event = dict[str, Any]


def _microseconds(event: Event, random: Random) -> None:
    event["published"] = f"{event['published'][:-1]}{random.randrange(1, 1000):03d}Z"


def _no_address(event: Event, random: Random) -> None:
    if event["client"]["ipAddress"]:
        event["client"]["ipAddress"] = random.choice(("unknown", "203.0.113.9, 198.51.100.4", ""))


def _number_as_postal_code(event: Event, random: Random) -> None:
    if event["client"]["geographicalContext"]:
        place = event["client"]["geographicalContext"] | {"postalCode": random.randrange(10000, 99999)}
        event["client"]["geographicalContext"] = place


def _unknown_keys(event: Event, random: Random) -> None:
    event["futureContext"] = {"generation": random.randrange(9), "labels": ["a", "b"]}
    event["securityContext"]["futureSignal"] = "seen"


def _later_step(event: Event, random: Random) -> None:
    event["authenticationContext"]["authenticationStep"] = random.randrange(1, 5)


def _huge_debug_data(event: Event, _: Random) -> None:
    event["debugContext"]["debugData"]["changedAttributes"] = ",".join(f"attribute{n}" for n in range(2000))


def _nested_debug_data(event: Event, _: Random) -> None:
    principal = {"id": "00uoriginal000000000", "type": "User", "levels": [1, 2.5, True]}
    event["debugContext"]["debugData"]["OriginalPrincipal"] = principal


_EDGE_CASES: tuple[Callable[[Event, Random], None], ...] = (
    _microseconds,
    _no_address,
    _unknown_keys,
    _later_step,
    _huge_debug_data,
    _nested_debug_data,
    lambda event, _: event.update(displayMessage=""),
    lambda event, _: event.update(actor=None),
)


_ODD_TYPES: tuple[Callable[[Event, Random], None], ...] = (
    lambda event, _: event.update(version=0),
    _number_as_postal_code,
    lambda event, _: event.update(outcome={"result": "PARTIAL", "reason": "A result added later"}),
)
"""The edge cases that Okta's typed SDKs refuse."""


def add_edge_cases(event: Event, random: Random, *, odd_types: bool) -> bool:
    """Add one or two edge cases to `event`, in place. The event has the System Log's shape.

    If `odd_types` is true, the edge cases may include values that Okta's typed SDKs refuse.

    Returns:
        Whether the hook's copy of the event should keep explicit nulls. Explicit nulls are one more edge case.
    """
    for add in random.sample(_EDGE_CASES + _ODD_TYPES if odd_types else _EDGE_CASES, random.choice((1, 1, 2))):
        add(event, random)
    return random.random() < 0.3
