"""Reactions under `kill -9`, faults of Okta, events that come twice, late and not at all, reloads, pauses and an undo by hand."""

import asyncio
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from forwarder.core.action import Action, ActionState, Outcome
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import action_rows, schema
from tests.chaos.reaction_oracle import Course, check
from tests.stack.emulator import TOKEN, EmulatorProcess
from tests.stack.forwarder import SECRET, ForwarderProcess

KILLS = int(os.environ.get("FORWARDER_CHAOS_KILLS", "0")) or 20

pytestmark = pytest.mark.timeout(500 + 15 * KILLS)

_RULE = """
title: {type}
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e000{number}
name: rule_{number}
status: test
level: high
logsource: {{product: okta, service: okta}}
detection: {{selection: {{eventType: {type}}}, condition: selection}}
"""
_SIGN_IN, _PASSWORD = "user.session.start", "user.account.update_password"
_LIMITS = {"per_rule": 24, "mending": 100, "timed": 30, "prompt": 9, "prompt_per_user": 1}
_LATE = "user1@corp.example"
"""A user who gets the only prompt that no kill and no fault can disturb."""
_FAULTS = {
    "duplicate": 0.3,
    "reorder": True,
    "drop": 0.2,
    "changes": {"rate_limited": 0.1, "error_before": 0.15, "error_after": 0.15, "no_response": 0.05},
    "polls": {"rate_limited": 0.2, "error_before": 0.2},
}


def sections(folder: Path, okta: EmulatorProcess) -> dict[str, Any]:
    rules = []
    for number, type_ in enumerate((_SIGN_IN, _PASSWORD)):
        (rule := folder / f"rule{number}.yml").write_text(_RULE.format(type=type_, number=number))
        rules.append(str(rule))
    suspend = {"suspend": {"for": "1m"}, "approve": False}
    limits = {name: f"{count}/{'1h' if 'prompt' not in name else '1d'}" for name, count in _LIMITS.items()}
    return {
        "orgs": {"acme": {"url": okta.url, "secrets": [SECRET], "api": {"token": TOKEN}}},
        "reconcile": {"poll": "1s", "rate_share": 1},
        "rules": {"files": rules, "again": "1s"},
        "reactions": {
            "mode": "enforce",
            "protect": {"users": ["vip@corp.example"], "groups": ["Break-glass"]},
            "limits": {"per_user": "100/1h", **limits},
            "approve_within": "1m",
            "on": [
                {
                    "rule": "rule_0",
                    "do": ["revoke_sessions", {"add_to_group": {"group": "Step-up", "for": "1m"}}, suspend],
                },
                {"rule": "rule_1", "do": [{"prompt": {"by": "push", "then": {"denied": [suspend]}}}]},
            ],
        },
    }


async def test_kills_and_faults_give_no_effect_twice_and_leave_none_behind(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("FORWARDER_CHAOS_SEED", str(time.time_ns() % 100_000)))
    okta = EmulatorProcess(tmp_path)
    request.addfinalizer(okta.kill)
    await asyncio.to_thread(okta.start)
    archive = {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}}
    forwarder = ForwarderProcess(tmp_path / "forwarder", archive, sections(tmp_path, okta))
    request.addfinalizer(forwarder.kill)
    async with httpx.AsyncClient(base_url=okta.url, trust_env=False, timeout=30) as client:
        users = await people(client)
        spared = frozenset(id_ for name, id_ in users.items() if not name.startswith("user"))
        course = Course(seed, users, spared, _LIMITS)
        await asyncio.to_thread(forwarder.start)
        await asyncio.to_thread(okta.create_hook, forwarder.url, SECRET, (_SIGN_IN, _PASSWORD))
        await client.put("/emulator/faults", json=_FAULTS)
        await disturb(client, forwarder, course)
        await client.put("/emulator/faults", json={})
        await emit(client, _PASSWORD, _LATE)
        for _ in range(2):  # more than the limits let through
            for user in sorted(users):
                await emit(client, _SIGN_IN, user)
            await asyncio.sleep(1.5)
        actions = await ended(forwarder, seed)
        calls = (await client.get("/emulator/calls")).json()
        state = (await client.get("/emulator/state")).json()
    forwarder.stop()
    check(course, actions, calls)
    outcomes = Counter((one.name, one.outcome) for one in actions)
    for name in ("revoke_sessions", "suspend", "add_to_group", "prompt"):
        assert outcomes[name, Outcome.DONE], (seed, outcomes)
    assert any(one.approval and one.approval.why == "per_rule" for one in actions) or KILLS < 10, seed
    assert {user["status"] for user in state["users"] if user["id"] in users.values()} == {"ACTIVE"}, seed
    assert next(group for group in state["groups"] if group["name"] == "Step-up")["members"] == [], seed


