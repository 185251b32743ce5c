"""The fields that rules read and Okta does not send."""

from random import Random
from typing import Any

import msgspec
import pytest

from forwarder.core.event import Event
from forwarder.core.sighting import Sighting
from forwarder.core.time import SECOND, iso
from forwarder.rules.conditions.event_fields import Reading, texts
from forwarder.rules.evaluation.countries import country_code
from forwarder.rules.evaluation.derived_fields import DAY, UserHistory, derive
from tests.fakes.clock import NOON
from tests.unit.rules.days import made

HOUR = 3600 * SECOND
LISBON, SYDNEY, SINTRA = (38.72, -9.14), (-33.87, 151.21), (38.80, -9.38)


def sign_in(
    at: int = NOON, spot: tuple[float, float] | None = LISBON, ip: str = "192.0.2.1", **more: Any
) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "eventType": "user.session.start",
        "published": iso(at, "milliseconds"),
        "actor": {"id": "00u1", "type": "User"},
        "outcome": {"result": "SUCCESS"},
        "securityContext": {"asNumber": 64500, "isProxy": False},
        "device": {"id": "guo1"},
        "client": {
            "ipAddress": ip,
            "userAgent": {"rawUserAgent": "Firefox/128.0"},
            "geographicalContext": {"country": "Portugal", "geolocation": None},
        },
        **more,
    }
    if spot:
        raw["client"]["geographicalContext"]["geolocation"] = {"lat": spot[0], "lon": spot[1]}
    return raw


def event_at(at: int, raw: dict[str, Any]) -> Event:
    return msgspec.structs.replace(made(at % 10**9, at, "x", "00u1", "ip"), event_type=raw["eventType"])


class Person:
    """One user, whose events are evaluated one by one. `restart` makes a new history from the stored sightings."""

    def __init__(self) -> None:
        self.user = UserHistory()
        self.kept: dict[tuple[str, str], Sighting] = {}

    def does(self, raw: dict[str, Any], at: int = NOON) -> dict[str, Any]:
        raw["published"] = iso(at, "milliseconds")
        fields, sightings = derive(event_at(at, raw), raw, self.user)
        self.kept |= {(one.kind, one.value): one for one in sightings}
        return fields

    def restart(self) -> None:
        self.user = UserHistory(self.kept.values())


@pytest.fixture
def person() -> Person:
    """Return a user who was first seen ten days before noon, in Lisbon."""
    known = Person()
    known.does(sign_in(), NOON - 10 * DAY)
    return known


# --- where


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("United States", "US"),
        ("Russia", "RU"),
        ("Russian Federation", "RU"),
        ("Iran", "IR"),
        ("Iran, Islamic Republic of", "IR"),
        ("North Korea", "KP"),
        ("Democratic People's Republic of Korea", "KP"),
        ("South Korea", "KR"),
        ("Republic of Korea", "KR"),
        ("Türkiye", "TR"),
        ("Turkey", "TR"),
        ("Ivory Coast", "CI"),
        ("Cote d'Ivoire", "CI"),
        ("The Netherlands", "NL"),
        ("Czech Republic", "CZ"),
        ("Viet Nam", "VN"),
        ("Congo Republic", "CG"),
        ("DR Congo", "CD"),
        ("Kosovo", "XK"),
        ("us", "US"),
        ("DEU", "DE"),
        ("FAKE_COUNTRY", "??"),
        ("", "??"),
    ],
)
def test_a_countrys_name_becomes_its_code(name: str, code: str) -> None:
    assert country_code(name) == code


def test_an_address_without_a_place_is_in_an_unknown_country(person: Person) -> None:
    raw = sign_in()
    assert person.does(raw)["country"] == "PT"
    raw["client"]["geographicalContext"] = None
    assert person.does(raw)["country"] == "??"
    assert "country" not in person.does(sign_in() | {"client": None})


@pytest.mark.parametrize(
    "security",
    [
        {"isProxy": True},
        {"isProxy": "true"},
        {"ipDetails": {"ipServiceCategories": [{"type": "VPN", "isAnonymous": True}]}},
    ],
)
def test_an_address_that_okta_classifies_as_an_anonymiser_is_anonymous(
    person: Person, security: dict[str, Any]
) -> None:
    assert person.does(sign_in(securityContext=security))["anonymous"] is True
    assert person.does(sign_in())["anonymous"] is False


# --- new


def test_a_value_that_the_user_was_not_seen_with_is_new_for_a_day(person: Person) -> None:
    assert person.does(sign_in())["new"] == dict.fromkeys(("country", "asn", "device", "user_agent"), False)
    other = sign_in(device={"id": "guo2"}, securityContext={"asNumber": 64501})
    assert person.does(other)["new"] == {"country": False, "asn": True, "device": True, "user_agent": False}
    assert person.does(other, NOON + 23 * HOUR)["new"]["device"] is True
    assert person.does(other, NOON + 25 * HOUR)["new"]["device"] is False
    assert person.does(other, NOON + 60 * DAY)["new"]["device"] is True


