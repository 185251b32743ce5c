"""The actions that call Okta's API. The table shows, for each action: the look-up of its target, the call, and the call
that undoes the action.

| action | look-up | call | undone by |
|---|---|---|---|
| `revoke_sessions` | none | `DELETE /users/{u}/sessions?oauthTokens=true` | none |
| `universal_logout` | none | `POST /oauth2/v1/global-token-revocation` | none |
| `expire_password` | the user's status | `POST /users/{u}/lifecycle/expire_password` | none |
| `suspend` | the user's status | `POST /users/{u}/lifecycle/suspend` | `…/unsuspend` |
| `user_risk` | the user's risk | `PUT /users/{u}/risk` | none |
| `add_to_group` | the user's groups | `PUT /groups/{g}/users/{u}` | `DELETE` of the same path |

`notify`, `risk_event`, `block_ip` and `prompt` are in other files.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from forwarder.core.action import Action, ActionRequest, Outcome
from forwarder.react.ports import Answer, Okta, OktaCall, Seen, unreadable

NO_API = Answer(
    0,
    text="the org has no `api` in the configuration any more; configure it, or remove the action from `reactions.on`",
    code="no_api",
    sent=False,
)
_REASON = re.compile(r"[^a-zA-Z0-9 \-,.]+")  # what Okta refuses in `riskReason`
_MOST_REASON = 500
_MOST_PAGES = 50


class Act(ABC):
    """The implementation of one action.

    By default, the target is not looked up, and the call is sent in any state of the target, because a second call does
    no harm. By default, the action cannot be undone.
    """

    outcome = Outcome.DONE
    """The outcome of the action if its call is answered with a 2xx."""

    async def look(self, action: Action) -> Seen:  # noqa: ARG002
        """Return the current state of the action's target, and whether the target already has the effect of the
        action."""
        return Seen(Answer(200))

    @abstractmethod
    def request(self, action: Action, seen: Seen) -> ActionRequest:
        """Return the request that carries out the action; `seen` is the last known state of the target."""

    @abstractmethod
    async def call(self, action: Action, request: ActionRequest) -> Answer:
        """Send `request` once, and return the answer."""

    def undo_request(self, action: Action, seen: Seen) -> ActionRequest:
        """Return the request that undoes the action."""
        raise NotImplementedError(action.name)

    def is_ours(self, action: Action, seen: Seen) -> bool:  # noqa: ARG002
        """Whether the target, as `seen` shows it, is still in the state that the action set."""
        return False


class OktaAct(Act):
    """Base class for the actions that change a user in Okta by one call of the org's API."""

    def __init__(self, okta: Okta) -> None:
        self._okta = okta

    async def call(self, action: Action, request: ActionRequest) -> Answer:
        api = self._okta.org(action.org)
        if api is None:
            return NO_API
        return await api.call(request.method, request.path, body=request.body)

    async def _get(self, action: Action, path: str, is_right: Callable[[Any], bool]) -> Answer:
        """Send a GET. If the status is 2xx, but `is_right` returns False for the body, return an answer that counts as
        no response, because the body says nothing about the target."""
        api: OktaCall | None = self._okta.org(action.org)
        if api is None:
            return NO_API
        answer = await api.call("GET", path)
        if answer.ok and not is_right(answer.body):
            return unreadable(answer, f"GET {path.partition('?')[0]}")
        return answer


class RevokeSessions(OktaAct):
    """Ends the user's sessions, and revokes the tokens of apps."""

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        return ActionRequest(action.org, "DELETE", f"{_user(action)}/sessions?oauthTokens=true")


class UniversalLogout(OktaAct):
    """Signs the user out of every app that takes part in Universal Logout."""

    outcome = Outcome.ACCEPTED

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        body = {"sub_id": {"format": "opaque", "id": action.target.id}}
        return ActionRequest(action.org, "POST", "/oauth2/v1/global-token-revocation", body)


class _Status(OktaAct):
    """Base class for the actions that change the status of a user."""

    step: str
    status: str

    async def look(self, action: Action) -> Seen:
        """Return the user's status, and the time of its last change."""
        answer = await self._get(action, _user(action), _has_text("status"))
        if not answer.ok:
            return Seen(answer)
        state = {key: answer.body.get(key) for key in ("status", "statusChanged")}
        return Seen(answer, state, is_so=state["status"] == self.status)

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        return ActionRequest(action.org, "POST", f"{_user(action)}/lifecycle/{self.step}")


class ExpirePassword(_Status):
    """Makes the user set a new password at the next sign-in."""

    step, status = "expire_password", "PASSWORD_EXPIRED"


class Suspend(_Status):
    """Keeps the user from signing in."""

    step, status = "suspend", "SUSPENDED"

    def undo_request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        return ActionRequest(action.org, "POST", f"{_user(action)}/lifecycle/unsuspend")

    def is_ours(self, action: Action, seen: Seen) -> bool:
        """Whether the user is suspended, and the user's status has not changed since our call. If an admin has changed
        the status since, the forwarder must not undo that change."""
        if not isinstance(seen.state, Mapping) or seen.state.get("status") != self.status:
            return False
        made = action.after if isinstance(action.after, Mapping) else {}
        # If the target was not looked up after the call, only the status can be compared.
        return not made.get("statusChanged") or made["statusChanged"] == seen.state.get("statusChanged")


