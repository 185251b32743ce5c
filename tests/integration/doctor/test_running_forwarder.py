"""Staged faults on this machine: the store, its disk, the ports, the forwarder that runs or does not."""

import asyncio
import json
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.doctor.all_checks import CHECKS
from forwarder.doctor.check import Finding
from forwarder.doctor.context import Context
from forwarder.settings import read
from forwarder.store.sqlite.lock import FileLock
from tests.conftest import require
from tests.fakes.elasticsearch import FakeElasticsearch, Reply
from tests.fakes.hook_receiver import HookReceiver
from tests.integration.doctor.scene import SECRET, Scene
from tests.integration.store.helpers import commands


@pytest.fixture
async def there(tmp_path: Path) -> Scene:
    """No org's API: everything is on this machine."""
    return Scene(tmp_path, "https://acme.okta.com", {"api": None, "hook": None})


@pytest.fixture
async def settled(there: Scene) -> Scene:
    """A store that a forwarder has written to, and left."""
    async with there.forwarder():
        pass
    return there


async def post(there: Scene, *uuids: str) -> None:
    events = [{"uuid": uuid, "eventType": "user.session.start", "published": "2020-01-01T00:00:00Z"} for uuid in uuids]
    async with httpx.AsyncClient() as client:
        answer = await client.post(there.hook_uri, json={"data": {"events": events}}, headers={"Authorization": SECRET})
    assert answer.status_code == 200


@pytest.mark.long
async def test_an_org_without_api_has_no_row_of_okta_but_its_address(settled: Scene) -> None:
    found = await settled.doctor("--skip", "okta.reachable")
    assert found.bad == {"forwarder.running": "warn"}
    assert [row["id"] for row in found.rows if row["group"] == "okta"] == ["okta.clock"]
    assert (await settled.doctor("--skip", "okta", "--strict")).code == 1


@pytest.mark.long
async def test_a_damaged_store_is_named_and_left_as_it_is(settled: Scene) -> None:
    pages = bytearray(settled.store.read_bytes())
    pages[16384 + 100 :] = b"\x5a" * (len(pages) - 16384 - 100)
    settled.store.write_bytes(pages)
    found = await settled.doctor("store")
    row = found.of("store.sound")
    assert (found.code, row["verdict"], "is damaged" in row["seen"]) == (1, "fail", True)
    assert "restore a backup" in row["mend"]
    assert found.of("store.ledger")["seen"] == "because store.sound failed"
    assert settled.store.read_bytes() == pages


@pytest.mark.long
async def test_a_store_of_an_older_version_is_not_called_damaged(settled: Scene) -> None:
    with closing(sqlite3.connect(settled.store)) as db:
        db.execute("PRAGMA user_version = 2")
    row = (await settled.doctor("store")).of("store.sound")
    assert (row["verdict"], row["mend"]) == ("skip", "start the forwarder once to migrate it")
    assert "has version 2" in row["seen"]


@pytest.mark.long
async def test_a_store_that_is_too_large_for_the_time_is_skipped_and_not_called_damaged(there: Scene) -> None:
    there.sections["store"] = {"path": str(there.store), "max_size": "50MiB"}
    async with there.forwarder():
        for hundred in range(30):
            await post(there, *(f"e-{hundred}-{number}" for number in range(100)))
    assert commands(there.store).damage(timeout=-1) is None
    assert commands(there.store).damage(timeout=60) == []
    (sound,) = (check for check in CHECKS if check.id == "store.sound")
    finding = await sound.run(Context(read(there.tree()), SystemClock(), timeout=-1), "")
    assert isinstance(finding, Finding)
    assert (finding.verdict, "--timeout" in finding.fix) == ("skip", True)


@pytest.mark.long
async def test_a_disk_that_is_smaller_than_the_store_may_grow_is_a_warning(settled: Scene) -> None:
    settled.sections["store"] = {"path": str(settled.store), "max_size": "1000TB"}
    row = (await settled.doctor("store.disk")).of("store.disk")
    assert (row["verdict"], "`store.max_size`" in row["seen"]) == ("warn", True)
    assert "set `store.max_size`" in row["mend"]


