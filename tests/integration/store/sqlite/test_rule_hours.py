"""What the rules did is counted by the hour, with their position, and outlives the bodies of alerts."""

from contextlib import closing
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError
from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND
from forwarder.store.rule_counts import HOUR, RuleCounts
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.migrations import STEPS
from tests.fakes.alert import SPRAY, alert_event
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import commands, event, opened, prune
from tests.integration.store.sqlite.test_moved import move_directory
from tests.waiting import until

EXCEPTION, AGAIN = (SPRAY.id, "exception"), (SPRAY.id, "again")


def alerts(*firsts: str) -> list[Event]:
    return [alert_event(first=first) for first in firsts]


async def test_alerts_and_what_was_held_back_are_counted_once_with_the_position(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await store.commit_rules(Batch(alerts("a", "b"), cursor=("rules", "2")), [], {EXCEPTION: 3})
        again = Batch(alerts("b", "c"), cursor=("rules", "3"))  # as after a crash before the position moved
        await store.commit_rules(again, [], {EXCEPTION: 1, AGAIN: 2, ("other", "again"): 5})
        wanted = {SPRAY.id: RuleCounts(3, 4, 2, clock.now()), "other": RuleCounts(by_again=5)}
        assert await store.view.rule_counts(clock.now() - 24 * HOUR) == wanted
    assert commands(path).rule_counts(0) == wanted
    assert wanted[SPRAY.id].held_back == 6


@pytest.mark.long
async def test_what_was_committed_before_the_files_moved_is_counted_once(tmp_path: Path) -> None:
    path, clock = tmp_path / "state" / "store.db", ManualClock()
    path.parent.mkdir()
    async with opened(path, clock) as store:
        await store.append(Batch([event()]), timeout=5)
        batch, held_back = Batch(alerts("a"), cursor=("rules", "1")), {EXCEPTION: 3, AGAIN: 2}
        move_directory(path)
        with pytest.raises(StoreError):  # it was committed, to files that the next start would not find
            await store.commit_rules(batch, [], held_back)
        path.parent.with_name("elsewhere").rename(path.parent)
        await until(lambda: store.not_ready_reason is None)
        await store.commit_rules(batch, [], held_back)
        assert await store.view.rule_counts(0) == {SPRAY.id: RuleCounts(1, 3, 2, clock.now())}
        await store.commit_rules(Batch(cursor=("rules", "2")), [], held_back)
        assert (await store.view.rule_counts(0))[SPRAY.id].held_back == 10


async def test_hours_before_the_time_asked_for_do_not_count(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        first = clock.now()
        await store.commit_rules(Batch(alerts("a")), [], {AGAIN: 1})
        await clock.advance(3 * 3600)
        await store.commit_rules(Batch(), [], {AGAIN: 4})
        assert await store.view.rule_counts(first + HOUR) == {SPRAY.id: RuleCounts(by_again=4)}
        assert (await store.view.rule_counts(first))[SPRAY.id] == RuleCounts(1, 0, 5, first)


@pytest.mark.long
async def test_counts_outlive_the_bodies_of_alerts_but_not_eight_days(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=(), retention="1s") as store:
        await store.commit_rules(Batch(alerts("a")), [])
        await clock.advance(7 * 86_400)
        await prune(store)
        assert (await store.ledger()).events == 0
        assert (await store.view.rule_counts(0))[SPRAY.id].alerts == 1
        await clock.advance(2 * 86_400)
        await prune(store)
        assert await store.view.rule_counts(0) == {}


async def test_a_store_of_an_older_version_counts_the_alerts_that_it_holds(path: Path) -> None:
    at = NOON + 5 * SECOND
    async with opened(path) as store:
        await store.append(Batch([event(), *alerts("a", "c"), alert_event(first="b", at=at)]), timeout=5)
    (step,) = (step for step in STEPS if "rule_hours" in step)
    with closing(schema.connect_writer(path)) as db:
        db.execute("DROP TABLE rule_hours")
        db.execute("UPDATE events SET body = 'no JSON' WHERE seq = 3")
        db.executescript(step)
    assert commands(path).rule_counts(0) == {SPRAY.id: RuleCounts(2, 0, 0, at)}