class UserRisk(OktaAct):
    """Sets the user's risk. The org's policies decide what happens to a user with this risk. The action cannot be
    undone."""

    async def look(self, action: Action) -> Seen:
        """Return the user's risk. If Okta answers 404, the risk is NONE."""
        answer = await self._get(action, f"{_user(action)}/risk", lambda body: isinstance(body, Mapping))
        if not answer.ok and answer.status != 404:
            return Seen(answer)
        level = answer.body.get("riskLevel", "NONE") if answer.ok else "NONE"
        return Seen(Answer(200), {"riskLevel": level}, is_so=level == self._level(action))

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        """Return the request that sets the risk. The reason in the request has the action's id and the rule's title,
        without the characters that Okta refuses."""
        reason = _REASON.sub(" ", f"okta-forwarder {action.id}, {action.title}").strip()[:_MOST_REASON]
        body = {"riskLevel": self._level(action), "riskReason": reason}
        return ActionRequest(action.org, "PUT", f"{_user(action)}/risk", body)

    @staticmethod
    def _level(action: Action) -> str:
        return str(action.settings.get("level", "high")).upper()


class AddToGroup(OktaAct):
    """Puts the user into a group for which the org has stricter policies."""

    def __init__(self, okta: Okta, *, spares_admins: bool = True) -> None:
        """Call the APIs of `okta`. With `spares_admins`, refuse a group that gives its members an admin role."""
        super().__init__(okta)
        self._spares_admins = spares_admins

    async def look(self, action: Action) -> Seen:
        """Return whether the user is a member of the group. The action's setting `group` is the id or the exact name of
        the group."""
        found = await self._group_id(action)
        if isinstance(found, Answer):
            return Seen(found)
        path = f"{_user(action)}/groups"
        for _ in range(_MOST_PAGES):
            answer = await self._get(action, path, _is_list)
            if not answer.ok:
                return Seen(answer)
            member = any(each.get("id") == found for each in answer.body)
            path = answer.links.get("next", "")
            if member or not path:
                return Seen(answer, {"group": found, "member": member}, is_so=member)
        text = f"the list of the user's groups has not ended after {_MOST_PAGES} pages; check whether a proxy answers in place of Okta"
        return Seen(Answer(0, text=text, request_id=answer.request_id))

    def request(self, action: Action, seen: Seen) -> ActionRequest:
        return self._membership(action, seen, "PUT")

    def undo_request(self, action: Action, seen: Seen) -> ActionRequest:
        return self._membership(action, seen, "DELETE")

    def is_ours(self, action: Action, seen: Seen) -> bool:  # noqa: ARG002
        """Whether the user is still a member of the group. Okta does not say who added the user, so every membership
        counts as added by the forwarder."""
        return bool(seen.is_so)

    def _membership(self, action: Action, seen: Seen, method: str) -> ActionRequest:
        return ActionRequest(
            action.org, method, f"/api/v1/groups/{_id(seen.state['group'])}/users/{_id(action.target.id)}"
        )

    async def _group_id(self, action: Action) -> str | Answer:
        """Return the id of the group; if the group cannot be found or used, return an answer that says why. If an
        earlier look-up found the id, return that id, so that the undo changes the group that the action changed."""
        before = action.before if isinstance(action.before, Mapping) else {}
        if before.get("group"):
            return str(before["group"])
        wanted = str(action.settings["group"])
        path = f"/api/v1/groups?q={quote(wanted, safe='')}&limit=1000"
        answer = await self._get(action, path, lambda body: _is_list(body) and all(map(_is_group, body)))
        if not answer.ok:
            return answer
        named = [each for each in answer.body if each["profile"].get("name") == wanted]
        if not named:
            direct = await self._get(action, f"/api/v1/groups/{_id(wanted)}", _is_group)
            if not direct.ok and direct.status not in {400, 404}:
                return direct
            named = [direct.body] if direct.ok else []
        if len(named) == 1 and named[0].get("type") == "OKTA_GROUP":
            return await self._without_roles(action, wanted, str(named[0]["id"]))
        if len(named) == 1:
            what = f"is of type {named[0].get('type')}; name a group of type OKTA_GROUP"
        else:
            what = "does not exist" if not named else "is one of several with this name; write its id"
        return Answer(404, code="group", text=f"the group {wanted!r} {what}")

    async def _without_roles(self, action: Action, name: str, group: str) -> str | Answer:
        """Return the id `group`. If the group gives its members an admin role, return an answer that refuses the group,
        because our call must not make a suspicious user an administrator."""
        if not self._spares_admins:
            return group
        answer = await self._get(action, f"/api/v1/groups/{_id(group)}/roles", _is_list)
        if not answer.ok:
            return answer
        if not answer.body:
            return group
        text = (
            f"members of the group {name!r} have an admin role; remove the role from the group, or name another group"
        )
        return Answer(404, code="group", text=text)


def _has_text(key: str) -> Callable[[Any], bool]:
    return lambda body: isinstance(body, Mapping) and isinstance(body.get(key), str)


def _is_list(body: Any) -> bool:
    return isinstance(body, list) and all(isinstance(each, Mapping) for each in body)


def _is_group(body: Any) -> bool:
    return _has_text("id")(body) and isinstance(body.get("profile"), Mapping)


def _user(action: Action) -> str:
    return f"/api/v1/users/{_id(action.target.id)}"


def _id(text: str) -> str:
    """Return an id, quoted for a URL path, so that a malformed id cannot lead to another path."""
    return quote(text, safe="")
