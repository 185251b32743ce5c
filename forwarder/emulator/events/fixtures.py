"""The people, places, apps and groups in the events of the emulated org.

All of them are invented; addresses, networks and domains come from the ranges reserved for documentation.
"""

from random import Random
from typing import Any

import msgspec

Agent = tuple[str, str, str, str]
"""A client: the raw user agent, and the operating system, browser and kind of device that Okta derives from
it."""

_IPV4 = ("203.0.113.", "192.0.2.")
_ID_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_FIRST = (
    "Amara", "Bruno", "Chloé", "Dmitri", "Elif", "Farid", "Grace", "Hana", "Ines", "Jonas", "Kofi", "Łucja",
    "Mateo", "Nadia", "Olu", "Priya", "Quentin", "Rosa", "Søren", "Tomoko", "Uma", "Viktor", "Wen", "Zoë",
)  # fmt: skip
_LAST = (
    "Adeyemi", "Bergström", "Castillo", "Dubois", "Eriksen", "Fischer", "García", "Hughes", "Ito", "Jansen",
    "Kowalska", "Lindqvist", "Moreau", "Novák", "Okafor", "Petrov", "Quispe", "Rossi", "Sato", "Tanaka",
    "Usman", "Varga", "Weiß", "Yücel", "李",
)  # fmt: skip

_PLACES = (
    ("Toronto", "Ontario", "Canada", "M5V", 43.65, -79.38),
    ("Osaka", "Osaka", "Japan", "530-0001", 34.69, 135.5),
    ("Leipzig", "Saxony", "Germany", "04109", 51.34, 12.37),
    ("Lagos", "Lagos", "Nigeria", "101233", 6.45, 3.39),
    ("São Paulo", "São Paulo", "Brazil", "01310-100", -23.55, -46.63),
    ("Austin", "Texas", "United States", "78701", 30.27, -97.74),
    ("Pune", "Maharashtra", "India", "411001", 18.52, 73.86),
    ("Lyon", "Auvergne-Rhône-Alpes", "France", "69001", 45.76, 4.84),
    ("Wellington", None, "New Zealand", "6011", -41.29, 174.78),
    ("Singapore", None, "Singapore", None, 1.35, 103.82),
)

_AGENTS = (
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36", "Mac OS X", "CHROME", "Computer"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0", "Windows 10", "EDGE", "Computer"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0", "Linux", "FIREFOX", "Computer"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "iOS (iPhone)", "SAFARI", "Mobile"),
    ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36", "Android", "CHROME", "Mobile"),
)  # fmt: skip
_SCRIPT = ("python-requests/2.32.4", "Unknown", "UNKNOWN", "Unknown")

_THINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "AppInstance": ("0oa", ("Ledger", "Payroll", "Data Lake", "Wiki", "Ticket Desk", "Chat", "VPN Gateway")),
    "AuthServer": ("aus", ("default", "partners")),
    "AuthenticatorEnrollment": ("lae", ("Password", "Okta Verify", "Security Key", "Phone")),
    "AuthenticatorConfig": ("aut", ("Okta Verify", "Security Key", "Email", "Phone")),
    "Device": ("guo", ("Build machine", "Reception tablet", "Field laptop", "Loan phone")),
    "IdentityProvider": ("0oi", ("Partner SAML", "Campus OIDC", "Social sign-in")),
    "OAuthClient": ("0oc", ("Reporting service", "Deployment bot", "Provisioning service")),
    "PolicyEntity": ("00p", ("Default sign-on policy", "Contractors", "Finance apps", "Device assurance")),
    "PolicyRule": ("0pr", ("Require MFA", "Block unknown networks", "Catch-all")),
    "Role": ("cr0", ("Help desk", "Auditor", "Group owner")),
    "Setting": ("set", ("Mail server", "Custom domain", "Session protection")),
    "Token": ("00T", ("ci-pipeline", "hr-sync", "reporting")),
    "UserGroup": ("00g", ("Everyone", "Sales", "Finance", "Engineering", "Contractors", "Help Desk", "Admins")),
}  # fmt: skip


def entity(
    entity_id: str, kind: str, name: str, *, alternate_id: str = "unknown", detail: Any = None
) -> dict[str, Any]:
    """Build an `actor` or an element of `target`."""
    return {"id": entity_id, "type": kind, "alternateId": alternate_id, "displayName": name, "detailEntry": detail}


