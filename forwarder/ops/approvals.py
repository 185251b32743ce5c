"""The page on which a person approves or refuses an action, and the routes for the data of the page and for the
decision.

    GET  /approve/ID        the page; the page contains no data, and a GET changes nothing
    GET  /api/reactions/ID  the action, and a token for one decision about this action
    POST /approve/ID        {"token": …, "given": true}: the decision; false refuses the action

A GET never decides, because a program that shows a preview of a message fetches the links in the message. Each GET of
/api/reactions/ID needs the right to read, and returns a new token if the action waits for approval. A token is valid
for one decision about one action. Tokens are kept in memory only, so a restart of the forwarder makes them invalid.
"""

import hmac
import secrets
from typing import Any, Protocol

import msgspec
from litestar import MediaType, Response, get, post
from litestar.params import FromPath

from forwarder.core.errors import ForwarderError
from forwarder.core.ports import Clock
from forwarder.core.redaction import redact_all
from forwarder.core.time import SECOND, Micros
from forwarder.ops.access import Access
from forwarder.ops.api import AnyRequest, Handlers, json_response
from forwarder.ops.page_files import page_response
from forwarder.ops.request_parameters import read_body

_MOST_TOKENS = 1_000
_LIFE: Micros = 15 * 60 * SECOND
"""The time for which a token is valid. After this time, a person must load the page again to decide."""


class Approvals(Protocol):
    """The interface through which the ops listener shows an action and passes on a person's decision."""

    def shown(self, id_: str) -> dict[str, Any] | None:
        """Return the action with the id `id_` as a JSON object; None if the action has ended or does not exist."""

    async def decide(self, id_: str, by: str, *, given: bool) -> dict[str, Any]:
        """Approve the action with the id `id_` if `given` is True, else refuse the action. Return the changed action as
        a JSON object.

        `by` is the name of the person who decided.

        Raises:
            ForwarderError: the action does not wait for approval.
        """


class _Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    given: bool


class OneTimeTokens:
    """The valid tokens. Each token allows one decision about one action, for 15 minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, tuple[str, Micros]] = {}  # token -> the action's id, and when the token expires

    def mint(self, action: str) -> str:
        """Return a new token for the action with the key `action`. Only the newest 1,000 tokens stay valid."""
        while len(self._tokens) >= _MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        token = secrets.token_urlsafe(24)
        self._tokens[token] = (action, self._clock.now() + _LIFE)
        return token

    def use(self, token: str, action: str) -> bool:
        """Return whether `token` is valid for the action with the key `action`. If it is valid, make it invalid,
        because a token allows only one decision."""
        found = next((each for each in self._tokens if hmac.compare_digest(each.encode(), token.encode())), None)
        if found is None or self._tokens[found][0] != action:
            return False  # a token of another action stays valid for that action
        return self._tokens.pop(found)[1] > self._clock.now()


def approval_routes(approvals: Approvals, access: Access, clock: Clock) -> Handlers:
    """Return the routes for the page, for the data of the page and for the decision."""
    tokens = OneTimeTokens(clock)

    @get("/approve/{action:str}", media_type=MediaType.HTML)
    async def page(request: AnyRequest, action: FromPath[str]) -> Response[str]:  # noqa: ARG001
        return page_response(request, "approve.html")

    @get("/api/reactions/{action:str}")
    async def shown(action: FromPath[str]) -> Response[bytes]:
        found = approvals.shown(action)
        if found is None:
            return json_response({"error": _GONE}, 404)
        once = tokens.mint(found["key"]) if found.get("waits_for") == "approval" else None
        return json_response({"action": redact_all(found), "token": once})

    @post("/approve/{action:str}", status_code=200)
    async def decide(request: AnyRequest, action: FromPath[str]) -> Response[bytes]:
        decision = read_body(
            await request.body(), _Decision, "the body of the request is not a decision about an action"
        )
        found = approvals.shown(action)
        if found is None:
            return json_response({"error": _GONE}, 404)
        if not tokens.use(decision.token, found["key"]):
            return json_response(
                {"error": "the token was used, expired, or is for another action; load the page again"}, 409
            )
        try:
            done = await approvals.decide(found["key"], access.person(request.scope), given=decision.given)
        except ForwarderError as error:
            return json_response({"error": str(error)}, 409)
        return json_response({"action": redact_all(done)})

    return [page, shown, decide]


_GONE = "no action with this id is open; `forwarder reactions show ID` also shows an action that has ended"
