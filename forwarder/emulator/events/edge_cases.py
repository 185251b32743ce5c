"""What is unusual in an event, but legal: Okta promises little, so receivers have to live with all of it."""

from collections.abc import Callable
from random import Random
from typing import Any


def _microseconds(event: dict[str, Any], random: Random) -> None:
    event["published"] = f"{event['published'][:-1]}{random.randrange(1, 1000):03d}Z"


def _no_address(event: dict[str, Any], random: Random) -> None:
    if event["client"]["ipAddress"]:
        event["client"]["ipAddress"] = random.choice(("unknown", "203.0.113.9, 198.51.100.4", ""))


def _number_as_version(event: dict[str, Any], _: Random) -> None:
    event["version"] = 0


def _number_as_postal_code(event: dict[str, Any], random: Random) -> None:
    if event["client"]["geographicalContext"]:
        place = event["client"]["geographicalContext"] | {"postalCode": random.randrange(10000, 99999)}
        event["client"]["geographicalContext"] = place


def _unknown_keys(event: dict[str, Any], random: Random) -> None:
    event["futureContext"] = {"generation": random.randrange(9), "labels": ["a", "b"]}
    event["securityContext"]["futureSignal"] = "seen"


def _later_step(event: dict[str, Any], random: Random) -> None:
    event["authenticationContext"]["authenticationStep"] = random.randrange(1, 5)


def _unknown_result(event: dict[str, Any], _: Random) -> None:
    event["outcome"] = {"result": "PARTIAL", "reason": "A result that came after the documentation"}


def _huge_debug_data(event: dict[str, Any], _: Random) -> None:
    event["debugContext"]["debugData"]["changedAttributes"] = ",".join(f"attribute{n}" for n in range(2000))


def _nested_debug_data(event: dict[str, Any], _: Random) -> None:
    event["debugContext"]["debugData"]["OriginalPrincipal"] = {
        "id": "00uoriginal000000000",
        "type": "User",
        "levels": [1, 2.5, True],
    }


def _blank_message(event: dict[str, Any], _: Random) -> None:
    event["displayMessage"] = ""


def _nobody(event: dict[str, Any], _: Random) -> None:
    event["actor"] = None


_ODDITIES: tuple[Callable[[dict[str, Any], Random], None], ...] = (
    _microseconds,
    _no_address,
    _number_as_version,
    _number_as_postal_code,
    _unknown_keys,
    _later_step,
    _unknown_result,
    _huge_debug_data,
    _nested_debug_data,
    _blank_message,
    _nobody,
)


def add_edge_cases(event: dict[str, Any], random: Random) -> bool:
    """Put one or two unusual things into `event`.

    Args:
        event: in the System Log's shape; changed in place.
        random: chooses.

    Returns:
        Whether the hook shape shall keep its explicit nulls as well.
    """
    for make in random.sample(_ODDITIES, random.choice((1, 1, 2))):
        make(event, random)
    return random.random() < 0.3