def hop(ip: Any, place: dict[str, Any] | None) -> dict[str, Any]:
    """Build an element of `request.ipChain` for a client at the address `ip`. `place` is the client's location; None if
    unknown."""
    version = "V6" if ":" in str(ip) else "V4"
    return {"ip": ip, "geographicalContext": place, "version": version, "source": None}


SYSTEM = entity("00usystem0principal0", "SystemPrincipal", "Okta System", alternate_id="system@okta.com")
"""The actor of background jobs."""


class ClientNetwork(msgspec.Struct, frozen=True):
    """The network of a client."""

    ip: str
    place: dict[str, Any]
    as_number: int
    isp: str
    proxy: bool


class FixtureUser(msgspec.Struct, frozen=True):
    """A user of the org, with their usual client and network."""

    id: str
    name: str
    login: str
    agent: Agent
    network: ClientNetwork

    def entity(self) -> dict[str, Any]:
        """Build the person as the actor or a target of an event."""
        return entity(self.id, "User", self.name, alternate_id=self.login)


def okta_id(prefix: str, random: Random) -> str:
    """Draw an id in Okta's form: 20 characters. The prefix stands for the kind of object."""
    return prefix + "".join(random.choices(_ID_ALPHABET, k=20 - len(prefix)))


class Fixtures:
    """The people, apps, groups and other objects of one org; the same seed gives the same fixtures."""

    def __init__(self, random: Random) -> None:
        self._random = random
        names = [f"{first} {last}" for first in _FIRST for last in _LAST]
        self.people = [self._person(name, number) for number, name in enumerate(random.sample(names, 60))]
        self.admins = self.people[:5]
        self._things = {
            kind: [self._thing(kind, prefix, name) for name in names] for kind, (prefix, names) in _THINGS.items()
        }

    def person(self) -> FixtureUser:
        """Draw a person."""
        return self._random.choice(self.people)

    def admin(self) -> FixtureUser:
        """Draw a person who is an admin."""
        return self._random.choice(self.admins)

    def target(self, kind: str, person: FixtureUser) -> dict[str, Any]:
        """Return a target of the kind `kind`: `person` for `User` and `AppUser`, otherwise an object drawn at random.
        The caller may modify the result."""
        if kind == "User":
            return person.entity()
        if kind == "AppUser":
            return person.entity() | {"id": okta_id("0ua", self._random), "type": "AppUser"}
        return self.thing(kind)

    def thing(self, kind: str) -> dict[str, Any]:
        """Draw a target of the kind `kind` at random. `kind` must not be `User` or `AppUser`. The caller may modify the
        result."""
        return dict(self._random.choice(self._things[kind]))

    def things(self, kind: str) -> list[dict[str, Any]]:
        """Return all targets of the kind `kind`. `kind` must not be `User` or `AppUser`."""
        return [dict(thing) for thing in self._things[kind]]

    def impostor(self) -> tuple[ClientNetwork, Agent]:
        """Draw the network and client of an attacker who acts as another person."""
        network = self._network("198.51.100.", proxy=self._random.random() < 0.6)
        return network, self._random.choice((*_AGENTS, _SCRIPT))

    def _person(self, name: str, number: int) -> FixtureUser:
        return FixtureUser(
            id=okta_id("00u", self._random),
            name=name,
            login=f"user{number:02d}@example.{'org' if number % 7 == 0 else 'com'}",
            agent=self._random.choice(_AGENTS),
            network=self._network("2001:db8:" if number % 6 == 0 else self._random.choice(_IPV4)),
        )

    def _thing(self, kind: str, prefix: str, name: str) -> dict[str, Any]:
        alternate_id = name if kind in {"AppInstance", "OAuthClient"} else "unknown"
        detail = {"signOnModeType": "SAML_2_0"} if kind == "AppInstance" else None
        return entity(okta_id(prefix, self._random), kind, name, alternate_id=alternate_id, detail=detail)

    def _network(self, prefix: str, *, proxy: bool = False) -> ClientNetwork:
        random = self._random
        *address, lat, lon = random.choice(_PLACES)
        if ":" in prefix:
            ip = f"{prefix}{random.randrange(1, 1 << 16):x}::{random.randrange(1, 1 << 16):x}"
        else:
            ip = f"{prefix}{random.randrange(1, 255)}"
        number = random.randrange(64496, 64512)
        place = dict(zip(("city", "state", "country", "postalCode"), address, strict=True))
        location = {"geolocation": {"lat": lat, "lon": lon}}
        return ClientNetwork(ip, place | location, number, f"example network {number - 64495}", proxy)
