"""Sends at most one POST for each prompt, and polls for the answer no faster than Okta allows.

The interval between polls is stored in the handle of the prompt, and is also kept in memory. The interval in memory may
be newer.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from forwarder.core.action import Action, ActionRequest
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Okta
from forwarder.react.prompts.ciba import Ciba
from forwarder.react.prompts.id_token import IdTokens
from forwarder.react.prompts.oauth import AuthorizationServer, CibaApp
from forwarder.react.prompts.push import Push
from forwarder.react.prompts.results import Handle, Ids, PollResult, PromptProgress, Reply

_SLOWER = 5.0
"""The number of seconds that each response `slow_down` of Okta adds to the interval between polls."""

_ROUNDING = 0.001  # seconds: due times are rounded to microseconds, the monotonic clock is not

_GRACE = 120 * SECOND
"""How long a prompt is still polled after it should have expired, if Okta does not say how it ended."""


class _Out(msgspec.Struct):
    """A prompt that this process has sent or polled, and that waits for an answer.

    Attributes:
        next: the earliest time of the next poll, in seconds of the monotonic clock.
        is_polled: whether a poll is running.
    """

    handle: Handle
    next: float
    is_polled: bool = False


class Prompts:
    """Sends and polls the prompts of all orgs. No method raises an exception for an error of Okta."""

    def __init__(self, okta: Okta, ciba: Mapping[str, CibaApp], clock: Clock) -> None:
        """Prepare to ask users: by push through the APIs of `okta`, and by CIBA through the app that `ciba` has for the
        user's org."""
        self._okta = okta
        self._clock = clock
        self._servers = {org: AuthorizationServer(app, clock) for org, app in ciba.items()}
        self._tokens = {org: IdTokens(server, clock) for org, server in self._servers.items()}
        self._out: dict[str, _Out] = {}

    async def prepare(self, action: Action) -> PromptProgress | ActionRequest:
        way = self._way(action)
        return PromptProgress(failed=True, detail=way) if isinstance(way, str) else await way.prepare(action)

    async def send(self, action: Action) -> PromptProgress:
        """Ask the user with at most one POST. The caller must already have stored `action` in the state CALLING,
        together with its request."""
        way = self._way(action)
        if isinstance(way, str) or action.request is None:
            text = way if isinstance(way, str) else "the store has no request for this prompt"
            return PromptProgress(failed=True, detail=text)
        result = await way.send(action, action.request)
        if isinstance(result, PromptProgress):
            return result
        self._out[action.key] = out = _Out(result, self._clock.monotonic() + result.interval)
        return self._waiting(out)

    async def poll(self, action: Action) -> PromptProgress:
        """Poll once for the user's answer, and return the progress. If it is too early for the next poll, or if a poll
        is running, send nothing."""
        way, handle = self._way(action), _read(action.handle)
        if isinstance(way, str) or handle is None:
            text = way if isinstance(way, str) else "the store does not have the id of the prompt"
            return PromptProgress(Reply.UNKNOWN, detail=f"the user's answer cannot be fetched any more: {text}")
        out = self._out.get(action.key)
        if out is None:
            # After a restart, the last response is not known: it may have been `slow_down`, or the answer.
            slower = _SLOWER if isinstance(way, Ciba) else 0.0
            handle = replace(handle, interval=handle.interval + slower, is_unsure=True)
            self._out[action.key] = out = _Out(handle, self._clock.monotonic() + handle.interval)
        if out.is_polled or self._clock.monotonic() < out.next - _ROUNDING:
            return self._waiting(out)
        # A second call during this poll must come back later; `_judged` then sets the real time of the next poll.
        out.is_polled, out.next = True, self._clock.monotonic() + out.handle.interval
        try:
            look = await way.look(out.handle, action.target.id)
        except BaseException:
            del self._out[action.key]  # the next poll begins as after a restart
            raise
        out.is_polled = False
        return self._judged(action.key, out, look)

    async def cancel(self, action: Action) -> None:
        """Withdraw the prompt `action` if it is a push; a CIBA prompt cannot be withdrawn. The stored state of the
        prompt does not change: the user may have answered already, and the next poll shows whether this is so."""
        way, handle = self._way(action), _read(action.handle)
        if not isinstance(way, str) and handle is not None:
            await way.withdraw(handle)

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()

    def _judged(self, key: str, out: _Out, look: PollResult) -> PromptProgress:
        """Return the PromptProgress for `look`, the result of a poll, and set the time of the next poll."""
        ids = Ids(request_id=look.request_id, error_id=look.error_id)
        answer, detail, handle, now = look.answer, look.detail, out.handle, self._clock.now()
        if look.is_spent:
            # Okta sends the tokens of an approval only once: a response that was lost may have been the approval.
            answer = Reply.UNKNOWN if handle.is_unsure else Reply.TIMEOUT
            detail = "Okta no longer knows the prompt, and the response to a poll was lost" if handle.is_unsure else ""
        elif answer is None and now >= handle.expires + _GRACE:
            answer = Reply.TIMEOUT if look.is_pending else Reply.UNKNOWN
            detail = detail or "Okta did not end the prompt in time"
        if answer is not None:
            del self._out[key]
            return PromptProgress(answer, detail=detail, **ids)
        interval = handle.interval + (_SLOWER if look.is_slower else 0.0)
        is_unsure = (handle.is_unsure or look.is_lost) and not look.is_pending
        out.handle = replace(handle, interval=interval, is_unsure=is_unsure)
        wait = interval if look.retry_at is None else max(interval, (look.retry_at - now) / SECOND)
        out.next = self._clock.monotonic() + wait
        return replace(self._waiting(out), detail=detail, request_id=look.request_id, error_id=look.error_id)

    def _waiting(self, out: _Out) -> PromptProgress:
        left = max(0.0, out.next - self._clock.monotonic())
        due: Micros = self._clock.now() + round(left * SECOND)
        return PromptProgress(handle=msgspec.json.encode(out.handle).decode(), due=due)

    def _way(self, action: Action) -> Push | Ciba | str:
        """Return the object that can ask the user of the prompt `action`, by push or by CIBA; if the user cannot be
        asked, return a text that says why."""
        org, by = action.org, action.settings.get("by")
        api = self._okta.org(org)
        if api is None:
            return f"orgs.{org}.api is not configured any more"
        if by == "push":
            return Push(api, self._clock)
        if by != "ciba" or org not in self._servers:
            return f"the rule asks by {by}, and reactions.ciba is not configured for {org} any more"
        return Ciba(api, self._servers[org], self._tokens[org], self._clock)


def _read(handle: str) -> Handle | None:
    try:
        return msgspec.json.decode(handle, type=Handle)
    except msgspec.DecodeError:
        return None
