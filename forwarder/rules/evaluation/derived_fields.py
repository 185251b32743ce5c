"""Derives the fields that rules read but Okta does not send: `forwarder.country`, `.anonymous`, `.new.*` and
`.travel.*`.

For each user, the store keeps sightings. A sighting is a country, network, device, user agent or place of sign-in, with
the times when the user was first and last seen with it. docs/decisions/0012 explains why a value stays new for a day,
and why the order of events does not change the result.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from forwarder.core.event import Event
from forwarder.core.sighting import PLACES, USER, Sighting
from forwarder.core.time import SECOND, Micros
from forwarder.ecs.fields import object_at
from forwarder.rules.evaluation.countries import UNKNOWN, country_code
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.probable_mistakes import fields_of

DAY: Micros = 86_400 * SECOND
KNOWN = 30 * DAY
"""How long a value stays known after it was last seen."""

FRESH = DAY
"""How long a value stays new after it was first seen.

This is also the default of `rules.max_age`. So an event that arrives late, but is still evaluated, does not change
whether a value is new.
"""

YOUNG = 7 * DAY
"""The time after a user was first seen, in which no value counts as new. Otherwise, every value would be new."""

DERIVED_FROM = {
    "forwarder.country": ("client.geographicalContext.country",),
    "forwarder.anonymous": ("securityContext.isProxy", "securityContext.ipDetails", "debugContext.debugData.tunnels"),
    "forwarder.new.country": ("client.geographicalContext.country",),
    "forwarder.new.asn": ("securityContext.asNumber",),
    "forwarder.new.device": ("device.id", "debugContext.debugData.deviceFingerprint", "debugContext.debugData.dtHash"),
    "forwarder.new.user_agent": ("client.userAgent.rawUserAgent",),
    "forwarder.travel": ("client.geographicalContext.geolocation",),
}
"""Derived field → the fields of Okta's event that it is derived from."""

_REFRESH = DAY // 2
"""A sighting is saved again only if it is newer by this much. So most events write nothing."""

_SIGN_INS = {"user.session.start", "user.authentication.sso", "user.authentication.auth_via_mfa"}
_LEAST_KM = 100.0
_LEAST_TIME = 60 * SECOND  # a shorter time counts as one minute, because the speed would mean nothing
_MOST_PLACES = 64
_MOST_VALUES = 500  # of a kind, for one user: a client can send any user agent
_VERSION = re.compile(r"[\d._]+")
_EARTH_KM = 6371.0


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """The time and the place of a user's sign-in."""

    at: Micros
    lat: float
    lon: float
    ip: str


_decode_places = msgspec.json.Decoder(list[Place]).decode


class UserHistory:
    """The sightings of one user: the countries, networks, devices, user agents and places that the user was seen
    with."""

    def __init__(self, sightings: Iterable[Sighting] = ()) -> None:
        self._seen: dict[str, dict[str, tuple[Micros, Micros]]] = {}  # by kind and value
        self._places: list[Place] = []
        for one in sightings:
            if one.kind == PLACES:
                self._places = _decode_places(one.data)
            else:
                self._seen.setdefault(one.kind, {})[one.value] = (one.since, one.last)

    def is_young(self, at: Micros) -> bool:
        """Whether the user was first seen less than YOUNG before the time `at`."""
        since, _ = self._seen.get(USER, {}).get("", (at, at))
        return at - since < YOUNG

    def is_new(self, kind: str, value: str, at: Micros) -> bool:
        """Whether `value` is new for the user at the time `at`.

        A value is new in three cases: it was never seen for this user, it was first seen at most a day before `at`, or
        it was last seen more than 30 days before `at`.
        """
        since, last = self._seen.get(kind, {}).get(value, (at, at))
        return since >= at - FRESH or last < at - KNOWN

    def saw(self, kind: str, value: str, at: Micros) -> tuple[Micros, Micros] | None:
        """Record that the user was seen with `value` at the time `at`.

        If the store must save the sighting, return the times at which the user was first and last seen with `value`;
        else return None.
        """
        seen = self._seen.setdefault(kind, {})
        known = seen.get(value)
        if known is None:
            if len(seen) >= _MOST_VALUES:
                return None
            row = (at, at)
        else:
            since, last = known
            ended = kind != USER and at > last + KNOWN
            row = (at if ended else min(since, at), max(last, at))
            if not ended and row[0] == since and row[1] - last < _REFRESH:
                return None
        seen[value] = row
        return row

    def travelled(self, place: Place) -> tuple[float, float] | None:
        """Compare the sign-in at `place` with the sign-ins before and after it.

        Return the distance (km) and the speed (km/h) of the faster of the two journeys. A journey is ignored if both
        sign-ins are from the same IP address, or if it is shorter than 100 km. Return None if no journey remains.
        """
        before = max((one for one in self._places if one.at <= place.at and one != place), default=None)
        after = min((one for one in self._places if one.at > place.at), default=None)
        found = [_speed(one, place) for one in (before, after) if one is not None and one.ip != place.ip]
        return max((one for one in found if one[0] >= _LEAST_KM), key=lambda one: one[1], default=None)

    def was_at(self, place: Place) -> bytes | None:
        """Record a sign-in at `place`. Return the user's recent sign-ins in the encoded form that the store saves; None
        if this sign-in was recorded before."""
        if place in self._places:
            return None
        places = sorted([*self._places, place])
        recent = [one for one in places if one.at > places[-1].at - 25 * DAY // 24][-_MOST_PLACES:]
        self._places = places[max(0, len(places) - len(recent) - 1) :]  # with the last place before the recent ones
        return msgspec.json.encode(self._places)


def _speed(one: Place, other: Place) -> tuple[float, float]:
    km = _distance(one, other)
    hours = max(abs(one.at - other.at), _LEAST_TIME) / SECOND / 3600
    return round(km, 1), round(km / hours, 1)


def _distance(one: Place, other: Place) -> float:
    lat1, lon1, lat2, lon2 = map(math.radians, (one.lat, one.lon, other.lat, other.lon))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(a)))