async def test_a_missing_folder_is_named_as_check_names_it(there: Scene) -> None:
    there.sections["store"] = {"path": str(there.folder / "nothing" / "s.db")}
    found = await there.doctor("--skip", "okta")
    assert (found.code, found.verdict("store.path")) == (1, "fail")
    assert found.of("store.disk")["seen"] == "because store.path failed"
    assert found.of("store.path")["mend"].startswith("create it")


@pytest.mark.long
async def test_another_program_at_a_port_is_told_from_our_own_forwarder(there: Scene) -> None:
    async with HookReceiver() as other:
        there.port = int(other.url.split(":")[2].split("/")[0])
        found = await there.doctor("listener.port")
    row = found.of("listener.port", "receiver.listen")
    assert (row["verdict"], "another program listens" in row["seen"]) == ("fail", True)
    assert "`ss -ltnp" in row["mend"]
    assert found.verdict("listener.port", "ops.listen") == "ok"
    there = Scene(there.folder, there.url, there.org)
    async with there.forwarder():
        assert (await there.doctor("listener.port")).bad == {}


@pytest.mark.long
async def test_a_listener_that_a_reload_did_not_move_is_named(there: Scene) -> None:
    async with there.forwarder():
        there.ops_port = Scene(there.folder, "").ops_port
        found = await there.doctor("listener", "forwarder")
    assert found.bad == {"listener.port": "fail", "forwarder.status": "fail"}
    assert "restart" in found.of("listener.port", "ops.listen")["mend"]


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        {},
        "[" * 20_000 + "]" * 20_000,
        b'{"version": "\xff"}',
        {"problems": []},
        {"problems": [5], "version": "1", "uptime_seconds": 1},
        {"problems": [{"level": "warning"}], "version": "1", "uptime_seconds": 1},
        {"problems": [], "version": "1", "uptime_seconds": "long"},
        {"problems": [], "version": "1", "uptime_seconds": 1, "okta": {"acme": {"log": {"missed": 5}}}},
    ],
)
async def test_another_server_at_the_address_of_the_status_is_told_from_our_own_forwarder(
    there: Scene, body: object
) -> None:
    async with there.forwarder(), FakeElasticsearch() as other:
        other.always = Reply(200, body)
        there.ops_port = int(other.url.rpartition(":")[2])
        found = await there.doctor("forwarder")
    row = found.of("forwarder.status")
    assert found.bad == {"forwarder.status": "fail"}
    assert f"the forwarder does not answer at http://127.0.0.1:{there.ops_port}/api/status" in row["seen"]


async def test_a_port_below_1024_needs_a_right(there: Scene) -> None:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 80))
        except OSError:
            bindable = False
        else:
            bindable = True
    there.port = 80
    row = (await there.doctor("listener.port")).of("listener.port", "receiver.listen")
    assert row["verdict"] == ("ok" if bindable else "fail")


@pytest.mark.long
async def test_dead_letters_are_a_warning_with_the_commands(there: Scene) -> None:
    async with there.forwarder():
        async with httpx.AsyncClient() as client:
            await client.post(
                there.hook_uri, json={"data": {"events": [{"odd": 1}]}}, headers={"Authorization": SECRET}
            )
        found = await there.doctor("store")
    row = found.of("store.dead-letters")
    assert (row["verdict"], row["seen"]) == ("warn", "1 dead letter of receiver (not_an_event)")
    assert "forwarder dead-letters list --sink receiver" in row["mend"]
    assert "`forwarder dead-letters replay --all --sink receiver`" in row["mend"]


