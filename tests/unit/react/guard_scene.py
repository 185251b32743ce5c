"""Guards with a fake org, and rows that a test puts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import msgspec

from forwarder.core.action import Action, ActionState, Claim, Outcome, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.guards.guards import Guards
from forwarder.react.guards.judgement import Decision, Judgement
from forwarder.react.guards.pauses import Pauses
from forwarder.react.ports import Answer, Seen
from forwarder.react.settings.guards import GuardSettings, Limit
from forwarder.react.settings.limits import ProtectSettings
from tests.fakes.actions import HOUR, USER
from tests.fakes.clock import ManualClock
from tests.fakes.okta_directory import OktaDirectory

change = msgspec.structs.replace

BREAK_GLASS = "00ubreakglass0000000"

LIMITS = {
    "per_user": Limit(2, 3600),
    "per_rule": Limit(20, 3600),
    "mending": Limit(60, 3600),
    "timed": Limit(10, 3600),
    "prompt": Limit(20, 86400),
}

RULES = ("push_fatigue", "cheap", "group_changed", *(f"rule-{number}" for number in range(10)))


def by_rule(modes: Mapping[str, str]) -> Callable[[Action], str]:
    """Return a `GuardSettings.mode_of` that knows only these rules."""
    return lambda action: modes.get(action.rule, "off")


SETTINGS = GuardSettings(
    mode="enforce",
    mode_of=by_rule(dict.fromkeys(RULES, "enforce")),
    protect=ProtectSettings(
        users=("breakglass@corp.example",),
        groups=("Break-glass",),
        admins=True,
        ips=(ip_network("198.51.100.0/24"), ip_network("5.5.5.0/24")),
    ),
    limits=LIMITS,
    own={"acme": frozenset({"0oaforwarder", "00Tforwarder"})},
    own_ips=(ip_network("9.9.9.9/32"),),
)


@dataclass
class FakeStore:
    """`core.action.ClaimReader`: returns what a test sets."""

    polled: set[str] = field(default_factory=set)
    users: int = 0
    claimed: dict[str, Claim] = field(default_factory=dict)

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        known = {uuid: Claim(logged=True if uuid in self.polled else None) for uuid in uuids}
        return known | {uuid: claim for uuid, claim in self.claimed.items() if uuid in uuids}

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        return self.users


@dataclass
class FakeLooks:
    """Looks up targets: returns what a test sets."""

    seen: Seen = field(default_factory=lambda: Seen(Answer(200), {"status": "ACTIVE"}))
    looks: int = 0

    async def look(self, action: Action) -> Seen:
        self.looks += 1
        return self.seen


class Scene:
    """An org with an unprotected user, and everything that guards look at."""

    def __init__(self, settings: GuardSettings = SETTINGS, **changes: Any) -> None:
        self.clock = ManualClock()
        self.okta = OktaDirectory(
            users={USER.id: "jane@corp.example", BREAK_GLASS: "breakglass@corp.example"},
            groups={"00geveryone": "Everyone", "00gglass": "Break-glass", "00gops": "Operations"},
            members={"00geveryone": {USER.id, BREAK_GLASS}},
            log={f"event-{number}" for number in range(200)},
        )
        self.store = FakeStore()
        self.looks = FakeLooks()
        self.memory = ActionsInMemory()
        self.pauses = Pauses()
        self.reload(change(settings, **changes))

    def reload(self, settings: GuardSettings) -> None:
        self.settings = settings
        self.guards = Guards(
            settings,
            self.okta,
            self.looks.look,
            self.store,
            self.memory,
            pauses=lambda: self.pauses,
            now=self.clock.now,
        )

    @property
    def now(self) -> Micros:
        return self.clock.now()

    async def judge(self, action: Action) -> Judgement:
        self.memory.put(action)
        return await self.guards.judge(action, self.now)

    async def verdict(self, action: Action) -> tuple[Decision, Any]:
        judgement = await self.judge(action)
        return judgement.verdict, judgement.reason

    def waits(self, action: Action, judgement: Judgement) -> Action:
        """Put the row of an action that waits, as the engine does."""
        row = change(
            action,
            state=ActionState.WAITING,
            waits_for=judgement.waits_for,
            reason=judgement.reason,
            due=judgement.until,
            approval=judgement.approval or action.approval,
        )
        self.memory.put(row)
        return row

    def approve(self, row: Action, *, given: bool = True) -> Action:
        """Put the row of an action that a human approved or refused."""
        assert row.waits_for is Waits.APPROVAL
        assert row.approval is not None
        approval = change(row.approval, given=given, by="ada", at=self.now)
        decided = change(row, approval=approval, due=self.now)
        self.memory.put(decided)
        return decided

    def done(self, action: Action, seconds: float = HOUR / SECOND) -> Action:
        """Put the row of an action whose call succeeded, as the engine does."""
        until = self.now + round(seconds * SECOND)
        timed = action.kind.value == "timed"
        row = change(
            action,
            state=ActionState.LIVE if timed else ActionState.ENDED,
            outcome=Outcome.DONE,
            called_at=self.now,
            due=until if timed else None,
            undo_due=until if timed else None,
            waits_for=None,
            reason=None,
        )
        self.memory.put(row)
        return row

    async def carry_out(self, action: Action) -> bool:
        """Judge an action, and carry it out if no guard stops it."""
        if (await self.judge(action)).verdict is not Decision.GO:
            return False
        self.done(action)
        return True