def reads_derived(rules: Ruleset) -> bool:
    """Whether a rule, a correlation or an exception reads a derived field, whose name begins with `forwarder.`."""
    fields = [field for each in rules.rules for field in fields_of(each.condition)]
    fields += [field for each in rules.exceptions for field in fields_of(each.condition)]
    for each in rules.correlations:
        fields += [each.field or "", *each.group_by, *(f for named in each.aliases.values() for f in named.values())]
    return any(field.lower().startswith("forwarder.") for field in fields)


def user_of(raw: dict[str, Any]) -> str | None:
    """Return the ID of the actor of an event; None if the actor is not a user, or has no valid ID."""
    actor = object_at(raw, "actor")
    id_ = actor.get("id")
    return id_ if actor.get("type") == "User" and isinstance(id_, str) and 0 < len(id_) <= 100 else None


def derive(event: Event, raw: dict[str, Any], user: UserHistory | None) -> tuple[dict[str, Any], list[Sighting]]:
    """Return the derived fields of the event, and the sightings that the store must save.

    `user` has the earlier sightings of the event's user. Only an event with the outcome success makes its values known.
    For example, a country that is new for the user is still new after a failed sign-in.
    """
    found: dict[str, Any] = {"anonymous": _anonymous(raw)}
    written = object_at(raw, "client", "geographicalContext").get("country")
    country = country_code(written) if isinstance(written, str) and written else UNKNOWN
    if isinstance(object_at(raw, "client").get("ipAddress"), str) or country != UNKNOWN:
        found["country"] = country
    name = user_of(raw)
    if user is None or name is None:
        return found, []
    values = _values(raw, country)
    if not user.is_young(event.published):
        found["new"] = {kind: user.is_new(kind, value, event.published) for kind, value in values.items()}
    succeeded = object_at(raw, "outcome").get("result") in ("SUCCESS", "ALLOW")
    place = _place(event, raw) if succeeded and not found["anonymous"] else None
    sightings: list[Sighting] = []
    if place is not None:
        if travelled := user.travelled(place):
            found["travel"] = {"km": travelled[0], "kmh": travelled[1]}
        if data := user.was_at(place):
            sightings.append(Sighting(event.org, name, PLACES, "", place.at, place.at, data))
    for kind, value in ({USER: ""} | values if succeeded else {USER: ""}).items():
        if row := user.saw(kind, value, event.published):
            sightings.append(Sighting(event.org, name, kind, value, *row))
    return found, sightings


def _values(raw: dict[str, Any], country: str) -> dict[str, str]:
    """Return the values of the event that can be new for a user. The keys are kinds of value: country, network (`asn`),
    device and user agent."""
    number = object_at(raw, "securityContext").get("asNumber")
    debug = object_at(raw, "debugContext", "debugData")
    device = object_at(raw, "device").get("id") or debug.get("deviceFingerprint") or debug.get("dtHash")
    agent = object_at(raw, "client", "userAgent").get("rawUserAgent")
    found = {
        "country": country if country != UNKNOWN else "",
        "asn": str(number) if isinstance(number, int | str) and number else "",
        "device": device if isinstance(device, str) else "",
        # Without its version: an update does not make a browser new.
        "user_agent": _VERSION.sub("", agent) if isinstance(agent, str) else "",
    }
    return {kind: value[:200] for kind, value in found.items() if value}


def _anonymous(raw: dict[str, Any]) -> bool:
    """Whether Okta classifies the client's address as a proxy, a VPN or Tor."""
    security = object_at(raw, "securityContext")
    if security.get("isProxy") is True or str(security.get("isProxy")).lower() == "true":
        return True
    services = object_at(security, "ipDetails").get("ipServiceCategories")
    if isinstance(services, list) and any(isinstance(one, dict) and one.get("isAnonymous") is True for one in services):
        return True
    tunnels = object_at(raw, "debugContext", "debugData").get("tunnels")
    text = tunnels if isinstance(tunnels, str) else msgspec.json.encode(tunnels).decode() if tunnels else ""
    return bool(re.search(r'"?anonymous"?\s*[:=]\s*"?true', text))


def _place(event: Event, raw: dict[str, Any]) -> Place | None:
    if event.event_type not in _SIGN_INS:
        return None
    client = object_at(raw, "client")
    spot = object_at(client, "geographicalContext", "geolocation")
    lat, lon, ip = spot.get("lat"), spot.get("lon"), client.get("ipAddress")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in (lat, lon)):
        return None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180) or not isinstance(ip, str):  # type: ignore[operator]
        return None
    return Place(event.published, float(lat), float(lon), ip[:50])  # type: ignore[arg-type]
