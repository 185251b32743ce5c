"""Finds out which actions would have followed past alerts in mode `enforce`. A rehearsal uses the planning and the
guards of the running forwarder, but sends no calls.

A rehearsal does not ask Okta. So it assumes that:

- every event was real
- every call succeeds immediately
- no user answers a prompt
- no human approves or undoes an action

`NOT_JUDGED` names the guards that could have decided differently.
"""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from forwarder.core.action import Action, ActionState, Claim, EffectKind, Outcome, Waits
from forwarder.core.event import Event
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.in_memory import ActionsInMemory, horizon_of
from forwarder.react.guards.guards import MANY_USERS, Guards
from forwarder.react.guards.judgement import Decision, Judgement
from forwarder.react.guards.pauses import Pauses
from forwarder.react.plan import Plans
from forwarder.react.ports import Answer, Seen
from forwarder.react.prompts.results import LONGEST
from forwarder.react.settings.guards import GuardSettings

NOT_JUDGED: Mapping[str, str] = {
    "protected": "members of protected groups and holders of admin roles",
    "state": "targets that others had changed in the same way already",
    "hold": "actions that a human undid",
    "unconfirmed": "events that the System Log does not have",
    "paused": "pauses",
}
"""The guards that a rehearsal cannot apply, because they need Okta or a human. Each value says what the guard looks at."""

_MOST_ADDRESSES = 200_000

T = TypeVar("T")


class RehearsedAction(msgspec.Struct, frozen=True):
    """What would have happened to one action.

    Attributes:
        rule, title: id and title of the alert's rule.
        alert: uuid of the alert.
        target: the id of the user, the address, or the uuid of the alert; empty if the action has no target.
        name: the user's login in the alert.
        verdict: `call`, `ask` (a human must approve), `no_op` (the action would change nothing) or `refuse`.
        reason: the name of the guard that decided; empty for `call`.
    """

    rule: str
    title: str
    alert: str
    action: str
    target: str
    name: str
    verdict: str
    reason: str
    at: Micros


class Rehearsal:
    """Finds out which actions would have followed past alerts. The caller passes the events and alerts in the order of
    the store."""

    def __init__(self, plans: Plans, settings: GuardSettings) -> None:
        """Use `plans` and `settings` for the rehearsal. They must be those of the running forwarder, except for the
        mode: the mode must be the one to rehearse."""
        without_okta = settings.protect.model_copy(update={"groups": (), "admins": False})
        settings = msgspec.structs.replace(settings, protect=without_okta, confirm=frozenset())
        self._would: list[RehearsedAction] = []
        self._plans = plans
        self._now: Micros = 0
        self._memory = ActionsInMemory(horizon_of(settings.limits.values()))
        self._past = past = _Past(self._memory)
        self._guards = Guards(settings, past, past.look, past, self._memory, pauses=Pauses, now=lambda: self._now)

    def event(self, event: Event, raw: Mapping[str, Any]) -> None:
        """Record the IP address from which the user of `event` came."""
        self._past.note(event, raw)

    def alert(self, alert: Event, at: Micros) -> list[RehearsedAction]:
        """Plan the actions for an alert that was stored at the time `at`, and let the guards decide about them. Return
        all decisions since the last call of `alert` or `finish`. `at` must not be earlier than in the last call."""
        self._go_on(at)
        for action in self._plans.plan(alert, at):
            self._memory.put(action)
            if action.is_open:
                self._judge(action)
            else:
                self._note(action, "refuse", str(action.reason or ""))
        return self._taken()

    def finish(self, at: Micros) -> list[RehearsedAction]:
        """Process the actions that become due until the time `at`. Return all decisions since the last call of `alert`
        or `finish`."""
        self._go_on(at)
        return self._taken()

    def _taken(self) -> list[RehearsedAction]:
        taken, self._would = self._would, []
        return taken

    # The steps of the engine, without its calls

    def _go_on(self, at: Micros) -> None:
        """Process the actions that become due until the time `at`: effects end, prompts time out, and the guards decide
        again about waiting actions."""
        while (due := self._memory.next_due()) is not None and due <= at:
            self._now = max(self._now, due)
            for action in self._memory.due(due):
                found = self._memory.get(action.key)
                if found is not None and found.due is not None and found.due <= due:
                    self._work(found)
        self._now = max(self._now, at)

    def _work(self, action: Action) -> None:
        if action.state is ActionState.WAITING:
            self._judge(action)
        else:
            answer = "timeout" if action.kind is EffectKind.PROMPT else action.answer
            ended = {"state": ActionState.ENDED, "due": None, "undone_at": self._now, "answer": answer}
            self._put(action, **ended)
            if action.kind is EffectKind.PROMPT:
                self._follow(action, answer)

    def _judge(self, action: Action) -> None:
        self._past.login = action.target.name or action.target.id
        found = _result(self._guards.judge(action, self._now))
        if found.verdict is Decision.WAIT and found.waits_for is not Waits.APPROVAL:
            self._put(
                action, state=ActionState.WAITING, waits_for=found.waits_for, reason=found.reason, due=found.until
            )
        elif found.verdict is Decision.GO:
            self._call(action)
        else:
            self._end(action, found)

    def _call(self, action: Action) -> None:
        self._past.did(action)
        done: dict[str, Any] = {
            "outcome": Outcome.DONE,
            "called_at": self._now,
            "seen_at": self._now,
            "waits_for": None,
            "reason": None,
        }
        if action.kind is EffectKind.TIMED:
            until = self._now + round(action.settings["for"] * SECOND)
            self._put(action, state=ActionState.LIVE, undo_due=until, due=until, **done)
        elif action.kind is EffectKind.PROMPT:
            self._put(action, state=ActionState.PROMPTING, due=self._now + LONGEST, **done)
        else:
            self._put(action, state=ActionState.ENDED, due=None, **done)
        self._note(action, "call", "")

    def _end(self, action: Action, found: Judgement) -> None:
        verdicts = {Decision.WAIT: "ask", Decision.NO_OP: "no_op", Decision.REFUSE: "refuse"}
        self._put(action, state=ActionState.ENDED, outcome=Outcome.REFUSED, reason=found.reason, due=None)
        live = self._memory.get(found.moves) if found.moves else None
        if live is not None:
            until = self._now + round(action.settings["for"] * SECOND)
            if until > (live.undo_due or 0):
                self._put(live, undo_due=until, due=until)
        self._note(action, verdicts[found.verdict], str(found.reason or ""))

    def _follow(self, prompt: Action, answer: str) -> None:
        for action in self._plans.answered(prompt, answer, self._now):
            self._memory.put(action)
            if action.is_open:
                self._judge(action)

    def _put(self, action: Action, **changes: Any) -> None:
        self._memory.put(msgspec.structs.replace(action, **changes))

    def _note(self, action: Action, verdict: str, reason: str) -> None:
        target = action.target
        self._would.append(
            RehearsedAction(
                action.rule,
                action.title,
                action.alert,
                action.name,
                target.id,
                target.name if target.kind == "user" else "",
                verdict,
                reason,
                self._now,
            )
        )


