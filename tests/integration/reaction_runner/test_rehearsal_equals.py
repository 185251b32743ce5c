"""`rules replay` reports the same actions that mode enforce carries out for the same events on a fresh org."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forwarder.clock import SystemClock
from forwarder.core.action import Action, Outcome, Waits
from forwarder.detect.replay import Replay, ReplayReport
from forwarder.emulator.events.requested_changes import changed
from forwarder.reaction_runner.guard_settings import rehearsal
from forwarder.settings import Settings
from forwarder.store.interface import open_commands
from tests.fakes.okta_org import okta_org
from tests.integration.reaction_runner.scene import running, settings, until

pytestmark = pytest.mark.timeout(180)

Decision = tuple[str, str, str, str, str]

DO: list[Any] = [
    "revoke_sessions",
    "user_risk",
    {"add_to_group": {"group": "Step-up", "for": "1h"}},
    {"suspend": {"for": "1h"}},
]


def decided(row: Action) -> bool:
    return row.outcome is not None or row.waits_for is Waits.APPROVAL


def all_decided(count: int) -> Callable[[list[Action]], bool]:
    return lambda rows: len([row for row in rows if decided(row)]) >= count


def decision(row: Action) -> Decision:
    if row.outcome is Outcome.DONE:
        verdict = "call"
    elif row.outcome is not None:
        verdict = {Outcome.NO_OP: "no_op", Outcome.REFUSED: "refuse"}[row.outcome]
    else:
        verdict = "ask"
    return row.alert, row.name, row.target.id, verdict, shown(verdict, str(row.reason or ""))


def shown(verdict: str, reason: str) -> str:
    """Why: except where a human decides. Two actions of one alert may take the last place within a limit in either order, and
    the other one waits for a human as `limit` or as `approval`."""
    return "" if verdict in {"call", "ask"} else reason


def replayed(wanted: Settings) -> ReplayReport:
    rules = wanted.rules.load()
    store = open_commands(wanted.store, SystemClock())
    return Replay(store, wanted.rules, rules, 0, rehearsal=rehearsal(wanted, rules)).run()


@pytest.mark.long
async def test_enforcing_does_what_the_replay_said(tmp_path: Path) -> None:
    limits = {"per_user": "2/1h", "per_rule": "9/1h", "mending": "6/1h", "timed": "4/1h"}
    async with okta_org() as org:
        org.groups.create("Step-up")
        users = [org.users.create(f"user{n}@corp.example", f"User {n}") for n in range(5)]
        protect = {"users": [users[0].login], "admins": False}
        wanted = settings(tmp_path, org, DO, limits=limits, protect=protect)
        async with running(wanted) as forwarder:
            for n in range(14):
                user = users[n % len(users)].entity()
                await org.emit(1, ["user.session.start"], partial(changed, user=user))
                await until(all_decided(4 * (n + 1)), forwarder)
            rows = await forwarder.store.load_actions(0)
            live = Counter(decision(row) for row in rows)
        report = await asyncio.to_thread(replayed, wanted)
        would = Counter(
            (one.alert, one.action, one.target, one.verdict, shown(one.verdict, one.reason)) for one in report.actions
        )
        assert would == live
        kinds = {(verdict, reason) for *_, verdict, reason in live}
        assert kinds == {("call", ""), ("ask", ""), ("no_op", "live"), ("no_op", "state"), ("refuse", "protected")}
