"""What `redact` names never reaches a sink, whatever its kind and format."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forwarder.core.alert import RuleInfo, to_event
from forwarder.core.event import Event, Source, StoredEvent, read_event
from forwarder.core.outcome import RejectReason
from forwarder.core.ports import Sink
from forwarder.sinks import registry
from forwarder.sinks.redacted_fields import REDACTED, FieldRedactor
from tests.fakes.alert import alert
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.otlp import FakeOtlpGrpc, FakeOtlpHttp

FIELDS = (
    "actor.alternateId",
    "actor.displayName",
    "client.ipAddress",
    "client.geographicalContext.geolocation",
    "request.ipChain.ip",
    "target.alternateId",
    "debugContext.debugData.requestUri",
    "debugContext.debugData.risk.reasons",
    "debugContext.debugData.url.path",
    "displayMessage",
    "device.not.there",
)
PLANTED = (
    *("planted-login@acme.test", "planted-name", "192.0.2.77", "48.123", "198.51.100.88"),
    *("planted-target", "planted-uri", "planted-reason", "planted-path", "planted-message"),
)
EVENT = {
    "uuid": "11111111-ea09-11ef-9cf1-ad97f4a9f2f5",
    "eventType": "user.session.start",
    "published": "2026-01-01T11:59:58.123Z",
    "displayMessage": "planted-message",
    "actor": {"id": "00u1", "alternateId": "planted-login@acme.test", "displayName": "planted-name"},
    "client": {
        "ipAddress": "192.0.2.77",
        "zone": "kept-zone",
        "geographicalContext": {"city": "kept-city", "geolocation": {"lat": 48.123, "lon": 11.5}},
    },
    "request": {"ipChain": [{"ip": "198.51.100.88", "version": "V4"}, {"ip": None}]},
    "target": [{"id": "kept-id", "alternateId": "planted-target"}, "odd", {"alternateId": None}],
    "debugContext": {
        "debugData": {
            "requestUri": "/planted-uri",
            "risk": '{"reasons": "planted-reason", "level": "LOW"}',
            "url.path": "/planted-path",
            "kept": "kept-debug",
        }
    },
}
KEPT = ("kept-city", "kept-id", "kept-debug", "00u1")


def stored(seq: int = 1, **changes: Any) -> StoredEvent:
    body = msgspec.json.encode(EVENT | changes)
    return StoredEvent(seq, read_event(body, org="acme", source=Source.HOOK, received_at=NOON))


Received = Callable[[], Sequence[str]]


@asynccontextmanager
async def file(directory: Path, written: str) -> AsyncIterator[tuple[Sink, Received]]:
    path = directory / "okta.ndjson"
    yield build(kind="file", path=str(path), format=written), lambda: path.read_text().splitlines()


@asynccontextmanager
async def elasticsearch(_: Path, written: str) -> AsyncIterator[tuple[Sink, Received]]:
    async with FakeElasticsearch() as server:
        options = {"document_format": written, "preserve_original_event": True, "okta_geo": written != "raw"}
        yield (
            build(kind="elasticsearch", hosts=[server.url], **options),
            lambda: [str(document) for request in server.requests for _, document in request.documents],
        )


@asynccontextmanager
async def otlp(_: Path, protocol: str) -> AsyncIterator[tuple[Sink, Received]]:
    async with FakeOtlpGrpc() if protocol == "grpc" else FakeOtlpHttp() as server:
        yield (
            build(kind="otlp", endpoint=server.url, protocol=protocol),
            lambda: [str(record) for request in server.requests for record in request.records],
        )


def build(**written: Any) -> Sink:
    settings = registry.SETTINGS[written["kind"]].model_validate({"redact": list(FIELDS), **written})
    return registry.build("siem", settings, ManualClock())


@pytest.mark.parametrize(
    ("started", "how"),
    [
        (file, "ecs"),
        (file, "raw"),
        (elasticsearch, "ecs"),
        (elasticsearch, "raw"),
        (otlp, "http/protobuf"),
        (otlp, "grpc"),
    ],
)
async def test_no_kind_of_sink_gets_the_value_of_a_redacted_field(started: Any, how: str, tmp_path: Path) -> None:
    async with started(tmp_path, how) as (sink, received):
        result = await sink.send([stored(1), stored(2, actor=None, target="odd", debugContext=[])])
        assert (sorted(result.delivered), list(result.rejected)) == ([1, 2], [])
        await sink.close()
        texts = received()
    assert len(texts) == 2
    assert not [value for value in PLANTED if any(value in text for text in texts)]
    assert all(value in texts[0] for value in KEPT)
    assert REDACTED in texts[0]
    assert EVENT["uuid"] in texts[0]


def test_everything_else_stays_as_it_is_and_the_event_in_the_store_keeps_its_values() -> None:
    event = stored().event
    before = event.body
    redacted = msgspec.json.decode(FieldRedactor(["actor.alternateId"]).redact(event).body)
    assert redacted == EVENT | {"actor": EVENT["actor"] | {"alternateId": REDACTED}}  # type: ignore[operator]
    assert event.body is before


def test_an_event_without_the_field_is_passed_on_byte_for_byte() -> None:
    event = stored().event
    assert FieldRedactor(["device.id", "actor.detailEntry.x"]).redact(event) is event


async def test_an_event_that_cannot_be_read_is_a_dead_letter_and_nothing_of_it_is_sent(tmp_path: Path) -> None:
    deep = b'{"a":' * 20_000 + b'"planted-name"' + b"}" * 20_000
    odd = StoredEvent(2, Event("acme", "2", "user.session.start", NOON, NOON, Source.HOOK, "", deep))
    async with file(tmp_path, "raw") as (sink, received):
        result = await sink.send([stored(1), odd, stored(3)])
        await sink.close()
        assert sorted(result.delivered) == [1, 3]
        assert [(one.seq, one.reason) for one in result.rejected] == [(2, RejectReason.UNMAPPABLE)]
        assert len(received()) == 2


@pytest.mark.parametrize("redact", ["client", "client.ipAddress", "target", "target.alternateId", "actor"])
def test_the_group_of_an_alert_keeps_no_value_of_a_field_however_the_rule_names_it(redact: str) -> None:
    rule = RuleInfo("r1", "Spray", "high", aliases={"who": ["actor.id"], "from": ["client.ipAddress"]})
    root = redact.partition(".")[0]
    for name, field in {
        "Client.ipAddress": "client",
        "from": "client",
        "target.0.alternateId": "target",
        "who": "actor",
        "actor.id": "actor",
    }.items():
        event = to_event(alert(rule=rule, group={name: "planted-value"}), {}, NOON)
        assert (b"planted" not in FieldRedactor([redact]).redact(event).body) == (field == root)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_field_is_redacted_in_a_list_of_texts_that_are_json(depth: int) -> None:
    value: Any = '{"reasons": "planted-reason"}'
    for _ in range(depth):
        value = [value]
    event = stored(debugContext={"debugData": {"risk": value}}).event
    assert b"planted-reason" not in FieldRedactor(["debugContext.debugData.risk.reasons"]).redact(event).body


_HEAD = '"uuid":"u1","eventType":"user.session.start","published":"2026-01-01T11:59:58.123Z"'


def _received(rest: str) -> Event:
    body = f"{{{_HEAD},{rest}}}".encode()
    return read_event(body, org="acme", source=Source.HOOK, received_at=NOON, envelope_id="")


@pytest.mark.parametrize(
    "rest",
    [
        '"actor":{"alternateId":"planted"},"actor":{"id":"00u1"}',
        '"actor":{"alternateId":"planted"},"actor":null',
        '"actor":{"alternateId":"planted","alternateId":null}',
        '"actor":{"alternateId":"planted"},"\\u0061ctor":{"id":"00u1"}',
        '"target":[{"id":"1","alternateId":"planted","alternateId":null}]',
        '"actor":{"alternateId":"planted"}, "client": {"x": 1e3}, "actor":{}',
    ],
)
def test_a_key_that_stands_twice_hides_no_value(rest: str) -> None:
    redacted = FieldRedactor(["actor.alternateId", "target.alternateId"]).redact(_received(rest))
    assert b"planted" not in redacted.body
    assert msgspec.json.decode(redacted.body)["uuid"] == "u1"


@pytest.mark.parametrize("rest", ['"actor":{"id":"00u1"}', '"actor": {"id" : "\\u00e9", "n": 1.50}, "x": 1e400'])
def test_an_event_without_the_field_stays_byte_for_byte(rest: str) -> None:
    event = _received(rest)
    assert FieldRedactor(["actor.alternateId"]).redact(event).body == event.body


_CHAIN = {"ipChain": [{"ip": "secret-7", "version": "V4"}]}


@pytest.mark.parametrize("redact", ["client.ipChain.ip", "request.ipChain.ip", "client.ipChain", "request", "client"])
@pytest.mark.parametrize("part", ["client", "request"])
def test_the_chain_of_addresses_is_hidden_by_either_of_its_names(redact: str, part: str) -> None:
    parts: dict[str, Any] = {"client": None, "request": None} | {part: _CHAIN}
    event = stored(**parts).event
    assert b"secret-7" not in FieldRedactor([redact]).redact(event).body


@pytest.mark.parametrize(
    ("redact", "key"),
    [
        ("device.os_version", "osVersion"),
        ("device.osVersion", "os_version"),
        ("device.os_platform", "platform"),
        ("device.platform", "osPlatform"),
        ("device.osPlatform", "os_platform"),
        ("device.deviceIntegrator.x", "device_integrator"),
    ],
)
def test_a_fact_about_the_device_is_hidden_by_any_of_its_names(redact: str, key: str) -> None:
    event = stored(device={"id": "kept", key: {"x": "secret-7"} if redact.endswith("x") else "secret-7"}).event
    redacted = FieldRedactor([redact]).redact(event).body
    assert b"secret-7" not in redacted
    assert b"kept" in redacted


@pytest.mark.parametrize(
    ("redact", "group"),
    [
        ("request.ipChain.ip", "client.ipChain.ip"),
        ("client.ipChain", "request.ipChain.0.ip"),
        ("device.os_version", "device.osVersion"),
        ("client.geographicalContext.country", "forwarder.country"),
        ("client", "Forwarder.country"),
        ("client.geographicalContext", "who"),
        ("client.userAgent.rawUserAgent", "forwarder.new.user_agent"),
        ("debugContext", "forwarder.anonymous"),
    ],
)
def test_the_group_of_an_alert_shows_no_other_name_of_a_fact_and_nothing_derived_from_it(
    redact: str, group: str
) -> None:
    rule = RuleInfo("r1", "Spray", "high", aliases={"who": ["actor.id", "forwarder.country"]})
    event = to_event(alert(rule=rule, group={group: "secret-7", "actor.id": "kept"}), {}, NOON)
    redacted = FieldRedactor([redact]).redact(event).body
    assert b"secret-7" not in redacted
    assert b"kept" in redacted


def test_a_field_is_redacted_in_a_list_that_the_name_has_an_index_of() -> None:
    event = stored(debugContext={"debugData": {"hops": [{"name": "secret-7"}, {"name": "secret-7"}]}}).event
    assert b"secret-7" not in FieldRedactor(["debugContext.debugData.hops.0.name"]).redact(event).body