class _Past:
    """Takes the place of Okta and the store when the guards ask for data. The answers depend on the events and actions
    of the rehearsal so far."""

    def __init__(self, memory: ActionsInMemory) -> None:
        self._memory = memory
        self.login = ""  # of the user whose action is judged
        self._risks: dict[tuple[str, str], str] = {}
        self._expired: set[tuple[str, str]] = set()
        self._addresses: dict[tuple[str, str], dict[str, Micros]] = {}

    def did(self, action: Action) -> None:
        """Record the effect of `action` if the effect is never undone: the user's risk, or the expired password."""
        user = action.org, action.target.id
        if action.name == "user_risk":
            self._risks[user] = action.settings["level"]
        elif action.name == "expire_password":
            self._expired.add(user)

    def note(self, event: Event, raw: Mapping[str, Any]) -> None:
        """If `event` is a successful event of a user, record the IP address from which the user came. The store does
        the same."""
        actor, client, outcome = (raw.get(key) for key in ("actor", "client", "outcome"))
        if not (isinstance(actor, dict) and isinstance(client, dict) and isinstance(outcome, dict)):
            return
        user, address = actor.get("id"), client.get("ipAddress")
        if actor.get("type") != "User" or outcome.get("result") not in ("SUCCESS", "ALLOW"):
            return
        if isinstance(user, str) and isinstance(address, str):
            users = self._addresses.setdefault((event.org, address), {})
            users[user] = max(event.published, users.pop(user, 0))
            if len(users) > MANY_USERS:
                del users[min(users, key=users.__getitem__)]
            if len(self._addresses) > _MOST_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]

    def org(self, name: str) -> "_Past":  # noqa: ARG002
        """Return this object, which takes the place of the org's API."""
        return self

    async def ready(self, method: str, path: str) -> None:
        """Return immediately: a rehearsal has no rate limit."""

    async def call(
        self,
        method: str,  # noqa: ARG002
        path: str,
        *,
        query: Mapping[str, str] | None = None,  # noqa: ARG002
        body: Any = None,  # noqa: ARG002
    ) -> Answer:
        """Return, for any call, a user whose login is the login in the alert."""
        return Answer(200, {"id": path.rpartition("/")[2], "profile": {"login": self.login}})

    async def look(self, action: Action) -> Seen:
        """Return the state of the target of `action` after the earlier actions of the rehearsal."""
        user = action.org, action.target.id
        so = self._memory.live(action) is not None
        if action.name == "user_risk":
            so = self._risks.get(user) == action.settings["level"]
        elif action.name == "expire_password":
            so = user in self._expired
        return Seen(Answer(200), is_so=so)

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        """Return the number of users who came from the IP address `address` at the time `since` or later; at most
        `MANY_USERS`."""
        return sum(at >= since for at in self._addresses.get((org, address), {}).values())

    async def claims(self, org: str, uuids: Sequence[str]) -> dict[str, Claim]:  # noqa: ARG002
        """Report that the System Log has all events `uuids`: a rehearsal assumes that every event was real."""
        return {uuid: Claim(logged=True) for uuid in uuids}


def _result(judging: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine `judging`, and return its result. The coroutine must never have to wait: in a rehearsal,
    everything that the guards await returns immediately."""
    try:
        judging.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError(
        "a check before an action waited in a rehearsal, where no check may wait. This is a bug: please report it"
    )
