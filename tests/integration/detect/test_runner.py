"""Rules in a running forwarder: alerts are stored, delivered and counted, across reloads and restarts."""

import asyncio
import json
import time
from pathlib import Path
from random import Random

import msgspec
import pytest
import structlog
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError
from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND
from tests.integration.detect.scene import (
    burst,
    content,
    evaluated,
    pairs,
    post,
    running,
    settings,
    shifted,
    stored,
    until,
)
from tests.integration.store.helpers import opened
from tests.unit.rules.days import RULES, day, expected, made

pytestmark = pytest.mark.timeout(180)


@pytest.mark.long
async def test_an_alert_is_stored_delivered_and_counted_separately(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as forwarder:
        await evaluated(forwarder)
        await post(forwarder, burst())
        await until(lambda: b"forwarder.alert" in content(tmp_path / "archive.ndjson"))
        ledger = await forwarder.store.ledger()
        assert (ledger.stored, ledger.alerts, ledger.balanced) == (5, 1, True)
        (line,) = [one for one in content(tmp_path / "archive.ndjson").splitlines() if b"rule-match" in one]
        document = json.loads(line)
        assert (document["event"]["kind"], document["message"]) == ("alert", "Many")
        assert document["okta_forwarder"]["count"] == 4
        sample = forwarder.metrics.registry.get_sample_value
        rule = {"org": "acme", "rule": "many", "level": "medium"}
        assert sample("forwarder_alerts_total", rule) == 1
        assert sample("forwarder_rule_matches_total", {"org": "acme", "rule": "alpha"}) == 4
        assert sample("forwarder_rule_state_keys") > 0  # type: ignore[operator]


@pytest.mark.long
async def test_restarts_in_the_middle_of_a_shuffled_day_change_no_pair(tmp_path: Path) -> None:
    events = shifted(day(3, 200))
    wanted = expected(events)
    chance = Random(3)
    mixed = [*events, *chance.sample(events, 30)]
    chance.shuffle(mixed)
    for first in range(0, len(mixed), 60):
        async with running(settings(tmp_path)) as forwarder:
            await post(forwarder, mixed[first : first + 60])
    async with running(settings(tmp_path)) as forwarder:
        await evaluated(forwarder)
        alerts = await stored(forwarder)
    assert pairs(alerts) == wanted
    assert len({alert.uuid for alert in alerts}) == len(alerts)


@pytest.mark.long
async def test_new_rules_read_earlier_events_without_alerting(tmp_path: Path) -> None:
    only_alone = "---\n" + RULES.split("---")[3]
    async with running(settings(tmp_path, only_alone)) as forwarder:
        await post(forwarder, burst("u1"))  # no rule for this yet
        await post(forwarder, burst("u2", first=50, count=3))
        await evaluated(forwarder)
        old = forwarder._rules._engine
        await forwarder.reload(settings(tmp_path))
        await until(lambda: forwarder._rules._engine is not old)  # until then the old rules see each event
        await post(forwarder, burst("u2", first=60, count=1))
        await evaluated(forwarder)
        assert pairs(await stored(forwarder)) == {("many", "u2")}


@pytest.mark.long
async def test_a_reload_with_the_same_rules_reads_no_event_again(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as forwarder:
        await until(lambda: forwarder._rules._engine)
        engine = forwarder._rules._engine
        await forwarder.reload(settings(tmp_path))
        assert forwarder._rules._engine is engine
        assert forwarder._rules._tasks["new"].done()
        await forwarder.reload(settings(tmp_path, RULES.replace("gte: 4", "gte: 2")))
        await until(lambda: forwarder._rules._engine is not engine)
        await post(forwarder, burst(count=2))
        await until(lambda: b"forwarder.alert" in content(tmp_path / "archive.ndjson"))


@pytest.mark.long
async def test_after_a_bad_file_the_old_rules_go_on(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as forwarder:
        await evaluated(forwarder)
        (tmp_path / "rules" / "rules.yml").write_text("title: nothing")
        with pytest.raises(ForwarderError):
            await forwarder.reload(forwarder.settings)
        await post(forwarder, burst())
        await until(lambda: b"forwarder.alert" in content(tmp_path / "archive.ndjson"))


NEW_DEVICE = """
title: New device
id: new-device
logsource: {product: okta, service: okta}
detection:
  selection: {forwarder.new.device: true, forwarder.anonymous: false}
  condition: selection
"""


@pytest.mark.long
async def test_sightings_of_users_are_known_after_a_restart(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    person = {"actor": {"id": "00u1", "type": "User"}, "outcome": {"result": "SUCCESS"}}

    def seen(number: int, days_ago: float, device: str) -> Event:
        at = now - int(days_ago * 86_400 * SECOND)
        event = made(number, at, "any", "00u1", "192.0.2.1", device={"id": device})
        return msgspec.structs.replace(event, body=json.dumps(json.loads(event.body) | person).encode())

    async with running(settings(tmp_path, NEW_DEVICE, max_age="20d")) as forwarder:
        await post(forwarder, [seen(1, 10, "guo1")])
        await evaluated(forwarder)
    async with running(settings(tmp_path, NEW_DEVICE, max_age="20d")) as forwarder:
        await post(forwarder, [seen(2, 0.1, "guo1")])
        await evaluated(forwarder)
        assert await stored(forwarder) == []
        await post(forwarder, [seen(3, 0.05, "guo2")])
        await until(lambda: b"New device" in content(tmp_path / "archive.ndjson"))


@pytest.mark.long
async def test_orgs_that_are_not_named_are_not_evaluated(tmp_path: Path) -> None:
    wanted = settings(tmp_path, orgs=["other"])
    async with running(wanted) as forwarder:
        await post(forwarder, burst())
        await evaluated(forwarder)
        assert await stored(forwarder) == []


@pytest.mark.long
async def test_from_post_to_alert_in_the_store_takes_less_than_a_second(tmp_path: Path) -> None:
    """Measures the p95 of the time from `received_at` to the alert, at 100 events a second that all alert."""
    async with running(settings(tmp_path, again="1s")) as forwarder:
        await evaluated(forwarder)
        started = asyncio.get_running_loop().time()
        for n in range(300):
            await post(forwarder, shifted([made(n, 0, "alone", f"u{n}", "192.0.2.1")]))
            ahead = started + (n + 1) / 100 - asyncio.get_running_loop().time()
            if ahead > 0:
                await asyncio.sleep(ahead)
        await evaluated(forwarder)
        events = await forwarder.store.view.events(0, limit=100_000, max_bytes=10**9)
        received = {one.event.uuid: one.event.received_at for one in events}
        alerts = await stored(forwarder)
        waits = sorted(
            alert.received_at - received[json.loads(alert.body)["forwarder"]["alert"]["trigger"]["uuid"]]
            for alert in alerts
        )
        assert len(waits) == 300
        assert waits[int(len(waits) * 0.95)] < SECOND


def test_check_names_the_privilege_that_alerts_need(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    config = tmp_path / "forwarder.yaml"
    siem = {"kind": "elasticsearch", "hosts": ["https://es.internal:9200"], "namespace": "prod"}
    tree = {
        "orgs": {"acme": {"secrets": ["the-secret"]}},
        "store": {"path": str(wanted.store.path)},
        "sinks": {"siem": siem},
        "rules": {"files": [str(tmp_path / "rules")]},
    }
    config.write_text(json.dumps(tree))
    output = CliRunner().invoke(main, ["check", "--config", str(config)]).output
    assert "alerts of rules go to logs-okta_forwarder.alert-prod" in output
    assert "create_doc and auto_configure" in output


_ROBOT = """---
title: The robot is allowed
logsource: {product: okta, service: okta}
filter:
  rules: [alone]
  selection: {actor.id: u0}
  condition: not selection
"""


@pytest.mark.long
async def test_the_status_shows_what_each_rule_did_also_after_a_restart(tmp_path: Path) -> None:
    wanted = settings(tmp_path, RULES + _ROBOT)
    events = [made(n, n * SECOND, "alone", f"u{n % 2}", "192.0.2.1") for n in range(6)]
    async with running(wanted) as forwarder:
        await evaluated(forwarder)
        await post(forwarder, shifted(events))
        await until(lambda: b"forwarder.alert" in content(tmp_path / "archive.ndjson"))
    async with running(wanted) as forwarder:
        await evaluated(forwarder)
        await until(forwarder._rules._tasks["new"].done)
        rules = (await forwarder.status.gather())["rules"]
    assert (rules["failures"], rules["behind"], rules["reading_earlier_events"]) == (0, 0, False)
    alone, *others = rules["loaded"]
    assert alone.pop("last_alert_seconds_ago") < 60
    assert alone == {
        "id": "alone",
        "title": "Alone",
        "level": "medium",
        "alerts_by_itself": True,
        "alerts_24h": 1,
        "held_back_24h": 5,
        "held_back_by_exceptions_24h": 3,
    }
    assert len(others) == 10
    assert {row["last_alert_seconds_ago"] for row in others} == {None}


@pytest.mark.long
async def test_the_status_shows_no_rules_where_none_are_configured(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    async with running(wanted) as forwarder:
        await until(lambda: forwarder._rules._engine)
        assert (await forwarder.status.gather())["rules"] is not None
        await forwarder.reload(wanted.model_copy(update={"rules": type(wanted.rules)()}))
        assert (await forwarder.status.gather())["rules"] is None


@pytest.mark.long
async def test_rules_that_cannot_start_log_an_error_and_retry(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        await store.append(Batch(cursor=("rules", "not a number")), timeout=5)
    forwarder = Forwarder(settings(tmp_path), SystemClock())
    with structlog.testing.capture_logs() as lines:
        await forwarder.start()
        try:
            await until(lambda: "rules_failed" in [line["action"] for line in lines])
            await forwarder.store.append(Batch(cursor=("rules", "0")), timeout=5)
            await post(forwarder, burst())
            await evaluated(forwarder)
            await until(lambda: "rule_alert" in [line["action"] for line in lines])
        finally:
            await forwarder.stop(grace=0)
