"""`doctor --send`: a marked event goes through the hook's address into every sink, and is found there."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forwarder.core.doctor_event import EVENT_TYPE, TEXT, UUID_PREFIX
from forwarder.emulator.emulator import Emulator
from tests.fakes.elasticsearch import FakeElasticsearch, Reply
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_org import okta_org
from tests.fakes.otlp import FakeOtlpHttp
from tests.integration.doctor.scene import SECRET, Scene

STREAM = "logs-okta.system-default"


@pytest.fixture
async def org() -> AsyncIterator[Emulator]:
    async with okta_org() as org:
        yield org


@pytest.mark.long
async def test_the_event_is_found_in_every_sink_with_its_seconds(tmp_path: Path, org: Emulator) -> None:
    there = Scene(tmp_path, org.settings.url)
    async with FakeElasticsearch() as server, FakeOtlpHttp() as collector:
        server.answers[f"POST /{STREAM}/_search"] = Reply(200, {"hits": {"hits": [{"_id": "x", "_index": "i"}]}})
        there.sections["sinks"] = {
            "siem": {"kind": "elasticsearch", "hosts": [server.url]},
            "traces": {"kind": "otlp", "endpoint": collector.url},
            "archive": {"kind": "file", "path": str(tmp_path / "okta.ndjson")},
            "some": {"kind": "file", "path": str(tmp_path / "some.ndjson"), "except": [EVENT_TYPE]},
        }
        async with there.forwarder():
            found = await there.doctor("sink.event", "hook.event", "hook.refusal", "--send")
        (document,) = server.data_streams[STREAM].values()
    assert (found.code, found.bad) == (0, {}), found.rows
    assert "refuses a request with a wrong secret" in found.of("hook.refusal")["seen"]
    assert f"accepted the event {UUID_PREFIX}" in found.of("hook.event")["seen"]
    assert "found by a search after" in found.of("sink.event", "siem")["seen"]
    assert "delivered within" in found.of("sink.event", "traces")["seen"]
    assert "the event is in the file" in found.of("sink.event", "archive")["seen"]
    assert found.verdict("sink.event", "some") == "skip"
    assert (document["event"]["action"], document["okta"]["display_message"]) == (EVENT_TYPE, TEXT)
    written = json.loads((tmp_path / "okta.ndjson").read_text())
    assert written["event"]["id"].startswith(UUID_PREFIX)


@pytest.mark.long
async def test_an_org_without_a_hook_is_tried_at_the_receiver_itself(tmp_path: Path) -> None:
    there = Scene(tmp_path, "https://acme.okta.com", {"api": None, "hook": None})
    async with there.forwarder():
        found = await there.doctor("sink.event", "--send")
    assert found.verdict("sink.event", "archive") == "ok", found.rows


@pytest.mark.long
async def test_without_send_nothing_is_sent(tmp_path: Path, org: Emulator) -> None:
    async with HookReceiver() as receiver:
        there = Scene(tmp_path, org.settings.url, {"hook": {"uri": receiver.url}})
        found = await there.doctor()
    assert receiver.posts == []
    assert not [row for row in found.rows if row["id"] in {"hook.refusal", "hook.event", "sink.event"}]


async def test_an_address_that_accepts_any_secret_is_named_before_anything_is_sent(
    tmp_path: Path, org: Emulator
) -> None:
    async with HookReceiver() as receiver:
        there = Scene(tmp_path, org.settings.url, {"hook": {"uri": receiver.url}})
        found = await there.doctor("hook", "sink.event", "--send")
    row = found.of("hook.refusal")
    assert (row["verdict"], "accepts a request with a wrong secret" in row["seen"]) == ("fail", True)
    assert found.of("hook.event")["seen"] == "acme: because hook.refusal failed"
    assert [call.uuids for call in receiver.posts] == [[]]
    assert all(SECRET not in call.headers.values() for call in receiver.posts)


@pytest.mark.long
async def test_an_address_of_another_forwarder_is_named(tmp_path: Path, org: Emulator) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    theirs = Scene(tmp_path / "two", org.settings.url)
    ours = Scene(tmp_path / "one", org.settings.url, {"hook": {"uri": theirs.hook_uri}})
    async with ours.forwarder(), theirs.forwarder():
        found = await ours.doctor("sink.event", "--send", "--timeout", "2s")
    row = found.of("sink.event")
    assert (row["verdict"], "not in this store" in row["seen"]) == ("fail", True)
    assert "`orgs.acme.hook.uri`" in row["mend"]


@pytest.mark.long
async def test_an_event_that_still_waits_is_named_with_its_sink(tmp_path: Path, org: Emulator) -> None:
    there = Scene(tmp_path, org.settings.url)
    there.sections["sinks"] = {"siem": {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:9"]}}
    async with there.forwarder():
        found = await there.doctor("sink.event", "--send", "--timeout", "5s")
    row = found.of("sink.event")
    assert (row["verdict"], "is still not delivered to the sink" in row["seen"]) == ("fail", True)


@pytest.mark.long
async def test_an_event_that_the_sink_rejects_is_named_with_its_error(tmp_path: Path, org: Emulator) -> None:
    there = Scene(tmp_path, org.settings.url)
    async with FakeElasticsearch() as server:
        there.sections["sinks"] = {"siem": {"kind": "elasticsearch", "hosts": [server.url]}}
        server.rejects_all = True
        async with there.forwarder():
            found = await there.doctor("sink.event", "--send")
    row = found.of("sink.event")
    assert (row["verdict"], "is a dead letter" in row["seen"]) == ("fail", True)
    assert "`forwarder dead-letters replay --all --sink siem`" in row["mend"]
