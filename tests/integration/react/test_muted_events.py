"""While a user is asked by a prompt, the rules skip the factor events of this user."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from forwarder.core.action import ActionState
from forwarder.core.event import Event, Source, read_event
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND, iso
from forwarder.detect.replay import Replay
from forwarder.detect.runner import RuleRunner
from forwarder.metrics import Metrics
from forwarder.react.prompts.muted import Muted
from forwarder.rules.settings import RulesSettings
from forwarder.store.interface import open_commands
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import opened
from tests.unit.react.prompts.rows import prompt

RULES = """
title: Push denied
id: push_denied
name: push_denied
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: user.authentication.auth_via_mfa, outcome.result: FAILURE}
  condition: selection
---
title: Fatigue
id: fatigue
correlation: {type: event_count, rules: [push_denied], group-by: [actor.id], timespan: 10m, condition: {gte: 3}}
---
title: Signed in
id: signed_in
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: user.session.start}
  condition: selection
"""


def denials(user: str, moments: Sequence[float], kind: str = "user.authentication.auth_via_mfa") -> list[Event]:
    made = []
    for at in moments:
        body = {
            "uuid": str(UUID(int=abs(hash((user, at, kind))))),
            "eventType": kind,
            "published": iso(NOON + round(at * SECOND), "milliseconds"),
            "actor": {"id": user},
            "outcome": {"result": "FAILURE"},
        }
        made.append(read_event(json.dumps(body).encode(), org="acme", source=Source.HOOK, received_at=NOON))
    return made


@asynccontextmanager
async def running(store: SqliteStore, folder: Path, muted: Muted, metrics: Metrics) -> AsyncIterator[RuleRunner]:
    folder.mkdir(exist_ok=True)
    (folder / "rules.yml").write_text(RULES)
    settings = RulesSettings.model_validate({"files": [str(folder)]})
    runner = RuleRunner(store, metrics, ManualClock(NOON + 60 * SECOND), muted)
    await runner.apply(settings, await runner.build(settings))
    try:
        yield runner
    finally:
        await runner.stop()


async def alerts(runner: RuleRunner, store: SqliteStore) -> set[tuple[str, str]]:
    async with asyncio.timeout(30):
        while runner.position != store.view.newest:
            await asyncio.sleep(0.01)
    events = await store.view.events(0, limit=1000, max_bytes=10**8)
    bodies = [json.loads(one.event.body) for one in events if one.event.source is Source.ALERT]
    return {(body["forwarder"]["alert"]["rule"]["id"], body["actor"]["id"]) for body in bodies}


async def test_a_denial_of_our_prompt_makes_no_fatigue_alert_and_other_events_still_do(tmp_path: Path) -> None:
    muted, metrics = Muted(), Metrics()
    async with opened(tmp_path / "store.db") as store, running(store, tmp_path / "rules", muted, metrics) as runner:
        await alerts(runner, store)
        muted.note(prompt("00u1", state=ActionState.PROMPTING, called_at=NOON))
        asked = denials("00u1", [1, 2, 3, 4])
        others = denials("00u2", [1, 2, 3]) + denials("00u1", [5], "user.session.start")
        await store.append(Batch([*asked, *others]), timeout=5)
        assert await alerts(runner, store) == {("fatigue", "00u2"), ("signed_in", "00u1")}
        sample = metrics.registry.get_sample_value
        assert sample("forwarder_rule_events_muted_total", {"org": "acme"}) == 4


async def test_the_time_of_an_event_decides_not_the_time_of_its_arrival(tmp_path: Path) -> None:
    muted = Muted()
    muted.note(prompt("00u1", state=ActionState.ENDED, called_at=NOON, seen_at=NOON + 10 * SECOND, answer="denied"))
    early, late = denials("00u1", [20, 30, 129]), denials("00u1", [131, 132, 133])
    async with opened(tmp_path / "store.db") as store, running(store, tmp_path / "rules", muted, Metrics()) as runner:
        await alerts(runner, store)
        await store.append(Batch([late[2], early[0], late[0]]), timeout=5)
        await store.append(Batch([early[2], early[1]]), timeout=5)
        assert await alerts(runner, store) == set()
        await store.append(Batch([late[1]]), timeout=5)
        assert await alerts(runner, store) == {("fatigue", "00u1")}


async def test_events_that_were_muted_do_not_count_after_a_restart_either(tmp_path: Path) -> None:
    row = prompt("00u1", state=ActionState.ENDED, called_at=NOON, seen_at=NOON + 10 * SECOND, answer="denied")
    async with opened(tmp_path / "store.db") as store:
        muted = Muted()
        async with running(store, tmp_path / "rules", muted, Metrics()) as runner:
            await alerts(runner, store)
            await store.commit_actions(Batch(), [row])
            muted.note(row)
            await store.append(Batch(denials("00u1", [10, 20])), timeout=5)
            assert await alerts(runner, store) == set()
        async with running(store, tmp_path / "rules", Muted(), Metrics()) as runner:
            await store.append(Batch(denials("00u1", [30, 131])), timeout=5)
            assert await alerts(runner, store) == set()
            await store.append(Batch(denials("00u1", [132, 133])), timeout=5)
            assert await alerts(runner, store) == {("fatigue", "00u1")}


async def test_a_replay_of_the_rules_leaves_the_same_events_out(tmp_path: Path) -> None:
    row = prompt("00u1", state=ActionState.ENDED, called_at=NOON, seen_at=NOON + 10 * SECOND, answer="denied")
    async with opened(tmp_path / "store.db") as store:
        await store.append(Batch(denials("00u1", [1, 2, 3]) + denials("00u2", [1, 2, 3])), timeout=5)
        (tmp_path / "rules.yml").write_text(RULES)
        rules = RulesSettings.model_validate({"files": [str(tmp_path / "rules.yml")]})
        commands = open_commands(StoreSettings.model_validate({"path": tmp_path / "store.db"}), ManualClock())
        loaded = rules.load()
        before = await asyncio.to_thread(Replay(commands, rules, loaded, 0).run)
        await store.commit_actions(Batch(), [row])
        after = await asyncio.to_thread(Replay(commands, rules, loaded, 0).run)
    assert [alert["group"]["actor.id"] for alert in before.alerts] == ["00u1", "00u2"]
    assert [alert["group"]["actor.id"] for alert in after.alerts] == ["00u2"]
