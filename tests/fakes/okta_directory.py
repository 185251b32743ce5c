"""An org's users, groups and roles behind `react.ports.Okta`, whose answers a test can spoil one by one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from forwarder.react.ports import Answer, OktaCall

_PATH = re.compile(r"/api/v1/(users|groups)/([^/?]+)(?:/(groups|roles))?(?:\?after=(\d+))?")
_PAGE = 2

NOT_FOUND = Answer(404, {"errorCode": "E0000007"}, code="E0000007", text="Not found: Resource not found")


@dataclass
class OktaDirectory:
    """The directory, and every call that it was asked.

    Attributes:
        users: login by id.
        groups: name by id.
        members: ids of users by the id of the group.
        user_roles, group_roles: types of admin roles by id.
        log: uuids of the events that the System Log has; `events` says what some of them are.
        spoil: what it returns is answered instead of the truth; None is the truth.
    """

    users: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    user_roles: dict[str, list[str]] = field(default_factory=dict)
    group_roles: dict[str, list[str]] = field(default_factory=dict)
    log: set[str] = field(default_factory=set)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    spoil: Callable[[str], Answer | None] = lambda _: None
    calls: list[str] = field(default_factory=list)
    has_api: bool = True

    def org(self, name: str) -> OktaCall | None:
        return self if self.has_api else None

    async def ready(self, method: str, path: str) -> None:
        """The rate limit allows everything."""

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        assert (method, body) == ("GET", None)
        self.calls.append(path)
        return self.spoil(path) or self._truth(path, query or {})

    def _truth(self, path: str, query: Mapping[str, str]) -> Answer:
        if path == "/api/v1/logs":
            asked = re.findall(r'uuid eq "([^"]*)"', query["filter"])
            return Answer(200, [self.events.get(uuid, {"uuid": uuid}) for uuid in asked if uuid in self.log])
        if path == "/api/v1/groups":
            found = [one for one in self.groups if self.groups[one].casefold().startswith(query["q"].casefold())]
            return Answer(200, [self._group(one) for one in found])
        match = _PATH.fullmatch(path)
        assert match, path
        kind, key, part, after = match.groups()
        if kind == "users":
            key = next((one for one in self.users if key in {one, self.users[one], "me"}), key)
        if key not in (self.users if kind == "users" else self.groups):
            return NOT_FOUND
        if part is None:
            return Answer(200, self._user(key) if kind == "users" else self._group(key))
        if part == "roles":
            roles = [(role, "USER") for role in self.user_roles.get(key, [])]
            roles += [
                (role, "GROUP")
                for group, found in self.group_roles.items()
                for role in found
                if key in self.members.get(group, ())
            ]
            return Answer(200, [{"type": role, "assignmentType": kind} for role, kind in roles])
        start = int(after or 0)
        groups = [one for one in self.groups if key in self.members.get(one, ())]
        more = len(groups) > start + _PAGE
        link = f"https://acme.okta.com/api/v1/users/{key}/groups?after={start + _PAGE}"
        body = [self._group(one) for one in groups[start : start + _PAGE]]
        return Answer(200, body, links={"next": link} if more else {})

    def _user(self, key: str) -> dict[str, Any]:
        return {"id": key, "status": "ACTIVE", "profile": {"login": self.users[key], "email": self.users[key]}}

    def _group(self, key: str) -> dict[str, Any]:
        return {"id": key, "type": "OKTA_GROUP", "profile": {"name": self.groups[key], "description": None}}