async def disturb(client: httpx.AsyncClient, forwarder: ForwarderProcess, course: Course) -> None:
    """Emit events, and kill the forwarder at any time; now and then reload it, pause an action, and undo one by hand."""
    chance = Random(course.seed)
    for number in range(KILLS):
        paused = datetime.max.replace(tzinfo=UTC)
        if number % 6 == 2:
            await asyncio.to_thread(forwarder.run, "reactions", "pause", "suspend", "--why", "the course")
            paused = datetime.now(UTC) + timedelta(seconds=1)
        for user in chance.sample(sorted(course.users), 2):
            await emit(client, _SIGN_IN, user)
        await emit(client, _PASSWORD, chance.choice(sorted(course.users.keys() - {_LATE})))
        await asyncio.sleep(chance.uniform(0.2, 2.5))
        if number % 5 == 4:
            os.kill(forwarder.pid, signal.SIGHUP)
            await asyncio.sleep(0.2)
        await asyncio.to_thread(forwarder.kill)
        await asyncio.to_thread(forwarder.start)
        if number % 6 == 2:
            await asyncio.sleep(2)
            course.paused.append((paused, datetime.now(UTC)))
            await asyncio.to_thread(forwarder.run, "reactions", "resume", "suspend")
        if number % 8 == 3:
            await undo(forwarder, course)


async def undo(forwarder: ForwarderProcess, course: Course) -> None:
    """Undo a live effect by hand, if there is any; from then on its user is held."""
    live = [one for one in rows(forwarder.store) if one.state is ActionState.LIVE and one.undo_due]
    if live:
        last = max(live, key=lambda one: one.undo_due or 0)
        words = ("reactions", "undo", last.id, "--why", "the course")
        done = await asyncio.to_thread(lambda: forwarder.run(*words, expect=None))
        if done.returncode == 0:
            course.held[last.target.id] = datetime.now(UTC) + timedelta(seconds=1)


async def emit(client: httpx.AsyncClient, type_: str, user: str) -> None:
    order = {"types": [type_], "user": user, "fields": {"outcome": {"result": "SUCCESS"}}}
    assert (await client.post("/emulator/events", json=order)).status_code == 200


async def people(client: httpx.AsyncClient) -> dict[str, str]:
    """Make the groups and twelve users, of whom three are protected, each in another way; return their ids by login."""
    for name in ("Step-up", "Break-glass"):
        assert (await client.post("/emulator/groups", json={"name": name})).status_code == 200
    orders: list[dict[str, Any]] = [{"login": f"user{number}@corp.example"} for number in range(9)]
    orders += [{"login": "VIP@corp.example"}, {"login": "glass@corp.example", "groups": ["Break-glass"]}]
    orders += [{"login": "admin@corp.example", "roles": ["HELP_DESK_ADMIN"]}]
    users = {}
    for number, order in enumerate(orders):
        answer = await client.post("/emulator/users", json={**order, "factors": ["push"]})
        assert answer.status_code == 200, answer.text
        users[order["login"]] = answer.json()["id"]
        phone = {"user": order["login"], "answer": "deny" if number % 3 else "approve", "after": "1s"}
        assert (await client.post("/emulator/answers", json=phone)).status_code == 200
    return users


async def ended(forwarder: ForwarderProcess, seed: int) -> list[Action]:
    """Return the rows once nothing is open."""
    found: list[Action] = []
    for _ in range(600):
        found = rows(forwarder.store)
        if found and not any(action.is_open for action in found):
            return found
        await asyncio.sleep(0.5)
    still = [(one.id, one.name, one.state, one.reason, one.detail) for one in found if one.is_open]
    raise AssertionError((seed, still))


def rows(store: Path) -> list[Action]:
    db = schema.connect_reader(StoreSettings(path=store).path)
    try:
        return action_rows.load(db, 0)
    finally:
        db.close()
