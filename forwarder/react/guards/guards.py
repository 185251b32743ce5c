"""The guards decide whether an action may be carried out now. They run right before the action's request is stored and sent.

| guard | stops | verdict |
|---|---|---|
| `off` | everything, in mode `off` | refuse |
| `paused` | what an operator paused | refuse |
| `late` | actions about an old event, not approved in time, or of the kind `quiet` and tried for a day | refuse |
| `own` | actions about events that the forwarder itself caused | refuse |
| `protected` | actions on users who are protected, or whose look-up failed | refuse |
| `address` | blocking of anything but one public address, or of an address that many users come from | refuse |
| `state` | actions on a target that already has the effect | no_op |
| `live` | actions whose effect is already live because of an earlier action | no_op; the earlier effect is prolonged |
| `hold` | actions on a target, if a human undid an effect on it in the last 24 hours | refuse |
| `unconfirmed` | timed actions and prompts about an event that the System Log does not have (yet) | wait |
| `limit` | actions that exceed a limit | wait for a human |
| `approval` | actions that a human must approve | wait for a human |
| `shadow` | the call, in mode `shadow` | shadow |

The first guard that returns a judgement decides. `core.action.Reason` has the names of the guards in this order.
"""

from collections.abc import Awaitable, Callable

import msgspec

from forwarder.core.action import Action, ActionState, ClaimReader, EffectKind, Reason, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.in_memory import DAY, ActionsInMemory
from forwarder.react.guards.approval import ask, asks
from forwarder.react.guards.blockable_addresses import why_not_blocked
from forwarder.react.guards.confirmation import Confirmation
from forwarder.react.guards.deadlines import why_late
from forwarder.react.guards.directory import AGE, Directory, LookUpError, why_protected
from forwarder.react.guards.judgement import DELAY, Case, Decision, Judgement, refuse, repeat, time_of, wait
from forwarder.react.guards.own_events import why_own
from forwarder.react.guards.pauses import Pauses
from forwarder.react.guards.prompt_limits import LIMIT_OF, reached_limit
from forwarder.react.ports import Okta, Seen
from forwarder.react.settings.guards import GuardSettings

AGE_AFTER_A_WAIT: Micros = 10 * SECOND
"""How old the look-up of a user may be if the action has waited: the user may have become protected meanwhile."""

LOOK_UP_RETRY_TIME: Micros = 30 * SECOND
"""How long a failed look-up of a user is repeated before the action is refused. This limit does not apply after a 429."""

MANY_USERS = 5
"""An address that this many users came from in a week is probably shared, for example by an office."""

_SLOWEST: Micros = 60 * SECOND  # the longest pause between two queries for an event
_FLOOD = 20  # a flood: this many actions that wait for a human, or this many users whom Okta does not know
_MOST_CHECKED = 20  # users with live effects looked up in a round: three calls each, of a shared rate limit
_MOST_FAILING = 10_000  # actions

Guard = Callable[[Case], Awaitable[Judgement | None]]