@pytest.mark.long
async def test_events_kept_for_a_sink_that_is_gone_are_named(there: Scene) -> None:
    there.sections["sinks"] = {"old": {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:9"]}}
    async with there.forwarder():
        await post(there, "e-1")
    there.sections.clear()
    async with there.forwarder():
        found = await there.doctor("store.removed-sinks")
    row = found.of("store.removed-sinks")
    assert (row["verdict"], row["seen"]) == ("warn", "1 event kept for the sink old, to which no forwarder delivers")
    assert "`forwarder forget-sink old`" in row["mend"]


@pytest.mark.long
async def test_what_the_running_forwarder_reports_is_a_row_each(there: Scene) -> None:
    there.sections["sinks"] = {"siem": {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:9"]}}
    async with there.forwarder():
        await post(there, "e-1")
        async with asyncio.timeout(20):
            while not (found := await there.doctor("forwarder")).bad:
                await asyncio.sleep(0.05)
    row = found.of("forwarder.problems")
    assert (row["verdict"], "siem" in row["seen"]) == ("warn", True)
    assert "nothing listens there" in row["seen"] + row["mend"]
    assert row["url"] == "docs/runbook.md#forwardersinkdown"


async def test_a_configuration_that_cannot_be_loaded_ends_with_2_and_a_row_for_each_problem(there: Scene) -> None:
    there.org["secrets"] = [{"env": "NOPE"}]
    there.sections["sinks"] = {"a": {"kind": "elastic"}}
    found = await there.doctor()
    assert (found.code, found.ok, {row["id"] for row in found.rows}) == (2, False, {"config.valid"})
    texts = [f"{row['seen']}; {row['mend']}" for row in found.rows]
    assert any("the environment variable NOPE is not set; set it, or name another variable" in text for text in texts)
    assert any("sinks.a.kind" in text for text in texts)


async def test_the_offline_part_opens_no_connection_and_says_what_check_says(there: Scene) -> None:
    there.org["secrets"] = ["short"]
    found = await there.doctor("--offline")
    assert {row["id"].partition(".")[0] for row in found.rows} == {
        "config", "store", "file", "listener", "certificate", "secret", "hook", "sink", "heartbeat", "rules",
        "zone", "reactions", "environment",
    }  # fmt: skip
    assert found.bad == {"secret.strength": "warn"}
    config = there.folder / "forwarder.yaml"
    said = CliRunner().invoke(main, ["check", "-c", str(config)]).output
    row = found.of("secret.strength")
    assert f"warning: {row['seen']}; {row['mend']}" in said


@pytest.mark.long
async def test_a_process_that_holds_the_store_and_is_no_forwarder_is_named(settled: Scene) -> None:
    lock = FileLock(settled.store)
    try:
        row = (await settled.doctor("forwarder.running")).of("forwarder.running")
    finally:
        lock.release()
    assert (row["verdict"], f"pid {os.getpid()} uses the store" in row["seen"]) == ("warn", True)
    assert (await settled.doctor("forwarder.running")).of("forwarder.running")["seen"].startswith("no forwarder")


@pytest.mark.long
async def test_the_state_of_a_forwarder_that_asks_for_its_token_is_read_with_it(there: Scene) -> None:
    address = next(iter(_own_addresses()), None)
    require(None if address else "needs an address of this machine that is not loopback")
    there.sections["ops"] = {"listen": f"{address}:{there.ops_port}"}
    async with there.forwarder():
        row = (await there.doctor("forwarder.status")).of("forwarder.status")
        assert (row["verdict"], "set `ops.token`" in row["mend"]) == ("fail", True)
    there.sections["ops"]["token"] = "planted-token-of-the-page-4a7d"
    async with there.forwarder():
        assert (await there.doctor("forwarder.status")).verdict("forwarder.status") == "ok"


def _own_addresses() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses an address
        except OSError:
            return []
        return [probe.getsockname()[0]]


def test_a_wrong_name_is_a_wrong_usage_with_the_nearest_one() -> None:
    done = CliRunner().invoke(main, ["doctor", "hook.stat"])
    assert (done.exit_code, "did you mean hook.state?" in done.output) == (2, True)
    done = CliRunner().invoke(main, ["doctor", "--timeout", "soon"])
    assert (done.exit_code, "is not a time" in done.output) == (2, True)


def test_the_list_needs_no_configuration() -> None:
    done = CliRunner().invoke(main, ["doctor", "--list", "hook", "--json"])
    assert done.exit_code == 0
    assert {"id", "group", "what", "kind", "url"} == json.loads(done.output)[0].keys()


async def test_the_table_for_people_says_the_verdict_in_words_and_what_fixes_it(there: Scene) -> None:
    _, said = await there.command("doctor", "--skip", "okta", "--quiet")
    assert "  warn  forwarder.running    no forwarder runs on this store\n" in said
    assert "to fix it: start it with `forwarder run`\n" in said
    assert "more: docs/runbook.md#forwarderdown\n" in said
    assert "ok    store" not in said
