"""The factors of a user, as the Factors API shows them."""

from typing import Any

import msgspec

from forwarder.core.time import Micros, iso

PUSH = "push"
TOTP = "token:software:totp"

_PREFIXES = {PUSH: "opf", TOTP: "ost"}


class Factor(msgspec.Struct):
    """A factor.

    Attributes:
        type: Okta's `factorType`.
        status: one of Okta's statuses; a push can be sent only to an ACTIVE factor.
        suspended: whether the factor's device is suspended. A push cannot be sent to a suspended factor, but the API
            lists a suspended factor as ACTIVE. (Okta does not document how its API lists suspended factors.)
    """

    id: str
    type: str
    status: str = "ACTIVE"
    suspended: bool = False

    def profile(self, login: str) -> dict[str, Any]:
        """Return the profile as the API shows it."""
        if self.type != PUSH:
            return {"credentialId": login}
        return {
            "credentialId": login,
            "deviceType": "SmartPhone_IPhone",
            "name": "iPhone",
            "platform": "IOS",
            "version": "18.5",
        }

    def view(self, user_url: str, login: str, created: Micros) -> dict[str, Any]:
        """Return the factor as the API shows it."""
        url, moment = f"{user_url}/factors/{self.id}", iso(created, "milliseconds")
        links = {
            "self": {"href": url, "hints": {"allow": ["GET", "DELETE"]}},
            "user": {"href": user_url, "hints": {"allow": ["GET"]}},
        }
        if self.status == "ACTIVE":
            links["verify"] = {"href": f"{url}/verify", "hints": {"allow": ["POST"]}}
        return {
            "id": self.id,
            "factorType": self.type,
            "provider": "OKTA",
            "vendorName": "OKTA",
            "status": self.status,
            "created": moment,
            "lastUpdated": moment,
            "profile": self.profile(login),
            "_links": links,
        }


def factor_of(user_id: str, kind: str, *, status: str = "ACTIVE", suspended: bool = False) -> Factor:
    """Build a user's factor of type `kind`. A user can have one factor of each type."""
    prefix = _PREFIXES.get(kind, "fac")
    return Factor(prefix + user_id[3:], kind, status, suspended)
