"""Looks up users in Okta: their login, their groups, and their admin roles."""

import asyncio
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from forwarder.core.errors import ForwarderError
from forwarder.core.time import SECOND, Micros
from forwarder.core.urls import split_url
from forwarder.react.ports import Answer, Okta, OktaCall
from forwarder.react.settings.limits import ProtectSettings

AGE: Micros = 60 * SECOND
"""The largest age of the result of a look-up that is still used."""

_MOST_PAGES = 50
_MOST_KEPT = 10_000
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")

T = TypeVar("T")


class LookUpError(ForwarderError):
    """A look-up of a user or a group failed. `answer` is Okta's answer, if Okta answered. `is_unknown` is true if the
    user or the group does not exist."""

    def __init__(self, text: str, answer: Answer | None = None, *, is_unknown: bool = False) -> None:
        super().__init__(text)
        self.answer = answer or Answer(200)
        self.is_unknown = is_unknown


class Person(msgspec.Struct, frozen=True):
    """A user, with the data that Okta had at the time `at`.

    Attributes:
        groups: id and name of each group; None if groups were not looked up.
        roles: names of the admin roles, including those that a group gives; None if roles were not looked up.
        at: when the look-up began.
    """

    id: str
    login: str
    groups: Sequence[tuple[str, str]] | None
    roles: Sequence[str] | None
    at: Micros


def folded(text: str) -> str:
    """Return a form of a name that is used only to compare names. The forms of two names are equal if the names differ
    only in case, in invisible characters, or in Unicode variants of a character, such as a full-width letter."""
    visible = "".join(char for char in text if unicodedata.category(char) not in {"Cf", "Cc"})
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).strip()


def why_protected(person: Person, protect: ProtectSettings) -> str:
    """Return a text for an operator that says why `protect` protects the user `person`; empty if the user is not
    protected.

    Raises:
        LookUpError: the groups or roles of `person` were not read, and the answer depends on them.
    """
    users = {folded(name) for name in protect.users}
    if {folded(person.id), folded(person.login)} & users:
        return "reactions.protect.users names the user"
    if protect.groups:
        names = {folded(name) for name in protect.groups}
        for group_id, name in _known(person.groups):
            if {folded(group_id), folded(name)} & names:
                return f"the user is in the group {name!r} of reactions.protect.groups"
    if protect.admins and (roles := _known(person.roles)):
        return f"the user has the admin role {roles[0]}, and reactions.protect.admins is on"
    return ""


class Directory:
    """Looks up users in Okta, and caches the result for each user."""

    def __init__(self, okta: Okta) -> None:
        self._okta = okta
        self._people: dict[tuple[str, str], Person] = {}
        self._unknown: dict[tuple[str, str], tuple[Micros, LookUpError]] = {}  # since when, the oldest first
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def person(self, org: str, user_id: str, protect: ProtectSettings, now: Micros, since: Micros) -> Person:
        """Return the user, with the groups and roles if a check of `protect` needs them. The data were looked up at the
        time `since` or later.

        Raises:
            LookUpError: the look-up failed.
        """
        key = org, user_id
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # several actions about one user share one look-up
            kept = self._people.get(key)
            if kept is None or kept.at < since or not _suffices(kept, protect):
                at, unknown = self._unknown.get(key, (0, None))
                if unknown is not None and at >= since:
                    raise unknown
                try:
                    kept = await self._look(org, user_id, protect, now)
                except LookUpError as error:
                    if error.is_unknown:
                        _keep(self._unknown, key, (now, error))
                    raise
                _keep(self._people, key, kept)
            return kept

    def strangers(self, org: str, now: Micros) -> int:
        """Return the number of user ids that were looked up in the org within the last period `AGE`, but do not exist
        there. Many unknown ids are a sign of forged events."""
        while self._unknown and (oldest := next(iter(self._unknown))) and self._unknown[oldest][0] <= now - AGE:
            del self._unknown[oldest]
        return sum(one == org for one, _ in self._unknown)

    async def unknown_groups(self, org: str, names: Sequence[str]) -> list[str]:
        """Return the elements of `names` for which the org has no group. An element is the id or the name of a group.

        Raises:
            LookUpError: the look-up failed.
        """
        api = self._api(org)
        unknown = []
        for name in names:
            found = await _pages(api, "/api/v1/groups", {"q": name, "limit": "200"})
            known = any(folded(name) in {folded(one), folded(title)} for one, title in map(_group, found))
            if not known and not (_ID.fullmatch(name) and await _exists(api, f"/api/v1/groups/{name}")):
                unknown.append(name)
        return unknown

    async def _look(self, org: str, user_id: str, protect: ProtectSettings, now: Micros) -> Person:
        api = self._api(org)
        if not _ID.fullmatch(user_id):
            raise LookUpError(f"{user_id!r} is not an id of Okta", is_unknown=True)
        path = f"/api/v1/users/{user_id}"
        user = (await _ask(api, path)).body
        profile = user.get("profile") if isinstance(user, Mapping) else None
        login = profile.get("login") if isinstance(profile, Mapping) else None
        if not isinstance(user, Mapping) or not isinstance(login, str) or not login:
            raise LookUpError(f"Okta's answer to GET {path} has no login")
        if user.get("id") != user_id:
            # Okta also finds users by login, by a short name and by `me`, but the event must have an id.
            raise LookUpError(
                f"Okta answered the look-up of user {user_id} with another user, {user.get('id')}", is_unknown=True
            )
        groups = roles = None
        if protect.groups:
            groups = [_group(one) for one in await _pages(api, f"{path}/groups", {"limit": "200"})]
        if protect.admins:  # the list has roles that a group gives too; their `assignmentType` is GROUP
            roles = [_role(one) for one in await _pages(api, f"{path}/roles")]
        return Person(user_id, login, groups, roles, now)

    def _api(self, org: str) -> OktaCall:
        api = self._okta.org(org)
        if api is None:
            raise LookUpError(f"the user cannot be looked up: set orgs.{org}.api")
        return api


