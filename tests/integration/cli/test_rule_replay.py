"""`rules replay` and `rules list` over a store that a running forwarder has filled."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.core.alert import EVENT_TYPE
from forwarder.core.event import Event
from forwarder.core.time import SECOND
from forwarder.detect.replay import Replay
from forwarder.store.interface import open_commands
from forwarder.store.settings import StoreSettings
from tests.fakes.clock import ManualClock
from tests.integration.detect.scene import evaluated, post, running, settings, shifted, stored
from tests.unit.rules.days import RULES, day, made

pytestmark = pytest.mark.timeout(180)

_DERIVED = """---
title: New device
id: new-device
logsource: {product: okta, service: okta}
detection:
  selection: {forwarder.new.device: true}
  condition: selection
---
title: The robot is allowed
logsource: {product: okta, service: okta}
filter:
  rules: [alone]
  selection: {actor.id: u0}
  condition: not selection
"""


def run(directory: Path, *words: str, **sections: Any) -> Result:
    wanted: dict[str, Any] = {
        "orgs": {"acme": {"secrets": ["the-secret"]}},
        "store": {"path": str(directory / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(directory / "archive.ndjson")}},
        "rules": {"files": [str(directory / "rules")]},
    }
    wanted |= sections
    config = directory / "forwarder.yaml"
    config.write_text(json.dumps(wanted))
    return CliRunner().invoke(main, ["rules", *words, "--config", str(config)])


async def fill(directory: Path, posts: Sequence[Sequence[Event]], rules: str = RULES + _DERIVED) -> list[Event]:
    """Let a forwarder evaluate these posts, restarted after each; return the alerts that it stored."""
    for events in posts:
        async with running(settings(directory, rules)) as forwarder:
            await evaluated(forwarder)
            await post(forwarder, events)
            await evaluated(forwarder)
            alerts = await stored(forwarder)
    return alerts


def with_device(event: Event, device: str) -> Event:
    body: dict[str, Any] = json.loads(event.body)
    body["actor"]["type"], body["outcome"], body["device"] = "User", {"result": "SUCCESS"}, {"id": device}
    return msgspec.structs.replace(event, body=json.dumps(body).encode())


@pytest.mark.long
async def test_a_replay_equals_what_live_evaluation_alerted(tmp_path: Path) -> None:
    chance = Random(5)
    events = [with_device(event, f"guo{chance.randrange(3)}") for event in shifted(day(5, 200))]
    chance.shuffle(events)
    live = await fill(tmp_path, [events[:70], events[70:150], events[150:]])
    before = (tmp_path / "store.db").read_bytes()
    report = json.loads(run(tmp_path, "replay", "--since", "7d", "--json").output)
    assert (tmp_path / "store.db").read_bytes() == before
    assert len(live) > 10
    assert sorted(one["uuid"] for one in report["alerts"]) == sorted(alert.uuid for alert in live)
    for rule in report["rules"]:
        assert rule["alerts"] == rule["stored_alerts"], rule
    assert report["events"] == len(events)


@pytest.mark.long
async def test_a_replay_with_few_users_and_alerts_in_memory_finds_the_same(tmp_path: Path) -> None:
    chance = Random(6)
    events = [with_device(event, f"guo{chance.randrange(4)}") for event in shifted(day(6, 200))]
    long_ago = [with_device(made(9000 + n, 0, "any", f"u{n}", "192.0.2.9"), "guo0") for n in range(9)]
    others = shifted([made(10_000 + n, n, "any", "nobody", "192.0.2.9") for n in range(1000)])  # a read of their own
    await fill(tmp_path, [[*long_ago, *others, *events]], RULES)  # so that the store knows nothing of the users
    wanted = settings(tmp_path, RULES + _DERIVED)
    store, rules = open_commands(wanted.store, ManualClock()), wanted.rules.load()
    whole = Replay(store, wanted.rules, rules, 0).run()
    small = Replay(store, wanted.rules, rules, 0, most_users=1, most_alerts=3).run()
    assert small.rules == whole.rules
    assert sum(rule.alerts for rule in whole.rules if rule.id == "new-device") > 0
    assert (small.alerts, small.alerts_left_out) == (whole.alerts[:3], len(whole.alerts) - 3)
    assert whole.alerts_left_out == 0


@pytest.mark.long
async def test_it_reports_matches_users_hours_and_what_was_held_back(tmp_path: Path) -> None:
    events = shifted(
        [made(n, n * SECOND, "alone", f"u{n % 2}", "192.0.2.1") for n in range(6)]
        + [made(20, 60 * SECOND, "alone", "u1", "192.0.2.1")]
    )
    await fill(tmp_path, [events])
    report = json.loads(run(tmp_path, "replay", "--rule", "alone", "--json").output)
    (rule,) = report["rules"]
    assert (rule["matches"], rule["alerts"], rule["users"]) == (4, 1, 1)
    assert rule["held_back"] == {"exception": 3, "again": 3}
    assert rule["loudest"] == [["u1", 4]]
    assert sum(number for _, number in rule["busiest"]) == 4
    text = run(tmp_path, "replay").output
    assert "1 alert from 4 matches" in text
    assert "held back by an exception: 3" in text


@pytest.mark.long
async def test_a_long_name_of_a_user_does_not_fill_the_screen(tmp_path: Path) -> None:
    await fill(tmp_path, [shifted([made(1, SECOND, "alone", "u\n" * 150_000, "192.0.2.1")])])
    text = run(tmp_path, "replay").output
    assert "(300,000 characters)" in text
    assert len(text) < 5_000
    assert r"u\nu\n" in text


REACTIONS: dict[str, Any] = {
    "mode": "shadow",
    "protect": {"users": ["u2"], "groups": ["Break-glass"]},
    "webhooks": {"soc": {"url": "https://soc.example", "secret": {"env": "NOT_SET"}}},
    "on": [{"rule": "alone", "do": ["revoke_sessions", {"suspend": {"for": "1h"}}, {"notify": "soc"}]}],
}


@pytest.mark.long
async def test_it_says_what_enforce_would_have_done(tmp_path: Path) -> None:
    events = [
        with_device(event, "guo1")
        for event in shifted([made(n, n * 2 * 3600 * SECOND, "alone", f"u{n}", "192.0.2.1") for n in range(4)])
    ]
    await fill(tmp_path, [events], RULES)
    org = {"url": "https://acme.okta.com", "secrets": ["the-secret"], "api": {"token": {"env": "NOT_SET"}}}
    before = (tmp_path / "store.db").read_bytes()
    output = run(tmp_path, "replay", "--json", orgs={"acme": org}, reactions=REACTIONS).output
    assert (tmp_path / "store.db").read_bytes() == before
    report = json.loads(output)
    (rule,) = [each for each in report["rules"] if each["id"] == "alone"]
    assert rule["alerts"] == 4
    late = {"late": 3}  # all were received now, and the last one alone happened now
    assert rule["actions"] == [
        {"action": "revoke_sessions", "calls": 1, "asks": {}, "no_op": {}, "refused": late, "targets": 1},
        {"action": "suspend", "calls": 0, "asks": {"approval": 1}, "no_op": {}, "refused": late, "targets": 0},
        {"action": "notify", "calls": 4, "asks": {}, "no_op": {}, "refused": {}, "targets": 4},
    ]
    assert len(report["actions"]) == 12
    called = [one for one in report["actions"] if one["action"] == "revoke_sessions" and not one["reason"]]
    assert [one["target"] for one in called] == ["u3"]
    assert set(report["not_judged"]) == {"protected", "state", "hold", "unconfirmed", "paused"}
    text = run(tmp_path, "replay", "--rule", "alone", orgs={"acme": org}, reactions=REACTIONS).output
    assert "  revoke_sessions: 1 call on 1 target; 3 refused (late 3)\n" in text
    assert "  suspend: 1 waiting for a human (approval 1); 3 refused (late 3)\n" in text
    assert "  notify: 4 calls\n" in text
    assert (
        "A running forwarder may take fewer actions, because the replay cannot apply these guards:\n  protected: "
        in text
    )
    assert "not judged" not in run(tmp_path, "replay").output


@pytest.mark.long
async def test_what_is_too_old_to_alert_live_is_shown_apart(tmp_path: Path) -> None:
    old = made(1, 0, "alone", "u7", "192.0.2.1")
    await fill(tmp_path, [[old, *shifted([made(2, 0, "gamma", "u1", "192.0.2.1")])]])
    report = json.loads(run(tmp_path, "replay", "--rule", "Alone", "--json").output)
    (rule,) = report["rules"]
    assert (report["too_old"], rule["alerts"], rule["alerts_too_old"]) == (1, 0, 1)


@pytest.mark.long
async def test_the_list_shows_what_feeds_a_rule_and_its_alerts(tmp_path: Path) -> None:
    await fill(tmp_path, [shifted([made(n, n * SECOND, "alpha", "u1", "192.0.2.1") for n in range(9)])])
    rows = {row["id"]: row for row in json.loads(run(tmp_path, "list", "--json").output)["rules"]}
    assert (rows["many"]["alerts_24h"], rows["many"]["alerts_7d"]) == (1, 1)
    assert rows["many"]["last_alert"]
    assert (rows["spray"]["alerts_7d"], rows["spray"]["last_alert"]) == (0, None)
    assert rows["alpha"]["fed_by"] == "neither"
    assert rows["alpha"]["alerts_by_itself"] is False
    assert "Many" in run(tmp_path, "list").output


@pytest.mark.long
async def test_the_list_counts_what_exceptions_held_back_with_what_again_held_back(tmp_path: Path) -> None:
    robot = [made(n, n * SECOND, "alone", "u0", "192.0.2.1") for n in range(3)]
    person = [made(10 + n, n * SECOND, "alone", "u1", "192.0.2.1") for n in range(5)]
    await fill(tmp_path, [shifted(robot), shifted(person)])
    rows = {row["id"]: row for row in json.loads(run(tmp_path, "list", "--json").output)["rules"]}
    alone = rows["alone"]
    assert (alone["alerts_24h"], alone["held_back"], alone["held_back_by_exceptions"]) == (1, 7, 3)
    assert "7, 3 by" in " ".join(run(tmp_path, "list").output.split())


def test_a_rule_that_is_not_there_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    settings(tmp_path)
    result = run(tmp_path, "replay", "--rule", "manyy")
    assert (result.exit_code, "did you mean 'many'" in result.output) == (2, True)


@pytest.mark.parametrize("command", ["list", "replay"])
def test_rules_with_problems_are_refused_with_the_lines_of_check(tmp_path: Path, command: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.yml").write_text("title: X\nlogsource: {product: okta}\n")
    result = run(tmp_path, command)
    checked = CliRunner().invoke(main, ["check", "-c", str(tmp_path / "forwarder.yaml")])
    assert "rules.files: " in result.output
    assert (result.exit_code, result.output) == (checked.exit_code, checked.output)
    assert result.exit_code == 2


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    settings(tmp_path)
    result = run(tmp_path, "replay")
    assert (result.exit_code, "there is no store" in result.output) == (1, True)


@pytest.mark.long
async def test_alerts_are_found_in_the_store_by_time(tmp_path: Path) -> None:
    alerts = await fill(tmp_path, [shifted([made(1, 0, "alone", "u1", "192.0.2.1")])])
    commands = open_commands(StoreSettings(path=tmp_path / "store.db"), ManualClock())
    (found,) = commands.alerts(0)
    assert (found.event, found.event.event_type) == (alerts[0], EVENT_TYPE)
    assert list(commands.alerts(found.event.received_at + 1)) == []
