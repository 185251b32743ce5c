"""`forwarder reactions list`, `show` and `export` on a store that holds actions, with and without a forwarder."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.control_socket.messages import socket_path
from forwarder.core.action import (
    Action,
    ActionRequest,
    ActionState,
    ActionTarget,
    Approval,
    End,
    Outcome,
    Reason,
    Waits,
)
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND, iso
from tests.fakes.action import ALERT, action
from tests.integration.store.helpers import opened

DAY = 86_400 * SECOND
NOW = SystemClock().now() // SECOND * SECOND

LIVE = action(
    "suspend",
    planned_at=NOW - 3 * DAY,
    state=ActionState.LIVE,
    outcome=Outcome.DONE,
    undo_due=NOW + 3600 * SECOND,
    settings={"for": 14400},
    request=ActionRequest("acme", "POST", "/api/v1/users/00u1/lifecycle/suspend"),
    before={"status": "ACTIVE"},
    after={"status": "SUSPENDED"},
    approval=Approval(NOW - DAY, by="mia", at=NOW - 2 * DAY, given=True),
    called_at=NOW - 2 * DAY,
    handle="the-handle",
    subject=b"the alert",
    request_id="req-7",
)
WAITING = action(
    "block_ip",
    target=ActionTarget("ip", "203.0.113.9"),
    planned_at=NOW - 60 * SECOND,
    state=ActionState.WAITING,
    waits_for=Waits.APPROVAL,
    reason=Reason.LIMIT,
    approval=Approval(NOW + 900 * SECOND, why="timed"),
)
REFUSED = action(
    "revoke_sessions",
    planned_at=NOW - 9 * DAY,
    state=ActionState.ENDED,
    outcome=Outcome.REFUSED,
    reason=Reason.PROTECTED,
    detail="00u1 has the role SUPER_ADMIN\x1b[2J; remove it first",
    mode="shadow",
)
UNDONE = action(
    "add_to_group",
    planned_at=NOW - DAY,
    state=ActionState.ENDED,
    outcome=Outcome.DONE,
    end=End.UNDONE,
    undone_by="hand: mia",
    undone_at=NOW,
)


def write(path: Path, *actions: Action) -> None:
    async def fill() -> None:
        async with opened(path, sinks=()) as store:
            await store.commit_actions(Batch(), actions)

    asyncio.run(fill())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {"acme": {"secrets": ["planted-secret"]}},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))
    write(tmp_path / "store.db", LIVE, WAITING, REFUSED, UNDONE)
    return file


def run(config: Path, *words: Any) -> Result:
    arguments = ["reactions", *map(str, words), "--config", str(config)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def names(output: str) -> list[str]:
    return [json.loads(line)["action"] for line in output.splitlines()]


def test_the_list_has_every_action_newest_first_with_its_state_and_its_end(config: Path) -> None:
    lines = run(config, "list").output.splitlines()
    assert [line.split()[2] for line in lines[1:5]] == ["block_ip", "add_to_group", "suspend", "revoke_sessions"]
    assert WAITING.id in lines[1]
    assert "waits for approval (limit)" in lines[1]
    assert iso(NOW + 900 * SECOND, "seconds") in lines[1]
    assert "undone by hand" in lines[2]
    assert "done, live" in lines[3]
    assert iso(NOW + 3600 * SECOND, "seconds") in lines[3]
    assert "refused (protected)" in lines[4]
    assert "shadow" in lines[4]
    assert lines[5].startswith("4 actions, the newest first. To see all about an action:")


def test_the_list_is_limited_and_says_so(config: Path) -> None:
    output = run(config, "list", "--limit", 2).output
    assert "2 actions, the newest first; there are more" in output
    assert names(run(config, "list", "--limit", 1, "--json").output) == ["block_ip"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--live"], ["suspend"]),
        (["--waiting"], ["block_ip"]),
        (["--live", "--waiting"], ["block_ip", "suspend"]),
        (["--since", "7d"], ["block_ip", "add_to_group", "suspend"]),
        (["--since", "2d", "--live"], []),
        (["--since", "12h"], ["block_ip"]),
    ],
)
def test_the_list_can_be_narrowed(config: Path, options: list[str], wanted: list[str]) -> None:
    assert names(run(config, "list", *options, "--json").output) == wanted


def test_show_has_all_about_one_action(config: Path) -> None:
    output = run(config, "show", LIVE.id).output
    for words in (
        "suspend of jane@corp.example",
        "done, live  (timed, enforce)",
        f"Password spray ({LIVE.rule})",
        f"forwarder find {ALERT}",
        "POST /api/v1/users/00u1/lifecycle/suspend to acme",
        '{"status":"ACTIVE"}',
        '{"status":"SUSPENDED"}',
        '{"for":14400}',
        f"approved by mia at {iso(NOW - 2 * DAY, 'seconds')}: this action always needs approval",
        "undo due",
        "req-7",
    ):
        assert words in output, words
    waiting = run(config, "show", WAITING.id).output
    assert f"needed until {iso(NOW + 900 * SECOND, 'seconds')}: over the limit timed" in waiting


def test_a_text_from_okta_cannot_steer_the_terminal(config: Path) -> None:
    output = run(config, "show", REFUSED.id).output
    assert "00u1 has the role SUPER_ADMIN" in output
    assert "\x1b" not in output


def test_the_beginning_of_an_id_is_enough_and_several_are_named(config: Path, tmp_path: Path) -> None:
    assert json.loads(run(config, "show", LIVE.id[:6], "--json").output)["key"] == LIVE.key
    assert json.loads(run(config, "show", LIVE.key, "--json").output)["key"] == LIVE.key
    write(tmp_path / "store.db", replace(UNDONE, key="feed" + 60 * "0"), replace(LIVE, key="feed" + 60 * "1"))
    several = run(config, "show", "feed")
    assert several.exit_code == 1
    assert "several ids begin with feed" in several.output
    assert "feed00000000  add_to_group of jane@corp.example: undone by hand" in several.output
    assert "feed11111111  suspend of jane@corp.example: done" in several.output


@pytest.mark.parametrize("wrong", ["0000000000", "%", "_", "", "ABC", "'; --", 80 * "a"])
def test_an_id_that_is_none_is_named_with_what_to_do(config: Path, wrong: str) -> None:
    found = run(config, "show", wrong)
    assert found.exit_code == 1
    assert "See: forwarder reactions list" in found.output


def test_an_export_has_everything_that_may_be_shown_oldest_first(config: Path) -> None:
    lines = [json.loads(line) for line in run(config, "export").output.splitlines()]
    assert [line["id"] for line in lines] == [one.id for one in (LIVE, WAITING, REFUSED, UNDONE)]  # as planned
    live = lines[0]
    assert (live["alert"], live["state"], live["undo_due"]) == (ALERT, "live", iso(NOW + 3600 * SECOND, "milliseconds"))
    assert live["approval"]["by"] == "mia"
    assert names(run(config, "export", "--since", "2d").output) == ["block_ip", "add_to_group"]
    everything = run(config, "export").output + run(config, "show", LIVE.id).output
    assert "the-handle" not in everything
    assert "the alert" not in everything


@pytest.mark.long
def test_very_many_actions_are_exported_in_steps(config: Path, tmp_path: Path) -> None:
    write(tmp_path / "store.db", *[action(alert=f"{number}", planned_at=NOW) for number in range(450)])
    lines = run(config, "export").output.splitlines()
    assert len(lines) == len({json.loads(line)["key"] for line in lines}) == 454


@pytest.mark.long
def test_the_list_says_first_what_is_paused_why_by_whom_and_until_when(config: Path) -> None:
    assert run(config, "pause", "suspend", "--why", "an\x1b[2J audit", "--for", "2h").exit_code == 0
    assert run(config, "pause", "--why", "maintenance").exit_code == 0
    for options in ([], ["--live"], ["--since", "1s"]):
        first, second, *_ = run(config, "list", *options).output.splitlines()
        assert first.startswith("All reactions are paused until `forwarder reactions resume`, by ")
        assert first.endswith(": maintenance")
        assert second.startswith("The action suspend is paused until 2")
        assert second.endswith(r": an\x1b[2J audit")
    lines = [json.loads(line) for line in run(config, "list", "--json").output.splitlines()]
    pauses = [line["pause"] for line in lines if "pause" in line]
    assert [(one["scope"], one["why"]) for one in pauses] == [("", "maintenance"), ("suspend", "an\x1b[2J audit")]
    assert pauses[0]["until"] is None
    assert pauses[1]["until"]
    assert [line["action"] for line in lines[2:4]] == ["block_ip", "add_to_group"]
    assert run(config, "resume").exit_code == 0
    assert run(config, "list", "--live").output.splitlines()[0].split()[0] == "id"


@pytest.mark.parametrize("words", [["pause", "--why", "an attack"], ["resume"]])
def test_a_pause_is_never_written_to_a_new_store_that_no_forwarder_reads(
    config: Path, tmp_path: Path, words: list[str]
) -> None:
    tree = json.loads(config.read_text())
    tree["store"]["path"] = str(tmp_path / "elsewhere.db")
    config.write_text(json.dumps(tree))
    refused = run(config, *words)
    assert refused.exit_code == 1
    assert f"there is no store at {tmp_path / 'elsewhere.db'}" in refused.output
    assert list(tmp_path.glob("elsewhere*")) == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["pause", "--why", " "], "is blank; write a reason"),
        (["undo", LIVE.id, "--why", ""], "is blank; write a reason"),
        (["pause", "--for", "0s", "--why", "x"], "the time must be longer than 0s; write one such as 2h"),
        (["list", "--limit", 0], "is not in the range"),
        (["list", "--limit", 10**30], "is not in the range"),
    ],
)
def test_what_would_do_nothing_or_say_nothing_is_refused(config: Path, words: list[Any], hint: str) -> None:
    refused = run(config, *words)
    assert (refused.exit_code, hint in refused.output) == (2, True)
    assert "paused" not in run(config, "list").output


@pytest.mark.slow
def test_a_pause_does_not_wait_for_minutes_for_a_forwarder_that_hangs(config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(socket_path(tmp_path / "store.db")))
        hanging.listen()
        output = run(config, "pause", "--why", "it is stuck").output
    assert (
        "did not answer within 10 s; it may still carry out the request; if the forwarder hangs, end its process"
        in output
    )


def test_show_says_who_undid_an_effect_and_why(config: Path, tmp_path: Path) -> None:
    undone = replace(UNDONE, key="beef" + 60 * "0", undone_by="hand:mia", undone_why="false alarm")
    write(tmp_path / "store.db", undone)
    output = run(config, "show", "beef").output
    assert "undone by  mia: false alarm" in output
    assert "  why " not in output
    left = replace(undone, key="cafe" + 60 * "0", end=End.NOT_OURS, detail="others have changed the target since")
    write(tmp_path / "store.db", left)
    output = run(config, "show", "cafe").output
    assert "ended by   mia: false alarm" in output
    assert "undone by" not in output


@pytest.mark.long
def test_a_rule_that_is_paused_is_named_by_its_title_and_resumed_when_it_is_not_loaded(config: Path) -> None:
    (config.parent / "rules").mkdir()
    rule = {"title": "A sign-in", "id": "7d0a1f5e-4f7c-4a57-9d1c-2f7e0a3b9c11", "level": "high"}
    logic = {"detection": {"selection": {"eventtype": "user.session.start"}, "condition": "selection"}}
    source = {"logsource": {"product": "okta", "service": "okta"}}
    (config.parent / "rules" / "one.yml").write_text(json.dumps(rule | logic | source))
    without = config.read_text()
    loaded = json.dumps(json.loads(without) | {"rules": {"files": [str(config.parent / "rules")]}})
    for name in ("A sign-in", rule["id"]):
        config.write_text(loaded)
        assert run(config, "pause", rule["id"], "--why", "noise").exit_code == 0
        config.write_text(without)
        first = run(config, "list").output.splitlines()[0]
        assert first.startswith("Reactions to the rule A sign-in are paused until")
        assert run(config, "resume", name).output == f"Resumed {name}.\n"


async def test_they_work_beside_a_running_forwarder(config: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db", sinks=()) as store:
        await store.commit_actions(Batch(), [action("notify", planned_at=NOW + 1)])
        output = (await asyncio.to_thread(run, config, "list", "--json")).output
        assert names(output)[0] == "notify"


@pytest.mark.long
def test_without_an_action_it_says_so(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("store.db", "other.db"))
    missing = CliRunner().invoke(main, ["reactions", "list", "--config", str(other)])
    assert missing.exit_code != 0
    write(tmp_path / "other.db")
    assert run(other, "list").output == "Reactions have done nothing so far.\n"
    assert run(other, "list", "--live").output == "There are no such actions.\n"
    assert run(other, "list", "--json").output == ""
    assert run(other, "export").output == ""


@pytest.mark.parametrize("words", [("show", REFUSED.id, "--json"), ("export",), ("list", "--json")])
def test_an_action_is_printed_as_json_whatever_characters_it_contains(
    tmp_path: Path, config: Path, words: tuple[str, ...]
) -> None:
    odd = replace(REFUSED, title="soft\xadhyphen \x7f \x85 \u202e \U000e0041")
    write(tmp_path / "store.db", odd)
    found = [json.loads(line) for line in run(config, *words).output.splitlines()]
    assert odd.title in [each["title"] for each in found]