async def _ask(api: OktaCall, path: str, query: Mapping[str, str] | None = None) -> Answer:
    await api.ready("GET", path.partition("?")[0])
    answer = await api.call("GET", path, query=query)
    if not answer.ok:
        is_unknown = answer.status == 404
        text = answer.text or f"GET {path} was answered with status {answer.status}"
        raise LookUpError(text, answer, is_unknown=is_unknown)
    return answer


async def _pages(api: OktaCall, path: str, query: Mapping[str, str] | None = None) -> list[Mapping[str, Any]]:
    """Return all elements of a list, from all of its pages."""
    found: list[Mapping[str, Any]] = []
    following = path
    for _ in range(_MOST_PAGES):
        try:
            answer = await _ask(api, following, query)
        except LookUpError as error:
            error.is_unknown = False  # a list that is missing does not mean that its user is unknown
            raise
        if not isinstance(answer.body, list) or not all(isinstance(one, Mapping) for one in answer.body):
            raise LookUpError(f"Okta's answer to GET {path} is not a list")
        found += answer.body
        if not (link := answer.links.get("next")):
            return found
        parts = split_url(link)
        following, query = parts.path + (f"?{parts.query}" if parts.query else ""), None
    raise LookUpError(f"GET {path} has more than {_MOST_PAGES} pages; check whether a proxy answers in place of Okta")


async def _exists(api: OktaCall, path: str) -> bool:
    try:
        await _ask(api, path)
    except LookUpError as error:
        if error.is_unknown:
            return False
        raise
    return True


def _group(found: Mapping[str, Any]) -> tuple[str, str]:
    profile = found.get("profile")
    name = profile.get("name") if isinstance(profile, Mapping) else None
    if not isinstance(found.get("id"), str) or not isinstance(name, str):
        raise LookUpError("Okta's answer has a group without id or name")
    return found["id"], name


def _role(found: Mapping[str, Any]) -> str:
    """Return the name of the admin role `found`; `unnamed` if the role has no name."""
    return str(found.get("label") or found.get("type") or found.get("role") or "unnamed")


def _suffices(person: Person, protect: ProtectSettings) -> bool:
    """Whether the look-up of `person` included the groups and roles that a check of `protect` needs."""
    groups, roles = person.groups is not None, person.roles is not None
    return (groups or not protect.groups) and (roles or not protect.admins)


def _known(found: Sequence[T] | None) -> Sequence[T]:
    if found is None:
        raise LookUpError("the look-up is incomplete")
    return found


def _keep(kept: dict[tuple[str, str], T], key: tuple[str, str], value: T) -> None:
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]