def test_a_young_user_has_nothing_new() -> None:
    person = Person()
    assert "new" not in person.does(sign_in())
    assert "new" not in person.does(sign_in(device={"id": "guo2"}), NOON + 6 * DAY)
    assert person.does(sign_in(device={"id": "guo3"}), NOON + 8 * DAY)["new"]["device"] is True


def test_a_failed_sign_in_makes_no_value_known(person: Person) -> None:
    guess = sign_in(outcome={"result": "FAILURE"}, device={"id": "evil"})
    assert person.does(guess)["new"]["device"] is True
    assert person.does(guess, NOON + 5 * DAY)["new"]["device"] is True


@pytest.mark.parametrize("result", [5, None, ["SUCCESS"], {"a": "SUCCESS"}, "MAYBE", True])
def test_an_outcome_of_an_odd_type_is_not_a_success_and_no_error(result: object, person: Person) -> None:
    assert person.does(sign_in(outcome={"result": result}, device={"id": "guo2"}))["new"]["device"]
    assert not [kind for kind, value in person.kept if value == "guo2"]


def test_an_update_of_a_browser_is_no_new_browser(person: Person) -> None:
    raw = sign_in()
    raw["client"]["userAgent"]["rawUserAgent"] = "Firefox/129.0.1"
    assert person.does(raw)["new"]["user_agent"] is False


def test_known_values_survive_a_restart(person: Person) -> None:
    person.does(sign_in(device={"id": "guo2"}), NOON - 3 * DAY)
    person.restart()
    found = person.does(sign_in(spot=SYDNEY, ip="198.51.100.1", device={"id": "guo2"}), NOON)
    assert found["new"]["device"] is False
    assert found["travel"]["km"] > 17_000


def test_an_actor_that_is_no_user_has_no_history(person: Person) -> None:
    raw = sign_in(actor={"id": "0oa1", "type": "PublicClientApp"})
    assert set(person.does(raw)) == {"country", "anonymous"}


# --- travel


def test_a_sign_in_far_away_has_a_speed(person: Person) -> None:
    person.does(sign_in(), NOON)
    found = person.does(sign_in(spot=SYDNEY, ip="198.51.100.1"), NOON + HOUR)["travel"]
    assert (found["km"], found["kmh"]) == (pytest.approx(18_190, rel=0.01), pytest.approx(18_190, rel=0.01))


@pytest.mark.parametrize(
    "raw",
    [
        sign_in(spot=SINTRA, ip="198.51.100.1"),  # below 100 km
        sign_in(spot=SYDNEY),  # the same address
        sign_in(spot=SYDNEY, ip="198.51.100.1", securityContext={"isProxy": True}),
        sign_in(spot=SYDNEY, ip="198.51.100.1", outcome={"result": "FAILURE"}),
        sign_in(spot=SYDNEY, ip="198.51.100.1", eventType="application.lifecycle.update"),
        sign_in(spot=None, ip="198.51.100.1"),
        sign_in(spot=(91.0, 1e308), ip="198.51.100.1"),
    ],
)
def test_there_is_no_speed_for_short_distances_and_the_same_address(person: Person, raw: dict[str, Any]) -> None:
    person.does(sign_in(), NOON)
    assert "travel" not in person.does(raw, NOON + HOUR)


def test_a_late_sign_in_is_compared_with_the_one_after_it(person: Person) -> None:
    person.does(sign_in(spot=SYDNEY, ip="198.51.100.1"), NOON)
    assert person.does(sign_in(ip="192.0.2.9"), NOON - HOUR)["travel"]["kmh"] > 10_000


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_a_day_changes_neither_what_is_new_nor_who_travels(seed: int) -> None:
    chance = Random(seed)
    steps = []
    for _ in range(20):
        spot, ip = chance.choice([(LISBON, "192.0.2.1"), (SYDNEY, "198.51.100.1"), (SINTRA, "192.0.2.7")])
        device = {"id": f"guo{chance.randrange(3)}"}
        steps.append((NOON + chance.randrange(23 * HOUR), spot, ip, device))
    results = []
    for _ in range(5):
        chance.shuffle(steps)
        person = Person()
        person.does(sign_in(), NOON - 10 * DAY)
        found = [(at, person.does(sign_in(at, spot, ip, device=device), at)) for at, spot, ip, device in steps]
        fast = any(fields.get("travel", {}).get("kmh", 0) >= 900 for _, fields in found)
        results.append((sorted((at, str(fields["new"])) for at, fields in found), fast))
    assert all(result == results[0] for result in results)


def test_rules_read_derived_fields_like_any_field(person: Person) -> None:
    raw = sign_in(device={"id": "guo9"})
    raw["forwarder"] = person.does(raw)
    assert Reading(raw)[texts("forwarder.new.device")] == ("true",)
    assert Reading(raw)[texts("forwarder.country")] == ("PT",)
