"""Decides which events the rules skip because a prompt of the forwarder caused the events.

If a user denies our prompt, Okta writes an event that looks like one more attack on the user's factors. The rule that
led to the prompt would count this event. So the rules skip the user's events about factors while a prompt waits for an
answer, and for two minutes after the end of the prompt. Only the time of an event (`published`) decides whether the
rules skip the event. So the rules find the same matches in any order of the events, and after a restart.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from forwarder import logs
from forwarder.core.action import Action, ActionState, ActionStore, EffectKind, Outcome
from forwarder.core.errors import StoreFormatError
from forwarder.core.event import Event
from forwarder.core.time import SECOND, Micros
from forwarder.react.prompts.results import LONGEST, Reply

FACTOR_EVENTS = ("user.authentication.auth_via_mfa", "system.push.", "user.mfa.", "device.custom_push.")
"""Event types about factors: the first is a whole name, the others are the beginnings of names."""

AFTER = 120 * SECOND
"""How long after the end of a prompt the rules still skip the user's factor events."""

_BEFORE = 60 * SECOND
"""How far our clock may be ahead of Okta's: the start of a prompt is timed by our clock, the events by Okta's."""

_logger = logs.get("rules")

_KEPT = 8 * 86_400 * SECOND
_MOST = 10_000

_User = tuple[str, str]
_Span = tuple[Micros, Micros | None]


def is_factor_event(event_type: str) -> bool:
    """Whether events of this type are about a factor."""
    name = event_type.lower()
    return name == FACTOR_EVENTS[0] or name.startswith(FACTOR_EVENTS[1:])


class Muted:
    """For each user, the time spans in which the rules skip events about factors."""

    def __init__(self) -> None:
        self._spans: dict[_User, dict[str, _Span]] = {}

    def restore(self, actions: Iterable[Action]) -> None:
        """Remember the prompts in `actions`, which were loaded from the store."""
        for action in actions:
            self.note(action)

    async def load(self, store: ActionStore, since: Micros) -> None:
        """Remember the prompts in `store` that are open or changed at `since` or later.

        If a stored prompt is damaged, log an error and remember no prompt, so that the rules can still run.

        Raises:
            StoreError: the store cannot be read now.
        """
        try:
            self.restore(await store.load_actions(since))
        except StoreFormatError as error:
            text = "the prompts in the store cannot be read, so the rules count the events that prompts cause"
            _logger.error(text, action="rules_not_muted", error=str(error))  # noqa: TRY400  # no bug of ours

    def note(self, action: Action) -> None:
        """Remember the time span in which the prompt `action` makes the rules skip events. Call this method before the
        prompt is sent, and after each change of its state. Actions other than prompts are ignored."""
        if action.kind is not EffectKind.PROMPT:
            return
        user = action.org, action.target.id
        span = _span(action)
        spans = self._spans.setdefault(user, {})
        if span is None:
            spans.pop(action.key, None)
        else:
            spans[action.key] = span
        if not spans:
            del self._spans[user]
        if len(self._spans) > _MOST and action.called_at is not None:
            self._forget(action.called_at - _KEPT)

    def covers(self, event: Event, raw: Mapping[str, Any]) -> bool:
        """Whether the rules skip `event`; `raw` is its decoded body."""
        if not self._spans or not is_factor_event(event.event_type):
            return False
        at = event.published
        return any(
            start <= at and (end is None or at <= end)
            for user in _users(raw)
            for start, end in self._spans.get((event.org, user), {}).values()
        )

    def _forget(self, before: Micros) -> None:
        for user, spans in list(self._spans.items()):
            for key, (_, end) in list(spans.items()):
                if end is not None and end < before:
                    del spans[key]
            if not spans:
                del self._spans[user]


def _span(action: Action) -> _Span | None:
    """Return the start and the end of the time span in which the prompt `action` makes the rules skip events. The end
    is None while the prompt waits for an answer. If the prompt was not sent, or not sent yet, return None."""
    if action.called_at is None or action.state in {ActionState.PLANNED, ActionState.WAITING}:
        return None
    start = action.called_at - _BEFORE
    if action.state is not ActionState.ENDED:
        return start, None
    if action.answer == Reply.UNREACHABLE or action.outcome in {Outcome.REFUSED, Outcome.FAILED}:
        return None
    ended = action.seen_at or action.called_at
    if action.answer not in {Reply.APPROVED, Reply.DENIED, Reply.TIMEOUT}:
        ended = max(ended, action.called_at + LONGEST)  # the user may still be able to answer
    return start, ended + AFTER


def _users(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of an event's actor and targets."""
    targets = raw.get("target")
    for one in (raw.get("actor"), *(targets if isinstance(targets, list) else ())):
        if isinstance(one, dict) and isinstance(found := one.get("id"), str):
            yield found
