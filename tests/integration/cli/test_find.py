"""`forwarder find`: what it prints of each event, and the exit code."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from forwarder.cli.main import main
from forwarder.control_socket.server import ControlServer
from forwarder.core.action import ActionState, ActionTarget, Outcome, Reason
from forwarder.core.alert import Alert, AlertWindow, RuleInfo, to_event
from forwarder.core.event import BACKFILL, Event, Source
from forwarder.core.outcome import Rejection, RejectReason
from forwarder.core.ports import Batch, Settlement
from forwarder.core.time import SECOND, iso
from forwarder.okta.system_log.cursor import Cursor, cursor_name
from forwarder.status import StatusRequest
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.action import action
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.elasticsearch import FakeElasticsearch, Reply, error
from tests.integration.store.helpers import malformed_event, opened, prune, rejections, settle

HOOK = "who1234567890"
SINKS = ("archive", "siem")
MADE_AT = 1_739_450_984_737_997
"""When event 7 was made, by its uuid."""


def happened(number: int, *, source: Source = Source.HOOK, hooks: Sequence[str] = (), **more: Any) -> Event:
    """The event of this number; Okta meant it for `hooks`."""
    name = f"{number:08x}-ea09-11ef-9cf1-ad97f4a9f2f5"
    body = {
        "uuid": name,
        "eventType": more.get("event_type", "user.session.start"),
        "published": "2026-01-01T12:00:00Z",
        "displayMessage": "User login to Okta",
        "actor": {"id": "00u1", "alternateId": more.get("user", "ada@acme.test")},
        "debugContext": {"debugData": {"targetEventHookIds": ",".join(hooks)} if hooks else {}},
    }
    event_type, org = str(body["eventType"]), more.get("org", "acme")
    received = NOON + 3 * SECOND
    return Event(org, name, event_type, NOON, received, source, more.get("envelope_id", ""), json.dumps(body).encode())


def configured(directory: Path, siem: dict[str, Any] | None = None) -> Path:
    tree = {
        "orgs": {
            name: {
                "secrets": [{"env": "NOT_SET_IN_THIS_SHELL"}],
                "path": f"/{name}",
                "url": f"https://{name}.okta.com",
                **({"api": {"token": {"env": "NOT_SET_IN_THIS_SHELL"}}} if name == "acme" else {}),
            }
            for name in ("acme", "hookonly")
        },
        "store": {"path": str(directory / "store.db")},
        "sinks": {
            "archive": {"kind": "file", "path": str(directory / "archive.ndjson")},
            "siem": siem or {"kind": "file", "path": str(directory / "siem.ndjson")},
        },
    }
    file = directory / "forwarder.yaml"
    file.write_text(json.dumps(tree))
    return file


def run(config: Path, *words: Any) -> Result:
    return CliRunner().invoke(main, ["find", "--config", str(config), *map(str, words)], catch_exceptions=False)


def lines(result: Result) -> dict[str, str]:
    """First word → the rest, of each line after the first."""
    parts = (line.split(maxsplit=1) for line in result.stdout.splitlines()[1:])
    return {words[0]: words[1] for words in parts if len(words) == 2}


@asynccontextmanager
async def stored(config: Path, *events: Event, clock: ManualClock | None = None) -> AsyncIterator[SqliteStore]:
    async with opened(config.with_name("store.db"), clock, sinks=SINKS) as store:
        await store.append(Batch(events), timeout=5)
        yield store


def fill(config: Path, *events: Event, settlement: Settlement | None = None) -> None:
    async def work() -> None:
        async with stored(config, *events) as store:
            if settlement:
                await settle(store, "siem", settlement)

    asyncio.run(work())


def test_the_life_of_a_delivered_event_is_one_screen(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, happened(1), settlement=Settlement(1, delivered=1))
    result = run(config, happened(1).uuid)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"user.session.start  {happened(1).uuid}  acme",
        "  happened   2026-01-01T12:00:00.000Z  User login to Okta; ada@acme.test (00u1)",
        "  hook       hooks carry this type; Okta meant the event for our hook",
        "  came       2026-01-01T12:00:03.000Z by the event hook, 3.0 s after it happened",
        "  stored     2026-01-01T12:00:00Z as event 1",
        "  archive    waiting: no forwarder runs on this store; the next forwarder that starts sends the event",
        "  siem       delivered 2026-01-01T12:00:00.000Z",
    ]


def test_a_dead_letter_has_the_sinks_words_and_its_number(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, happened(1), settlement=Settlement(1, dead=rejections(1)))
    shown = lines(run(config, happened(1).uuid))["siem"]
    assert shown == "dead letter 1 since 2026-01-01T12:00:00.000Z: mapping: field of 1 is no number"


def test_a_long_answer_of_a_sink_does_not_fill_the_screen(tmp_path: Path) -> None:
    config = configured(tmp_path)
    answer = "no number " * 30_000
    fill(config, happened(1), settlement=Settlement(1, dead=(Rejection(1, RejectReason.MAPPING, answer),)))
    shown = run(config, happened(1).uuid).stdout
    assert "(300,009 characters)" in shown
    assert len(shown) < 5_000
    (event,) = json.loads(run(config, "--json", happened(1).uuid).stdout)["events"]
    assert event["sinks"]["siem"]["why"] == f"mapping: {answer}"


def test_a_filtered_event_says_so(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, happened(1), settlement=Settlement(1, filtered=(1,)))
    shown = lines(run(config, happened(1).uuid))["siem"]
    assert shown == "filtered 2026-01-01T12:00:00.000Z by `only` or `except` of the sink"


async def test_a_duplicate_a_missed_event_and_one_of_a_backfill_say_so(tmp_path: Path) -> None:
    config = configured(tmp_path)
    missed, late = happened(2, source=Source.LOG), happened(3, source=Source.LOG, envelope_id=BACKFILL)
    clock = ManualClock()
    async with stored(config, happened(1), clock=clock) as store:
        await clock.advance(30)
        await store.append(Batch([happened(1, source=Source.LOG), happened(1)]), timeout=5)
        await store.append(Batch([missed], expected_by_hook=frozenset([missed.uuid])), timeout=5)
        await store.mark_missed("acme", NOON + 60 * SECOND)
        await store.append(Batch([late]), timeout=5)
    copies = lines(await asyncio.to_thread(run, config, happened(1).uuid))["copies"]
    assert copies == (
        "1 by the event hook and 1 by the System Log, the last 2026-01-01T12:00:30Z; dropped as duplicates"
    )
    shown = lines(await asyncio.to_thread(run, config, missed.uuid))
    assert shown["missed"] == "the hook did not deliver it by 2026-01-01T12:00:30.000Z; see: forwarder gaps"
    assert shown["hook"] == "hooks carry this type; Okta meant the event for our hook"
    shown = lines(await asyncio.to_thread(run, config, late.uuid))
    assert "by a backfill of the System Log" in shown["came"]


@pytest.mark.long
async def test_whether_okta_named_our_hook_is_known_from_the_last_poll(tmp_path: Path) -> None:
    config = configured(tmp_path)
    named, other, none, unfit = (
        happened(1, source=Source.LOG, hooks=["who9", HOOK]),
        happened(2, source=Source.LOG, hooks=["who9"]),
        happened(3, source=Source.LOG),
        happened(4, source=Source.LOG, event_type="policy.evaluate_sign_on"),
    )

    async def hooks() -> list[str]:
        results = [await asyncio.to_thread(run, config, one.uuid) for one in (named, other, none, unfit)]
        return [lines(result)["hook"].partition("; ")[2] for result in results]

    async with stored(config, named, other, none, unfit) as store:
        unknown = "Okta meant the event for a hook, but the forwarder does not know the id of its own hook"
        no, only_log = "Okta did not mean the event for our hook", "only the System Log has it"
        assert await hooks() == [unknown, unknown, no, only_log]
        cursor = json.dumps({"next": "", "polled": 0, "newest": 0, "hook": HOOK})
        await store.append(Batch(cursor=(cursor_name("acme"), cursor)), timeout=5)
        assert await hooks() == ["Okta meant the event for our hook", no, no, only_log]


async def test_an_event_whose_body_was_dropped_is_known(tmp_path: Path) -> None:
    config, clock = configured(tmp_path), ManualClock()
    async with stored(config, happened(1), clock=clock) as store:
        for sink in SINKS:
            await settle(store, sink, Settlement(1, delivered=1))
        await clock.advance(8 * 86_400)
        await prune(store)
    result = await asyncio.to_thread(run, config, happened(1).uuid)
    assert result.exit_code == 0
    shown = lines(result)
    assert (
        "its body was dropped: the store keeps bodies for 7 days, longer if a sink has not finished the event"
        in shown["stored"]
    )
    assert shown["siem"].startswith(
        "finished; the store has dropped the details: whether the event was delivered, and when"
    )


async def test_a_malformed_event_is_found_as_a_dead_letter_of_the_receiver(tmp_path: Path) -> None:
    config, name = configured(tmp_path), happened(1).uuid
    async with stored(config) as store:
        await store.append(Batch(malformed=[malformed_event(f'{{"uuid":"{name}"'.encode())]), timeout=5)
    result = await asyncio.to_thread(run, config, name)
    assert result.exit_code == 0
    assert "malformed event of acme, received 2026-01-01T12:00:00.000Z: no uuid" in result.stdout
    assert "forwarder dead-letters show 1" in result.stdout


@pytest.mark.long
async def test_the_alerts_that_rules_made_of_an_event_are_shown_and_are_found_themselves(tmp_path: Path) -> None:
    async with FakeElasticsearch() as server:
        config = configured(tmp_path, {"kind": "elasticsearch", "hosts": [server.url]})
        first, last = happened(1), happened(2)
        rule = RuleInfo("r1", "Two odd sign-ins", "high")
        window = AlertWindow(NOON, NOON, 600)
        alert = Alert("acme", rule, {"user": "ada"}, window, first.uuid, [first.uuid, last.uuid], 2, 2)
        async with stored(config, first, last, happened(3)) as store:
            await store.append(Batch([to_event(alert, {"uuid": last.uuid}, NOON)]), timeout=5)
        for one in (first, last):
            shown = lines(await asyncio.to_thread(run, config, one.uuid, "--offline"))
            assert shown["alert"] == f"Two odd sign-ins (high): forwarder find {alert.uuid}"
        assert "alert" not in lines(await asyncio.to_thread(run, config, happened(3).uuid, "--offline"))
        server.data_streams["logs-okta_forwarder.alert-default"] = {alert.uuid: {}}
        _, answer = await documents(config, alert.uuid)
        assert (answer["events"][0]["source"], answer["events"][0]["event_type"]) == ("alert", "forwarder.alert")
        assert answer["events"][0]["sinks"]["siem"]["document"]["found"]
        text = (await asyncio.to_thread(run, config, alert.uuid)).stdout
        assert "by a rule of this forwarder" in text
        assert "hooks carry" not in text


@pytest.mark.long
async def test_the_actions_that_came_of_an_event_are_listed_with_it_and_with_its_alert(tmp_path: Path) -> None:
    config = configured(tmp_path)
    first, last, other = happened(1), happened(2), happened(3)
    rule, window = RuleInfo("r1", "Two odd sign-ins", "high"), AlertWindow(NOON, NOON, 600)
    alert = Alert("acme", rule, {"user": "ada"}, window, first.uuid, [first.uuid, last.uuid], 2, 2)
    about: dict[str, Any] = {"alert": alert.uuid, "events": list(alert.events), "subject": b"{}"}
    evil = ActionTarget("user", "00u1", "ada\x1b[31m%s\n\u202e@acme.com")
    refused = action("suspend", **about | {"target": evil}, state=ActionState.ENDED, outcome=Outcome.REFUSED)
    live = action("add_to_group", **about, state=ActionState.LIVE, outcome=Outcome.DONE, planned_at=NOON + 1)
    foreign = action("revoke_sessions", alert="another", events=[other.uuid])
    elsewhere = action("block_ip", **about, org="elsewhere", key="elsewhere")
    async with stored(config, first, last, other, happened(4)) as store:
        await store.append(Batch([to_event(alert, {"uuid": last.uuid}, NOON)]), timeout=5)
        rows = [replace(refused, reason=Reason.PROTECTED), live, foreign, elsewhere]
        await store.commit_actions(Batch(), rows)
    for one in (first.uuid, last.uuid, alert.uuid):
        result = await asyncio.to_thread(run, config, one, "--offline")
        found = [line.split(maxsplit=1)[1] for line in result.stdout.splitlines() if line.startswith("  action")]
        assert found[1] == f"add_to_group of {live.target.name}: done: forwarder reactions show {live.id}"
        assert found[0].startswith("suspend of ada")
        assert found[0].endswith(f": refused (protected): forwarder reactions show {refused.id}")
        assert len(found) == 2
        assert all(line.isprintable() for line in result.stdout.splitlines())
        answer = json.loads((await asyncio.to_thread(run, config, one, "--offline", "--json")).stdout)
        assert [each["id"] for each in answer["events"][0]["actions"]] == [refused.id, live.id]
    assert "revoke_sessions" in (await asyncio.to_thread(run, config, other.uuid, "--offline")).stdout
    assert "  action" not in (await asyncio.to_thread(run, config, happened(4).uuid, "--offline")).stdout


# --- not found


def test_a_login_in_the_place_of_a_uuid_is_answered_with_the_option_for_it(tmp_path: Path) -> None:
    result = run(configured(tmp_path), "ada@acme.test")
    assert result.exit_code == 2
    assert "ada@acme.test is a login, not a UUID; write --user ada@acme.test" in result.stderr


async def test_an_event_that_was_never_stored_is_not_found_and_the_next_command_is_named(tmp_path: Path) -> None:
    config, name = configured(tmp_path), happened(7).uuid
    async with stored(config) as store:
        read_to = json.dumps({"next": "", "polled": NOON, "newest": 0})
        assert Cursor("", NOON, 0).complete_until == NOON
        await store.append(Batch(cursor=(cursor_name("acme"), read_to)), timeout=5)
    result = await asyncio.to_thread(run, config, name.upper())
    assert result.exit_code == 1
    text = result.stdout
    assert f"{name} was never stored here, or it was stored more than 30 days ago (store.dedup_window)." in text
    assert f"According to its uuid, the event was made at {iso(MADE_AT, 'seconds')}." in text
    assert "acme: its System Log was read up to 2026-01-01T12:00:00Z" in text
    since, until = (iso(MADE_AT + minutes * 60 * SECOND, "seconds") for minutes in (-5, 5))
    assert f"forwarder backfill --org acme --since {since} --until {until}" in text
    assert "forwarder gaps --org acme" in text
    assert "hookonly: its System Log is not read, so events that the hook did not deliver are unknown" in text
    again = await asyncio.to_thread(run, config, name, "--json")
    answer = json.loads(again.stdout)
    assert (again.exit_code, answer["found"], answer["events"]) == (1, 0, [])
    assert answer["not_found"]


def test_a_search_without_a_match_names_the_oldest_event(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, happened(1))
    result = run(config, "--user", "nobody@acme.test")
    assert (result.exit_code, "The oldest event was received 2026-01-01T12:00:03Z." in result.stdout) == (1, True)


# --- several events


@pytest.mark.long
def test_many_events_are_a_table_and_few_are_lives(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, *(happened(n, user="eve@acme.test" if n == 9 else "ada@acme.test") for n in range(1, 10)))
    table = run(config, "--user", "Ada@ACME.test", "--limit", 5)
    assert table.exit_code == 0
    assert len([line for line in table.stdout.splitlines() if "user.session.start" in line]) == 5
    assert "5 events, the newest first; there are more: --limit shows them" in table.stdout
    one = run(config, "--user", "EVE@acme.test")
    assert "happened" in one.stdout
    assert happened(9).uuid in one.stdout
    around = ("--type", "user.session.*", "--around", "2026-01-01T12:04Z")
    assert json.loads(run(config, *around, "--json").stdout)["found"] == 9
    assert run(config, *around, "--within", "1m").exit_code == 1
    assert json.loads(run(config, *around, "--org", "acme", "--json").stdout)["found"] == 9
    assert run(config, *around, "--org", "hookonly").exit_code == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "no event was named; give a UUID, --user X, --type T or --around 10:03"),
        (("--org", "acme"), "no event was named"),
        (("",), "is blank; write a value"),
        (("--user", " "), "is blank; write a value"),
        (("x", "--user", "y"), "a UUID names one event"),
        (("--user", "y", "--within", "5m"), "--within needs --around"),
        (("--user", "y", "--around", "late"), "'late' is not a time; write 10:03, 2026-01-31"),
        (
            ("--around", "10:03", "--within", "5"),
            "'5' is not a time; write a number with a unit, as in 500ms, 2s, 5m, 1h or 7d",
        ),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    result = run(configured(tmp_path), *words)
    assert (result.exit_code, expected in result.stderr) == (2, True), result.stderr


def test_events_of_an_org_that_was_removed_from_the_configuration_are_found(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, happened(1, org="removed"))
    assert run(config, happened(1).uuid, "--org", "removed").exit_code == 0
    other = run(config, happened(2).uuid, "--org", "removed")
    assert (other.exit_code, "was never stored here" in other.stdout) == (1, True), other.output
    result = run(config, happened(1).uuid, "--org", "acmee")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "Error: --org: unknown org 'acmee'; known orgs: acme, hookonly, removed",
    )


def test_without_a_store_it_ends_with_1(tmp_path: Path) -> None:
    result = run(configured(tmp_path), "x")
    assert (result.exit_code, "there is no store at" in result.stderr) == (1, True)


def test_an_event_cannot_steer_the_terminal(tmp_path: Path) -> None:
    config = configured(tmp_path)
    fill(config, happened(1, user="\x1b[31mred\u202e@acme.test"))
    assert not set("\x1b\u202e") & set(run(config, happened(1).uuid).stdout)


@pytest.mark.long
def test_a_long_value_does_not_fill_the_screen(tmp_path: Path) -> None:
    config = configured(tmp_path)
    long = "x" * 300_000
    fill(config, *(happened(number, user=long) for number in range(4)))
    for words in ((happened(1).uuid,), ("--type", "user.session.start")):
        done = run(config, "--offline", *words)
        assert done.exit_code == 0, done.output
        assert "(300,000 characters)" in " ".join(done.stdout.split())
        assert len(done.stdout) < 5_000
    (shown,) = json.loads(run(config, "--offline", "--json", happened(1).uuid).stdout)["events"]
    assert shown["actor_login"] == long


# --- a running forwarder, and Elasticsearch


async def test_a_running_forwarder_says_why_an_event_waits(tmp_path: Path) -> None:
    config = configured(tmp_path)
    worker = {"state": "paused", "last_error": "403: no right", "next_try_in_seconds": 12.3, "held": 0, "waiting": 1}

    async def status(*_: Any) -> dict[str, Any]:
        return {"sinks": {"siem": worker}, "okta": {}}

    async with stored(config, happened(1)):
        server = ControlServer(tmp_path / "store.db", {StatusRequest: status})
        await server.start()
        try:
            shown = lines(await asyncio.to_thread(run, config, happened(1).uuid))
        finally:
            await server.close()
    assert shown["siem"] == "waiting: siem is paused: 403: no right; next try in 12 s"
    assert shown["archive"] == "waiting: the running forwarder does not deliver to archive; reload it (SIGHUP)"


async def documents(config: Path, *words: Any) -> tuple[int, dict[str, Any]]:
    result = await asyncio.to_thread(run, config, *words, "--json")
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.long
async def test_elasticsearch_says_whether_the_document_is_there(tmp_path: Path) -> None:
    async with FakeElasticsearch() as server:
        config = configured(tmp_path, {"kind": "elasticsearch", "hosts": [server.url]})
        here, gone = happened(1), happened(2)
        async with stored(config, here, gone) as store:
            await settle(store, "siem", Settlement(2, delivered=2))
        stream = "logs-okta.system-default"
        server.data_streams[stream] = {f"acme:{here.uuid}": {}, f"hookonly:{happened(3).uuid}": {}}
        _, answer = await documents(config, here.uuid)
        index = f".ds-{stream}-2026.01.01-000001"
        assert answer["events"][0]["sinks"]["siem"]["document"] == {"found": True, "index": index, "why": None}
        assert "document" not in answer["events"][0]["sinks"]["archive"]
        text = (await asyncio.to_thread(run, config, gone.uuid)).stdout
        assert (
            "its document is NOT in Elasticsearch: the document was deleted, has expired, or was dropped by an "
            "ingest pipeline"
        ) in text
        code, answer = await documents(config, happened(3).uuid)
        assert code == 1
        assert f"The event's document is in siem ({index}): another forwarder wrote it" in "\n".join(
            answer["not_found"]
        )
        before = len(server.requests)
        _, answer = await documents(config, here.uuid, "--offline")
        assert "document" not in answer["events"][0]["sinks"]["siem"]
        assert len(server.requests) == before


@pytest.mark.long
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(401, "security_exception", "unable to authenticate"), "set `api_key` to a valid key"),
        (error(403, "security_exception", "action [search] is unauthorized"), "give the key the index privilege `read`"),
        (error(404, "index_not_found_exception", "no such index"), "there is no data stream logs-okta.system-default"),
        (error(503, "cluster_block_exception", "no master"), "Elasticsearch answered the search with 503: no master"),
        (Reply(200, {"odd": 1}), "Elasticsearch answered the search with 200"),
        (Reply(200, "<html>", {"X-elastic-product": ""}), "is not an Elasticsearch server"),
        (Reply(silent=True), "no response"),
        (Reply(status=None), "no response"),
    ],
)  # fmt: skip
async def test_a_cluster_that_cannot_be_asked_is_said_within_seconds(
    tmp_path: Path, reply: Reply, expected: str
) -> None:
    async with FakeElasticsearch() as server:
        config = configured(tmp_path, {"kind": "elasticsearch", "hosts": [server.url]})
        async with stored(config, happened(1)):
            pass
        server.always = reply
        async with asyncio.timeout(15):
            code, answer = await documents(config, happened(1).uuid)
    assert (code, answer["found"]) == (0, 1)
    document = answer["events"][0]["sinks"]["siem"]["document"]
    assert (document["found"], expected in document["why"]) == (None, True), document


async def test_a_secret_that_cannot_be_read_leaves_out_only_the_cluster(tmp_path: Path) -> None:
    siem = {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:1"], "api_key": {"env": "NOT_SET_EITHER"}}
    config = configured(tmp_path, siem)
    async with stored(config, happened(1)):
        pass
    code, answer = await documents(config, happened(1).uuid)
    assert code == 0
    assert "NOT_SET_EITHER" in answer["events"][0]["sinks"]["siem"]["document"]["why"]
