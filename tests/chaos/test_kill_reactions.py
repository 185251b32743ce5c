"""Reactions under `kill -9`, faults of Okta, doubled events, reloads and pauses, counted from the org's own record of calls:
no effect twice, nothing on a protected target, no call without a row, and every timed effect undone in time."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from forwarder.core.action import Action, End, Kind, Outcome, Reason
from forwarder.core.time import SECOND
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import action_rows, schema
from tests.stack.emulator import TOKEN, EmulatorProcess
from tests.stack.forwarder import ForwarderProcess

KILLS = int(os.environ.get("FORWARDER_CHAOS_KILLS", "0")) or 20

pytestmark = pytest.mark.timeout(400 + 10 * KILLS)

_RULE = """
title: A sign-in
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0001
status: test
level: high
logsource: {product: okta, service: okta}
detection: {selection: {eventType: user.session.start}, condition: selection}
"""
_SUCCESS = {"outcome": {"result": "SUCCESS"}}
_ACTIONS = {
    "PUT group": "add_to_group",
    "DELETE group": "add_to_group",
    "suspend": "suspend",
    "unsuspend": "suspend",
    "sessions": "revoke_sessions",
}
_PAIRS = (("add_to_group", "PUT group", "DELETE group"), ("suspend", "suspend", "unsuspend"))
_FAULTS = {"rate_limited": 0.1, "error_before": 0.15, "error_after": 0.15, "no_response": 0.05}


def sections(folder: Path, okta: EmulatorProcess) -> dict[str, Any]:
    rule = folder / "rule.yml"
    rule.write_text(_RULE)
    return {
        "orgs": {"acme": {"url": okta.url, "secrets": ["the-secret-of-the-tests"], "api": {"token": TOKEN}}},
        "reconcile": {"poll": "1s", "rate_share": 1},
        "rules": {"files": [str(rule)], "again": "1s"},
        "reactions": {
            "mode": "enforce",
            "protect": {"users": ["vip@corp.example"], "groups": ["Break-glass"]},
            "limits": {"per_user": "100/1h", "per_rule": "30/1h", "mending": "500/1h", "timed": "40/1h"},
            "on": [
                {
                    "level": "high",
                    "do": [
                        "revoke_sessions",
                        {"add_to_group": {"group": "Step-up", "for": "1m"}},
                        {"suspend": {"for": "1m"}, "approve": False},
                    ],
                }
            ],
        },
    }


async def test_kills_and_faults_give_no_effect_twice_and_leave_none_behind(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("FORWARDER_CHAOS_SEED", str(time.time_ns() % 100_000)))
    chance = Random(seed)
    okta = EmulatorProcess(tmp_path)
    request.addfinalizer(okta.kill)
    await asyncio.to_thread(okta.start)
    archive = {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}}
    forwarder = ForwarderProcess(tmp_path / "forwarder", archive, sections(tmp_path, okta))
    request.addfinalizer(forwarder.kill)
    async with httpx.AsyncClient(base_url=okta.url, trust_env=False, timeout=30) as client:
        users = await people(client)
        await asyncio.to_thread(forwarder.start)
        await client.put("/emulator/faults", json={"changes": _FAULTS})
        for number in range(KILLS):
            for login in chance.sample(sorted(users), 2):
                order = {"types": ["user.session.start"], "user": login, "fields": _SUCCESS}
                assert (await client.post("/emulator/events", json=order)).status_code == 200
            await asyncio.sleep(chance.uniform(0.2, 2.5))
            if number % 5 == 4:
                os.kill(forwarder.pid, signal.SIGHUP)
                await asyncio.sleep(0.2)
            await asyncio.to_thread(forwarder.kill)
            await asyncio.to_thread(forwarder.start)
        await client.put("/emulator/faults", json={})
        actions = await ended(forwarder, seed)
        calls = (await client.get("/emulator/calls")).json()
        state = (await client.get("/emulator/state")).json()
    forwarder.stop()
    check(actions, calls, state, users, f"seed {seed}")


async def people(client: httpx.AsyncClient) -> dict[str, str]:
    """Make the groups and twelve users, of whom three are protected, each in another way; return their ids by login."""
    for name in ("Step-up", "Break-glass"):
        assert (await client.post("/emulator/groups", json={"name": name})).status_code == 200
    orders: list[dict[str, Any]] = [{"login": f"user{number}@corp.example"} for number in range(9)]
    orders += [{"login": "VIP@corp.example"}, {"login": "glass@corp.example", "groups": ["Break-glass"]}]
    orders += [{"login": "admin@corp.example", "roles": ["HELP_DESK_ADMIN"]}]
    users = {}
    for order in orders:
        answer = await client.post("/emulator/users", json=order)
        assert answer.status_code == 200, answer.text
        users[order["login"]] = answer.json()["id"]
    return users


async def ended(forwarder: ForwarderProcess, seed: int) -> list[Action]:
    """Return the rows once nothing is open."""
    found: list[Action] = []
    for _ in range(400):
        found = rows(forwarder.store)
        if found and not any(action.is_open for action in found):
            return found
        await asyncio.sleep(0.5)
    raise AssertionError((seed, [action for action in found if action.is_open]))


def rows(store: Path) -> list[Action]:
    db = schema.connect_reader(StoreSettings(path=store).path)
    try:
        return action_rows.load(db, 0)
    finally:
        db.close()


def check(
    actions: list[Action],
    calls: list[dict[str, Any]],
    state: dict[str, Any],
    users: dict[str, str],
    seed: str,
) -> None:
    """Compare what the org was asked with what the store says."""
    spared = {id_ for login, id_ in users.items() if not login.startswith("user")}
    changed, called = Counter[tuple[str, str]](), set[tuple[str, str]]()
    for call in calls:
        parts = call["path"].partition("?")[0].split("/")
        group = parts[3] == "groups"
        what = f"{call['method']} group" if group else parts[-1]
        user = parts[6] if group else parts[4]
        called.add((user, _ACTIONS[what]))
        changed[user, what] += call["effect"]
    assert not {user for user, _ in called} & spared, (seed, calls)
    assert called <= {(one.target.id, one.name) for one in actions if one.called_at}, seed
    for user in set(users.values()) - spared:
        mine = [one for one in actions if one.target.id == user]
        for name, does, undoes in _PAIRS:
            rows_done = [one for one in mine if one.name == name and one.outcome is Outcome.DONE]
            told = (seed, user, name, changed[user, does], changed[user, undoes], rows_done)
            assert changed[user, does] == len(rows_done), told
            assert changed[user, undoes] == len(rows_done), told
    for action in actions:
        if action.kind is Kind.TIMED and action.outcome is Outcome.DONE:
            assert action.end is End.UNDONE, (seed, action)
            late = (action.undone_at or 0) - (action.undo_due or 0)
            assert late <= 60 * SECOND, (seed, late / SECOND, action)
        if action.target.id in spared:
            assert (action.outcome, action.reason) == (Outcome.REFUSED, Reason.PROTECTED), (seed, action)
    outcomes = Counter((one.name, one.outcome) for one in actions)
    assert outcomes["revoke_sessions", Outcome.DONE], (seed, outcomes)
    assert outcomes["suspend", Outcome.DONE], (seed, outcomes)
    assert {user["status"] for user in state["users"] if user["id"] in users.values()} == {"ACTIVE"}, seed
    assert next(group for group in state["groups"] if group["name"] == "Step-up")["members"] == [], seed
