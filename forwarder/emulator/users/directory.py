"""The users of the emulated org: their status, sessions and risk, by Okta's rules."""

import re
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, iso
from forwarder.emulator.actors import Actor, Caller, Report
from forwarder.emulator.events.fixtures import Fixtures, entity, okta_id
from forwarder.emulator.http.errors import invalid, not_found
from forwarder.emulator.users.factors import PUSH, TOTP, Factor, factor_of

_RISKS = ("LOW", "MEDIUM", "HIGH")
_REASON = re.compile(r"[a-zA-Z0-9\s\-,.]{0,500}")
_DEFAULT_REASON = "Admin override risk"  # as in recordings of Okta's API

_STATUSES = (
    "STAGED", "PROVISIONED", "ACTIVE", "RECOVERY", "PASSWORD_EXPIRED", "LOCKED_OUT", "SUSPENDED", "DEPROVISIONED",
)  # fmt: skip

_STEPS = {
    "suspend": ({"ACTIVE"}, "SUSPENDED", "user.lifecycle.suspend"),
    "unsuspend": ({"SUSPENDED"}, "ACTIVE", "user.lifecycle.unsuspend"),
    "expire_password": ({"ACTIVE", "PASSWORD_EXPIRED"}, "PASSWORD_EXPIRED", "user.account.expire_password"),
}
"""For each life-cycle operation: the statuses that allow the operation, the new status, and the type of the
event."""


class EmulatedUser(Actor, msgspec.Struct):
    """A user.

    Attributes:
        status: one of Okta's statuses, such as SUSPENDED.
        refresh_tokens: number of the user's refresh tokens that apps hold.
        risk: level and reason; None if the user does not have a risk.
        roles: standard admin roles by Okta's names, such as HELP_DESK_ADMIN.
        factors: the factors that the user has enrolled. New users have Okta Verify's push and one-time codes.
    """

    id: str
    login: str
    name: str
    created: Micros
    status_changed: Micros
    status: str = "ACTIVE"
    sessions: int = 1
    refresh_tokens: int = 1
    risk: tuple[str, str] | None = None
    roles: tuple[str, ...] = ()
    factors: list[Factor] = msgspec.field(default_factory=list)

    def entity(self) -> dict[str, Any]:
        """Build the user as the target of an event."""
        return entity(self.id, "User", self.name, alternate_id=self.login)

    def actor(self) -> dict[str, Any]:
        """Build the user as the actor of an event."""
        return self.entity()

    def view(self, org_url: str) -> dict[str, Any]:
        """Return the user as the API shows it."""
        created, changed = iso(self.created, "milliseconds"), iso(self.status_changed, "milliseconds")
        first, _, last = self.name.partition(" ")
        profile = {"firstName": first, "lastName": last, "login": self.login, "email": self.login}
        return {
            "id": self.id,
            "status": self.status,
            "created": created,
            "activated": created,
            "statusChanged": changed,
            "lastLogin": created,
            "lastUpdated": changed,
            "passwordChanged": created,
            "type": {"id": f"oty{self.id[3:]}"},
            "profile": profile | {"mobilePhone": None, "secondEmail": None},
            "credentials": {"password": {}, "provider": {"type": "OKTA", "name": "OKTA"}},
            "_links": {"self": {"href": f"{org_url}/api/v1/users/{self.id}"}},
        }


