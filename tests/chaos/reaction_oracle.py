"""What must hold of reactions whatever happens: the org's record of its calls, compared with the rows of the store."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from forwarder.core.action import Action, EffectKind, End, Outcome, Reason
from forwarder.core.time import SECOND, Micros

ACTIONS = {
    "PUT group": "add_to_group",
    "DELETE group": "add_to_group",
    "suspend": "suspend",
    "unsuspend": "suspend",
    "sessions": "revoke_sessions",
    "verify": "prompt",
    "cancel": "prompt",
}
"""By the call that an action makes, its name."""

UNDOES = {"DELETE group", "unsuspend", "cancel"}
"""Calls that end what another one began."""

_PATIENCE = 45 * SECOND  # for a call without an answer

_SPARED = {Reason.PROTECTED, Reason.APPROVAL}
"""Why nothing is done on a spared target; while many actions wait for a human, one over a limit is not even looked up."""

_MINUTE = timedelta(minutes=1)

_PAIRS = (("add_to_group", "PUT group", "DELETE group"), ("suspend", "suspend", "unsuspend"))


class Course(msgspec.Struct):
    """What was done to a forwarder beside its kills.

    Attributes:
        seed: of the course.
        users: their ids, by login.
        spared: the ids of those on whom nothing may be done.
        held: by id, the time since when the user is held.
        paused: the times within which `suspend` was paused.
        limits: by name, how many a limit lets through in a time that is longer than the course.
    """

    seed: int
    users: Mapping[str, str]
    spared: frozenset[str]
    limits: Mapping[str, int]
    held: dict[str, datetime] = {}
    paused: list[tuple[datetime, datetime]] = []


class Called(msgspec.Struct, frozen=True):
    """A call as the org recorded it."""

    at: datetime
    user: str
    what: str
    status: int
    effect: bool


def called(call: Mapping[str, Any]) -> Called | None:
    """Read a recorded call; None if it is about a hook."""
    parts = call["path"].partition("?")[0].split("/")
    if parts[3] == "eventHooks":
        return None
    if parts[3] == "groups":
        what, user = f"{call['method']} group", parts[6]
    else:
        what, user = "cancel" if parts[-2] == "transactions" else parts[-1], parts[4]
    return Called(datetime.fromisoformat(call["at"]), user, what, call["status"], call["effect"])


def check(course: Course, actions: Sequence[Action], recorded: Sequence[Mapping[str, Any]]) -> None:
    """Fail if a promise was broken. `actions` are all rows of the store, of which none is open; `recorded` is what
    `GET /emulator/calls` shows."""
    calls = [found for call in recorded if (found := called(call)) is not None]
    _guarded(course, calls)
    _by_rows(course, actions, calls)
    _limited(course, actions)
    _undone(course, actions, calls)


def _guarded(course: Course, calls: Sequence[Called]) -> None:
    """No call on a target on which nothing may be done, and none of a paused action."""
    assert not {call.user for call in calls} & course.spared, course.seed
    for call in calls:
        if call.what in UNDOES:
            continue
        since = course.held.get(call.user)
        assert since is None or call.at <= since, (course.seed, call)
        if call.what == "suspend":
            assert not any(start <= call.at <= end for start, end in course.paused), (course.seed, call)


def _by_rows(course: Course, actions: Sequence[Action], calls: Sequence[Called]) -> None:
    """No call without a row, no effect twice, and as many effects as the rows say."""
    effects = Counter((call.user, call.what) for call in calls if call.effect)
    # A prompt that was answered 429 was not sent, so its row says that it was never called, and may end like that.
    rows = {(one.target.id, one.name) for one in actions}
    made = {(one.target.id, one.name) for one in actions if one.called_at}
    for call in calls:
        unsent = call.what == "verify" and call.status == 429
        assert (call.user, ACTIONS[call.what]) in (rows if unsent else made), (course.seed, call)
    for user in set(course.users.values()) - course.spared:
        mine = [one for one in actions if one.target.id == user]
        for name, does, undoes in _PAIRS:
            done = [one for one in mine if one.name == name and one.outcome is Outcome.DONE]
            told = (course.seed, user, name, effects[user, does], effects[user, undoes], done)
            assert effects[user, does] == effects[user, undoes] == len(done), told
        asked = [one for one in mine if one.name == "prompt" and one.called_at]
        answered = [one for one in asked if one.answer in {"approved", "denied", "timeout"}]
        assert len(answered) <= effects[user, "verify"] <= len(asked), (course.seed, user, asked)
    for action in actions:
        if action.target.id in course.spared:
            assert action.outcome is Outcome.REFUSED, (course.seed, action)
            paused = action.name == "suspend" and _near(course.paused, action.planned_at)
            assert action.reason in _SPARED or (action.reason is Reason.PAUSED and paused), (course.seed, action)


def _near(times: Sequence[tuple[datetime, datetime]], at: Micros) -> bool:
    """Whether `at` is within one of `times`, or up to a minute around it: a planned action is judged again and again."""
    moment = datetime.fromtimestamp(at / SECOND, tz=UTC)
    return any(start - _MINUTE <= moment <= end + _MINUTE for start, end in times)


def _limited(course: Course, actions: Sequence[Action]) -> None:
    acted = [one for one in actions if one.called_at is not None]
    by_rule: dict[str, set[str]] = {}
    for one in acted:
        by_rule.setdefault(one.rule, set()).add(one.alert)
    assert all(len(alerts) <= course.limits["per_rule"] for alerts in by_rule.values()), course.seed
    kinds = Counter(one.kind.value for one in acted)
    assert all(count <= course.limits[kind] for kind, count in kinds.items()), (course.seed, kinds)
    prompts = [one for one in acted if one.kind is EffectKind.PROMPT and one.answer != "unreachable"]
    asked = Counter(one.target.id for one in prompts)
    assert all(count <= course.limits["prompt_per_user"] for count in asked.values()), (course.seed, asked)


def _undone(course: Course, actions: Sequence[Action], calls: Sequence[Called]) -> None:
    """Every effect was undone within a minute of its end, or of the last try that the org refused or did not answer."""
    undoes = {name: undo for name, _, undo in _PAIRS}
    for action in actions:
        if action.kind is EffectKind.TIMED and action.outcome is Outcome.DONE:
            assert action.end is End.UNDONE, (course.seed, action)
            tries = [call for call in calls if (call.user, call.what) == (action.target.id, undoes[action.name])]
            failed = [_over(call) for call in tries if not 200 <= call.status < 300]
            undone = action.undone_at or 0
            since = max([action.undo_due or 0, *(at for at in failed if at < undone)])
            assert undone - since <= 60 * SECOND, (course.seed, action, tries)


def _over(call: Called) -> Micros:
    """Return when the forwarder has given up on a call that failed."""
    return round(call.at.timestamp() * SECOND) + (0 if call.status else _PATIENCE)
