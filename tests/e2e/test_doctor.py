"""`forwarder doctor` against a real Elasticsearch with its security on."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.prepared import prepare, remove
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

WRITES = {"indices": [{"names": ["logs-okta.system-*"], "privileges": ["create_doc", "auto_configure"]}]}
READS = {"indices": [{"names": ["logs-okta.system-*"], "privileges": ["read"]}]}


def api_key(server: Elasticsearch, role: dict[str, Any], **more: Any) -> str:
    made = server.call("POST", "/_security/api_key", {"name": "made", "role_descriptors": {"r": role}} | more)
    return base64.b64encode(f"{made['id']}:{made['api_key']}".encode()).decode()


def doctor(folder: Path, server: Elasticsearch, namespace: str, sink: dict[str, Any], *words: str) -> dict[str, Any]:
    """The rows of the Elasticsearch checks by their ids; the last of several."""
    siem = {"kind": "elasticsearch", "hosts": [server.url], "namespace": namespace} | sink
    forwarder = ForwarderProcess(folder, {"siem": siem})
    said = forwarder.run("doctor", "elasticsearch", "--json", "--timeout", "30s", *words, expect=None).stdout
    return {row["id"].removeprefix("elasticsearch."): row for row in json.loads(said)["checks"]}


def verdicts(rows: dict[str, Any]) -> dict[str, str]:
    return {name: row["verdict"] for name, row in rows.items()}


def test_before_and_after_setup(tmp_path: Path, secured_elasticsearch: Elasticsearch) -> None:
    rows = doctor(tmp_path, secured_elasticsearch, "doctor1", secured_elasticsearch.credentials)
    assert (rows["reachable"]["verdict"], rows["rights"]["verdict"]) == ("ok", "ok")
    assert (rows["templates"]["verdict"], rows["mapping"]["verdict"]) == ("fail", "ok")
    sink = {
        "kind": "elasticsearch",
        "hosts": [secured_elasticsearch.url],
        "namespace": "doctor1",
        **secured_elasticsearch.credentials,
    }
    ForwarderProcess(tmp_path / "setup", {"siem": sink}).run("setup", "elasticsearch")
    rows = doctor(tmp_path, secured_elasticsearch, "doctor1", secured_elasticsearch.credentials)
    assert verdicts(rows) == {
        "reachable": "ok", "credentials": "ok", "key": "skip", "rights": "ok", "templates": "ok", "mapping": "ok",
    }  # fmt: skip


def test_the_key_of_a_sink_may_write_and_cannot_read_templates(
    tmp_path: Path, secured_elasticsearch: Elasticsearch
) -> None:
    rows = doctor(
        tmp_path, secured_elasticsearch, "doctor2", {"api_key": api_key(secured_elasticsearch, WRITES, expiration="3d")}
    )
    assert verdicts(rows) == {
        "reachable": "ok", "credentials": "ok", "key": "warn", "rights": "ok", "templates": "skip", "mapping": "skip",
    }  # fmt: skip
    assert "expires on" in rows["key"]["seen"]
    rows = doctor(tmp_path, secured_elasticsearch, "doctor2", {"api_key": api_key(secured_elasticsearch, READS)})
    assert "`create_doc` and `auto_configure`" in rows["rights"]["seen"]
    rows = doctor(tmp_path, secured_elasticsearch, "doctor2", {"api_key": "wrong:key"})
    assert verdicts(rows)["credentials"] == "fail"


def test_a_template_of_another_owner_and_what_it_made_are_named(
    tmp_path: Path, secured_elasticsearch: Elasticsearch
) -> None:
    stream = "logs-okta.system-doctor3"
    other = {
        "index_patterns": [stream],
        "priority": 900,
        "data_stream": {},
        "template": {"mappings": {"properties": {"source": {"properties": {"ip": {"type": "keyword"}}}}}},
    }
    secured_elasticsearch.call("PUT", "/_index_template/other", other)
    try:
        document = '{"create":{}}\n{"@timestamp":"2026-01-01T00:00:00Z","source":{"ip":"192.0.2.1"}}\n'
        secured_elasticsearch.call("POST", f"/{stream}/_bulk?refresh=true", document)
        rows = doctor(tmp_path, secured_elasticsearch, "doctor3", secured_elasticsearch.credentials)
    finally:
        remove(secured_elasticsearch, "/_index_template/other")
    assert "other (priority 900" in rows["templates"]["seen"]
    assert "source.ip has the type keyword" in rows["mapping"]["seen"]
    assert (rows["templates"]["verdict"], rows["mapping"]["verdict"]) == ("fail", "fail")


def test_a_marked_event_is_found_in_the_server_through_a_running_forwarder(
    tmp_path: Path, secured_elasticsearch: Elasticsearch
) -> None:
    assert asyncio.run(prepare(secured_elasticsearch)).fine
    siem = {
        "kind": "elasticsearch",
        "hosts": [secured_elasticsearch.url],
        "namespace": "doctor4",
    } | secured_elasticsearch.credentials
    archive = {"kind": "file", "path": str(tmp_path / "okta.ndjson")}
    forwarder = ForwarderProcess(tmp_path, {"siem": siem, "archive": archive})
    forwarder.start()
    try:
        said = forwarder.run("doctor", "sink.event", "--send", "--json", "--timeout", "30s").stdout
    finally:
        forwarder.stop()
    seen = [row["seen"] for row in json.loads(said)["checks"]]
    assert any(re.search(r"siem: delivered within \d+\.\d s; found by a search after \d+\.\d s", one) for one in seen)
    assert any("archive: delivered within" in one for one in seen)