class UserDirectory:
    """The users of an org: the people of its events, and the admin who made its API token.

    Methods raise OktaApiError where Okta would refuse the call.
    """

    def __init__(self, fixtures: Fixtures, owner_id: str, clock: Clock, random: Random, report: Report) -> None:
        """Args: `owner_id` is the id of the admin who made the API token. `report` writes an event about each
        change."""
        self._clock = clock
        self._random = random
        self._report = report
        now = clock.now()
        self.owner = EmulatedUser(owner_id, "admin@example.com", "Ada Admin", now, now, roles=("SUPER_ADMIN",))
        self._users = {owner_id: self.owner}
        for person in fixtures.people:
            roles = ("HELP_DESK_ADMIN",) if person in fixtures.admins else ()
            self._users[person.id] = EmulatedUser(person.id, person.login, person.name, now, now, roles=roles)
        for user in self._users.values():
            user.factors = [factor_of(user.id, PUSH), factor_of(user.id, TOTP)]

    def all(self) -> Sequence[EmulatedUser]:
        """Return every user."""
        return tuple(self._users.values())

    def find(self, key: str) -> EmulatedUser:
        """Return the user with this id or login. Upper and lower case of the login do not matter."""
        if user := self._users.get(key):
            return user
        for user in self._users.values():
            if user.login.casefold() == key.casefold():
                return user
        raise not_found(f"{key} (User)")

    def in_path(self, key: str) -> EmulatedUser:
        """Return the user that `key`, a part of a URL path, names. `key` is an id, a login, the part of a
        login before the `@`, or `me`, which is the admin who made the API token.
        """
        if key == "me":
            return self.owner
        short = key.casefold()
        found = [user for user in self.all() if user.login.partition("@")[0].casefold() == short]
        return found[0] if len(found) == 1 and key not in self._users else self.find(key)

    def create(self, login: str, name: str) -> EmulatedUser:
        """Add a user, who is ACTIVE."""
        if not login or any(user.login.casefold() == login.casefold() for user in self.all()):
            raise invalid("login", "login: An object with this field already exists, or the field is empty.")
        now = self._clock.now()
        user = EmulatedUser(okta_id("00u", self._random), login, name or login.partition("@")[0], now, now)
        user.factors = [factor_of(user.id, PUSH), factor_of(user.id, TOTP)]
        self._users[user.id] = user
        return user

    def delete(self, user: EmulatedUser) -> None:
        """Delete a user, without an event."""
        del self._users[user.id]

    def set_status(self, user: EmulatedUser, status: str) -> None:
        """Set the status of a user, whatever the old status is. Write no event."""
        if status not in _STATUSES:
            raise invalid("status", f"status: must be one of {', '.join(_STATUSES)}")
        if user.status != status:
            user.status, user.status_changed = status, self._clock.now()

    def step(self, user: EmulatedUser, step: str, caller: Caller) -> None:
        """Carry out the life-cycle operation `step`, such as `suspend`, and write its event."""
        if step not in _STEPS:
            raise not_found(f"{step} (lifecycle operation)")
        allowed, status, event_type = _STEPS[step]
        if user.status not in allowed:
            raise invalid("user", f"Cannot {step.replace('_', ' ')} a user whose status is {user.status.lower()}.")
        self.set_status(user, status)
        if step == "suspend":
            user.sessions = 0
        self._report(event_type, caller, target=[user.entity()])

    def revoke(
        self, user: EmulatedUser, caller: Caller, *, tokens: bool, event_type: str = "user.session.clear"
    ) -> None:
        """End the user's sessions. If `tokens` is true, also revoke the user's refresh tokens that apps hold.
        Each call writes an event, even if nothing changes."""
        user.sessions = 0
        if tokens:
            user.refresh_tokens = 0
        self._report(event_type, caller, target=[user.entity()])

    def set_risk(self, user: EmulatedUser, level: object, reason: object, caller: Caller) -> bool:
        """Set the risk of a user. Return whether the user had no risk before."""
        if level not in _RISKS:
            raise invalid("riskLevel", f"riskLevel: must be one of {', '.join(_RISKS)}")
        if reason is not None and (not isinstance(reason, str) or not _REASON.fullmatch(reason)):
            raise invalid("riskReason", "riskReason: must match ^[a-zA-Z0-9\\s\\-,.]*$ and have at most 500 characters")
        is_new = user.risk is None
        user.risk = (str(level), reason or _DEFAULT_REASON)
        self._report("user.risk.change", caller, target=[user.entity()])
        return is_new

    def receive_risk(self, user: EmulatedUser, level: str, by: Actor) -> None:
        """Set the risk level that a provider of security events reports. The levels `secure` and `none`
        remove the risk."""
        known = level.upper() in _RISKS
        user.risk = (level.upper(), "Security events provider reported") if known else None
        self._report("user.risk.change", by, target=[user.entity()])