class Guards:
    """The guards of all orgs, made from one configuration. They decide whether an action may be carried out now."""

    def __init__(  # noqa: PLR0913  # everything that the guards look at
        self,
        settings: GuardSettings,
        okta: Okta,
        look: Callable[[Action], Awaitable[Seen]],
        store: ClaimReader,
        memory: ActionsInMemory,
        *,
        pauses: Callable[[], Pauses],
        now: Callable[[], Micros],
    ) -> None:
        """Make the guards for `settings`. A reload of the configuration makes new guards, and passes on `memory` and
        `pauses`. `look` must return the current state of an action's target."""
        self.directory = Directory(okta)
        self._settings = settings
        self._fresh: Micros = round(settings.fresh * SECOND)
        self._look = look
        self._store = store
        self._memory = memory
        self._pauses = pauses
        self._now = now
        self._confirmation = Confirmation(okta, store)
        self._failing: dict[str, Micros] = {}  # by the action's key: since when its user cannot be looked up
        self._checked: dict[str, Micros] = {}  # by the key of a live effect: when its user was looked up
        event = (self._off, self._paused, self._late, self._own)
        target = (self._protected, self._address, self._state, self._live, self._hold, self._unconfirmed)
        # The guards above wait for answers, so these guards check again what may have changed meanwhile. From here on,
        # nothing is awaited until the action is claimed.
        again = (self._look_at_the_clock, self._off, self._paused, self._late, self._live, self._hold)
        last = (self._move, self._limit, self._approval, self._shadow)
        self._order: tuple[Guard, ...] = (
            *event,
            self._flooded,
            self._still_unconfirmed,
            self._strange,
            *target,
            *again,
            *last,
        )

    async def judge(self, action: Action, now: Micros) -> Judgement:
        """Decide whether `action` may be carried out now.

        The decisions GO and SHADOW claim the action in memory (see `ActionsInMemory.claim`), except SHADOW with the
        reason `limit`. The claim lasts until one of these methods is called for the action: `judge`,
        `ActionsInMemory.put` or `ActionsInMemory.release`.

        Raises:
            StoreError: the store cannot be read.
        """
        case = Case(action, now, self._settings.ceiling(action))
        acts = False
        try:
            judgement = await self._first(case)
            acts = judgement.verdict in {Decision.GO, Decision.SHADOW} and judgement.reason is not Reason.LIMIT
        finally:
            if acts:
                self._memory.claim(action, case.now, shadow=case.in_shadow)
            else:
                self._memory.release(action.key)
        if judgement.waits_for is not Waits.RETRY:
            self._failing.pop(action.key, None)
        if judgement.verdict is Decision.WAIT:
            # Otherwise, an action whose `until` has passed would be judged again without a pause.
            soon = self._now() + SECOND
            judgement = msgspec.structs.replace(judgement, until=max(judgement.until or 0, soon))
        return msgspec.structs.replace(judgement, before=case.seen.state) if case.seen else judgement

    async def _first(self, case: Case) -> Judgement:
        """Run the guards in order, and return the first judgement; if no guard returns a judgement, return GO."""
        for guard in self._order:
            if (judgement := await guard(case)) is not None:
                return judgement
        return Judgement(Decision.GO)

    async def newly_protected(self) -> list[Action]:
        """Return the actions with a live effect on a user or an address that has become protected. Look up at most
        `_MOST_CHECKED` users: those whose last look-up was longest ago. If the look-up of a user fails, the actions on
        this user are not returned."""
        now = self._now()
        effects = self._memory.effects()
        found = [one for one in effects if one.target.kind == "ip" and self._why_not_blocked(one)]
        on_users = [one for one in effects if one.target.kind == "user"]
        self._checked = {one.key: self._checked.get(one.key, 0) for one in on_users}
        for effect in sorted(on_users, key=lambda one: self._checked[one.key])[:_MOST_CHECKED]:
            self._checked[effect.key] = now
            try:
                if await self._why_protected(effect, now, now - AGE):
                    found.append(effect)
            except LookUpError:
                continue
        return found

    # The guards, in their order

    async def _off(self, case: Case) -> Judgement | None:
        if case.mode != "off":
            return None
        return refuse(
            Reason.OFF,
            "reactions.mode is off, or no entry of reactions.on that is not off lists this action for the rule any more",
        )

    async def _paused(self, case: Case) -> Judgement | None:
        pause = self._pauses().find(case.action, case.now)
        if pause is None:
            return None
        command = f"forwarder reactions resume {pause.scope}".strip()
        return refuse(Reason.PAUSED, f"{pause.text}, because {pause.why}; end it with: {command}")

    async def _late(self, case: Case) -> Judgement | None:
        return why_late(case, self._settings.fresh)

    async def _look_at_the_clock(self, case: Case) -> None:
        """Update `case.now`, because the look-ups so far may have taken minutes. This guard never stops an action."""
        case.now = self._now()

    async def _own(self, case: Case) -> Judgement | None:
        why = why_own(case.action, self._settings.own.get(case.action.org, frozenset()), self._memory)
        return refuse(Reason.OWN, why) if why else None

    async def _flooded(self, case: Case) -> Judgement | None:
        """If many actions already wait for a human, check the limits before the user is looked up, because a flood of
        alerts must not use up Okta's rate limit. The user is looked up after a human has approved the action."""
        if self._memory.count_waiting(Waits.APPROVAL) < _FLOOD or case.is_pending or case.in_shadow:
            return None
        return await self._limit(case) if case.action.kind is not EffectKind.PROMPT else None

    async def _still_unconfirmed(self, case: Case) -> Judgement | None:
        """If the action waits until the System Log has the events of its alert, check the events before the user is
        looked up, because a flood of forged events must cause no look-ups."""
        return await self._unconfirmed(case) if case.action.waits_for is Waits.CONFIRMATION else None

    async def _strange(self, case: Case) -> Judgement | None:
        """If alerts name many users whom Okta does not know, check the events of the alert before the user is looked
        up. Events with unknown users are probably forged, and many look-ups would delay genuine actions and undos for
        minutes."""
        action = case.action
        if action.target.kind != "user" or case.is_approved or action.called_at is not None:
            return None
        forged = self.directory.strangers(action.org, case.now) >= _FLOOD
        return await self._until_confirmed(case) if forged else None

    async def _protected(self, case: Case) -> Judgement | None:
        action = case.action
        if action.target.kind != "user":
            return None
        age = AGE_AFTER_A_WAIT if action.state is ActionState.WAITING else AGE
        decided = (action.approval.at if action.approval is not None else None) or 0
        try:
            why = await self._why_protected(action, case.now, max(case.now - age, decided + 1))
        except LookUpError as error:
            if error.is_unknown:
                return refuse(Reason.TARGET, f"Okta does not know the user: {error}")
            text = f"it is not known whether the user is protected: {error}"
            since = self._failing.setdefault(action.key, case.now)
            if len(self._failing) > _MOST_FAILING:
                del self._failing[next(iter(self._failing))]
            may_retry = error.answer.status == 429 or case.now - since < LOOK_UP_RETRY_TIME
            if error.answer.is_retryable and may_retry:
                return repeat(case, Reason.PROTECTED, text, error.answer)
            return refuse(Reason.PROTECTED, text)
        return refuse(Reason.PROTECTED, why) if why else None

    async def _address(self, case: Case) -> Judgement | None:
        action = case.action
        if action.target.kind != "ip":
            return None
        if why := self._why_not_blocked(action):
            return refuse(Reason.ADDRESS, why)
        users = await self._store.users_at(action.org, action.target.id, case.now - 7 * DAY)
        if users < MANY_USERS:
            return None
        return refuse(Reason.ADDRESS, f"{action.target.id} is shared: {users} users came from it in 7 days")

    async def _state(self, case: Case) -> Judgement | None:
        if case.action.kind is EffectKind.PROMPT:
            return None
        seen = case.seen = await self._look(case.action)
        if not seen.answer.ok:
            if seen.answer.status == 404:
                found = "" if seen.answer.code == "group" else "Okta does not know the target: "
                return refuse(Reason.TARGET, found + seen.answer.text)
            text = f"the state of the target is not known: {seen.answer.text}"
            if seen.answer.is_retryable:
                return repeat(case, Reason.STATE, text, seen.answer)
            return refuse(Reason.STATE, text)
        if seen.is_so and not case.is_repeated and self._memory.live(case.action) is None:
            text = "someone else has already put the target into this state, so the action changes nothing, and the state stays"
            return Judgement(Decision.NO_OP, Reason.STATE, f"{text}; {seen.text}" if seen.text else text)
        return None

    async def _live(self, case: Case) -> Judgement | None:
        action, now = case.action, case.now
        reached = reached_limit(case, self._memory.prompts(action), self._settings)
        if reached is not None and reached.which == "live":
            return Judgement(Decision.NO_OP, Reason.LIVE, reached.detail)
        other = self._memory.live(action)
        if other is None:
            return None
        if case.in_shadow:
            text = f"{other.id} already has this effect; in mode enforce, the effect would last until the later end of the two actions"
            return Judgement(Decision.NO_OP, Reason.LIVE, text)
        if other.state is not ActionState.LIVE or (other.undo_due or now) <= now:
            return wait(Reason.LIVE, f"{other.id} is under way on the same target", Waits.RETRY, now + DELAY)
        if case.seen is not None and not case.seen.is_there:
            text = f"someone else undid {other.id} in Okta, so no action changes the target until {other.id} ends"
            return refuse(Reason.HOLD, text)
        return None

    async def _hold(self, case: Case) -> Judgement | None:
        org, target = case.action.org, case.action.target
        held = None if target.kind == "alert" else self._memory.held(org, target, case.now)
        if held is None:
            return None
        return refuse(Reason.HOLD, f"{held.id} ({held.name}) was undone by hand in the last 24h")

    async def _unconfirmed(self, case: Case) -> Judgement | None:
        return await self._until_confirmed(case) if case.action.kind in self._settings.confirm else None

    async def _until_confirmed(self, case: Case) -> Judgement | None:
        action = case.action
        if await self._confirmation.has(action, case.now):
            return None
        if (uuid := self._confirmation.forged(action)) is not None:
            text = f"the System Log has another event under the uuid {uuid}, so what the hook delivered is forged or edited"
            return refuse(Reason.UNCONFIRMED, f"{text}. Give the hook a new secret: docs/hooks.md")
        waited = (case.now - action.planned_at) // 2
        until = case.now + min(max(waited, DELAY), _SLOWEST)
        if case.now < (last := action.published + self._fresh):
            until = min(until, last)  # one last check before the action is late
        text = "the System Log does not have all events of the alert yet"
        return wait(Reason.UNCONFIRMED, text, Waits.CONFIRMATION, until)

    async def _move(self, case: Case) -> Judgement | None:
        """If an earlier action already has a live effect that `case.action` would also have, return NO_OP: no call is
        sent, and the live effect is prolonged. This guard comes after all guards that may refuse the action."""
        other = self._memory.live(case.action)
        if other is None:
            return None
        text = f"{other.id} already has this effect; the effect lasts until the later end of the two actions"
        return Judgement(Decision.NO_OP, Reason.LIVE, text, moves=other.key)

    async def _limit(self, case: Case) -> Judgement | None:
        action, now = case.action, case.now
        if case.is_repeated or case.is_approved or action.kind is EffectKind.QUIET:
            return None
        reached = reached_limit(case, self._memory.prompts(action), self._settings)
        if reached is not None:
            if reached.which == "day" or case.in_shadow:
                return ask(case, self._settings.approve_within, Reason.LIMIT, LIMIT_OF[reached.which], reached.detail)
            return wait(Reason.LIMIT, reached.detail, Waits.RETRY, reached.until or now + DELAY)
        if not (over := self._memory.over(action, self._settings.limits, now, shadow=case.in_shadow)):
            return None
        limit = self._settings.limits[over]
        text = f"more than {limit.count} in {time_of(limit.seconds)} (reactions.limits.{over})"
        return ask(case, self._settings.approve_within, Reason.LIMIT, over, text)

    async def _approval(self, case: Case) -> Judgement | None:
        action = case.action
        if case.is_approved or case.is_repeated or not (asks(action) or case.is_pending):
            return None
        why = action.approval.why if action.approval is not None else "asks"
        return ask(case, self._settings.approve_within, Reason.APPROVAL, why, f"{action.name} needs approval")

    async def _shadow(self, case: Case) -> Judgement | None:
        if not case.in_shadow:
            return None
        return Judgement(Decision.SHADOW, Reason.SHADOW, "shadow: everything except the call was done")

    # Helpers of several guards

    async def _why_protected(self, action: Action, now: Micros, since: Micros) -> str:
        target, protect = action.target, self._settings.protect
        if target.kind == "ip":
            return self._why_not_blocked(action)
        if target.kind != "user" or not (protect.users or protect.groups or protect.admins):
            return ""
        person = await self.directory.person(action.org, target.id, protect, now, since)
        return why_protected(person, protect)

    def _why_not_blocked(self, action: Action) -> str:
        return why_not_blocked(action.target.id, self._settings.protect.ips, self._settings.own_ips)
