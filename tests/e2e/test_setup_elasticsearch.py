"""`forwarder setup elasticsearch` against a real Elasticsearch: what it makes, what it leaves alone, what it says.

A test that makes a data stream uses a namespace of its own: no other test sees the stream.
"""

import base64
import json
import re
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.core.errors import SetupError
from forwarder.setup.elasticsearch.template_bodies import Retention
from tests.e2e.prepared import OURS, deliver, of_every_type, prepare, remove, search
from tests.e2e.streams import Stream
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess
from tests.stack.process import ROOT
from tests.test_docs import fenced

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

OTHERS = (
    "/_index_template/other",
    "/_index_template/logs-okta.system",
    "/_index_template/logs-okta.system-beside",
    "/_ingest/pipeline/logs-okta.system-3.14.0",
)
"""What tests make in the place of ours, or beside it."""
COMPONENT = "/_component_template/okta-forwarder@mappings"


@pytest.fixture
def server(secured_elasticsearch: Elasticsearch) -> Iterator[Elasticsearch]:
    """The server, with nothing of ours in it, before and after."""
    yield secured_elasticsearch
    remove(secured_elasticsearch, *OTHERS)


def there(server: Elasticsearch) -> list[str]:
    found = []
    for path in OURS:
        try:
            server.call("GET", path)
        except urllib.error.HTTPError:
            continue
        found.append(path)
    return found


# --- twice


@pytest.mark.both_clients
async def test_a_second_run_changes_nothing_and_says_so(server: Elasticsearch) -> None:
    first = await prepare(server)
    assert first.fine
    assert len(first.of("done")) == len(OURS)
    before = [server.call("GET", path) for path in OURS]
    second = await prepare(server)
    assert (second.fine, second.of("done"), second.of("diff")) == (True, [], [])
    assert len(second.of("same")) == len(OURS)
    assert [server.call("GET", path) for path in OURS] == before


async def test_a_dry_run_shows_everything_and_makes_nothing(server: Elasticsearch) -> None:
    told = await prepare(server, dry_run=True)
    assert told.fine
    assert len(told.of("diff")) == len(OURS)
    assert "okta.target.changeDetails.from.*" in told.text
    assert there(server) == []


async def test_what_was_changed_by_hand_is_shown_and_mended(server: Elasticsearch) -> None:
    await prepare(server)
    template = server.call("GET", OURS[0])["index_templates"][0]["index_template"]
    kept = {key: value for key, value in template.items() if not key.endswith("_millis")}
    server.call("PUT", OURS[0], {**kept, "priority": 251})
    told = await prepare(server)
    (shown,) = told.of("diff")
    assert '-  "priority": 251' in shown
    assert '+  "priority": 250' in shown
    assert told.of("done") == ["index template okta-forwarder: changed"]
    assert (await prepare(server)).of("done") == []


async def test_a_new_retention_is_a_change_of_the_template(server: Elasticsearch) -> None:
    await prepare(server)
    told = await prepare(server, retention=Retention(keep="90d"))
    assert told.of("done") == [
        "index template okta-forwarder: changed",
        "index template okta-forwarder-alerts: changed",
        "index template okta-forwarder-actions: changed",
        "index template okta-forwarder-health: changed",
    ]
    template = server.call("GET", OURS[0])["index_templates"][0]["index_template"]["template"]
    assert template["lifecycle"]["data_retention"] == "90d"


async def test_what_the_server_lacks_is_named_with_what_takes_its_place(server: Elasticsearch) -> None:
    notes = "\n".join((await prepare(server)).of("note"))
    for words in ("constant_keyword; keyword", "match_only_text; text", "no geoip processor"):
        assert words in notes
    with pytest.raises(SetupError, match="no index lifecycle management"):
        await prepare(server, retention=Retention(ilm_policy="mine"))


# --- what is not ours


@pytest.mark.parametrize("path", OURS)
async def test_what_is_there_under_our_name_and_not_ours_is_left_alone(server: Elasticsearch, path: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "_index_template": {"index_patterns": ["elsewhere-*"], "priority": 3},
        "_component_template": {"template": {}},
        "_ingest": {"processors": []},
    }
    server.call("PUT", path, bodies[path.split("/")[1]])
    before = server.call("GET", path)
    with pytest.raises(SetupError, match="did not create"):
        await prepare(server)
    assert server.call("GET", path) == before
    assert there(server) == [path]


async def test_what_a_newer_forwarder_made_is_left_alone(server: Elasticsearch) -> None:
    meta = {"managed_by": "okta-forwarder", "version": 1_000}
    server.call("PUT", OURS[-1], {"processors": [], "_meta": meta})
    with pytest.raises(SetupError, match="newer forwarder"):
        await prepare(server)
    assert there(server) == [OURS[-1]]


@pytest.mark.parametrize(
    ("pattern", "priority", "words"),
    [("logs-*.system-*", 250, "overlap"), ("logs-okta.system-default", 900, "has a higher priority than ours")],
)
async def test_a_template_of_others_in_the_way_is_named(
    server: Elasticsearch, pattern: str, priority: int, words: str
) -> None:
    other = {"index_patterns": [pattern], "priority": priority, "data_stream": {}}
    server.call("PUT", "/_index_template/other", other)
    with pytest.raises(SetupError, match=words) as refused:
        await prepare(server)
    assert "index template other" in str(refused.value)
    assert there(server) == []


async def test_a_template_of_others_that_comes_after_ours_is_no_hindrance(server: Elasticsearch) -> None:
    other = {"index_patterns": ["logs-*-*"], "priority": 100, "data_stream": {}}
    server.call("PUT", "/_index_template/other", other)
    assert (await prepare(server)).fine


# --- Elastic's own integration


@pytest.fixture
def integration(server: Elasticsearch) -> Elasticsearch:
    """Something that looks like Elastic's integration: its names, and a pipeline that wants the raw event."""
    stream = "logs-okta.system-beside*"
    raw = [
        {"rename": {"field": "message", "target_field": "event.original"}},
        {"json": {"field": "event.original", "target_field": "json"}},
        {"set": {"field": "_id", "copy_from": "json.uuid"}},
        {"rename": {"field": "json.eventType", "target_field": "event.action"}},
        {"rename": {"field": "json.request.ipChain", "target_field": "ip_chain", "ignore_missing": True}},
        {"remove": {"field": "json"}},
    ]
    server.call("PUT", "/_ingest/pipeline/logs-okta.system-3.14.0", {"processors": raw})
    template = {
        "index_patterns": [stream],
        "priority": 200,
        "data_stream": {},
        "_meta": {"package": {"name": "okta"}, "managed_by": "fleet", "managed": True},
        "template": {"settings": {"index.default_pipeline": "logs-okta.system-3.14.0"}},
    }
    server.call("PUT", "/_index_template/logs-okta.system-beside", template)
    return server


async def test_beside_elastics_integration_nothing_is_made_and_the_sink_is_told_what_to_send(
    integration: Elasticsearch,
) -> None:
    told = await prepare(integration, namespace="beside1")
    assert not told.fine
    (problem,) = told.of("problem")
    assert "`document_format: raw`" in problem
    assert "`pipeline: _none`" in problem
    assert "logs-okta.system-3.14.0" in told.text
    assert there(integration) == []
    assert (await prepare(integration, namespace="beside1", document_format="raw")).fine
    assert (await prepare(integration, namespace="beside1", pipeline="_none")).fine
    assert there(integration) == [*OURS[2:]]  # what alerts need


async def test_raw_events_are_what_its_pipeline_wants(integration: Elasticsearch) -> None:
    stream = Stream(integration)
    stream.namespace = f"beside{stream.namespace}"
    stream.name = f"logs-okta.system-{stream.namespace}"
    batch = of_every_type("hook")[:200]
    await deliver(stream, batch, document_format="raw")
    hits = search(stream, {"size": 1_000})["hits"]["hits"]
    assert sorted(hit["_id"] for hit in hits) == sorted(stored.event.uuid for stored in batch)
    events = {stored.event.uuid: stored.event for stored in batch}
    chains = 0
    for hit in hits:
        received = json.loads(events[hit["_id"]].body)
        source = hit["_source"]
        assert source["event"]["action"] == received["eventType"]
        assert source["@timestamp"] == received["published"]
        assert source["data_stream"]["namespace"] == stream.namespace
        assert source.get("ip_chain") == (received["client"].get("ipChain") or None)  # where only the System Log has it
        chains += "ip_chain" in source
    assert chains > 50


async def test_raw_events_without_its_pipeline_are_refused_before_one_is_sent(server: Elasticsearch) -> None:
    with pytest.raises(SetupError, match="not installed in this cluster"):
        await prepare(server, document_format="raw")
    assert there(server) == []


# --- rights

NEEDED: dict[str, Any] = {
    "cluster": ["monitor", "manage_index_templates", "manage_ingest_pipelines"],
    "indices": [
        {
            "names": ["logs-okta.system-*", "logs-okta_forwarder.*", "metrics-okta_forwarder.*"],
            "privileges": ["view_index_metadata"],
        }
    ],
}
"""As docs/elasticsearch.md lists them."""


def key(server: Elasticsearch, role: dict[str, Any]) -> str:
    made = server.call("POST", "/_security/api_key", {"name": "test", "role_descriptors": {"role": role}})
    return str(made["encoded"])


@pytest.mark.both_clients
async def test_the_rights_that_the_docs_list_are_enough(server: Elasticsearch) -> None:
    told = await prepare(server, api_key=key(server, NEEDED))
    assert told.fine
    assert len(told.of("done")) == len(OURS)
    assert (await prepare(server, api_key=key(server, NEEDED))).of("done") == []


async def test_the_keys_that_the_page_creates_are_enough(server: Elasticsearch) -> None:
    (block,) = [block for block in fenced(ROOT / "docs" / "elasticsearch.md", "sh") if "api_key" in block]
    events, setup = (
        str(server.call("POST", "/_security/api_key", json.loads(body))["encoded"])
        for body in re.findall(r"-d '([^']+)'", block)
    )
    assert (await prepare(server, api_key=setup)).fine
    stream = Stream(server)
    await deliver(stream, of_every_type("hook")[:20], api_key=events)
    assert (await prepare(server, namespace=stream.namespace, api_key=setup)).of("done") == []


@pytest.mark.parametrize("right", NEEDED["cluster"])
async def test_each_of_them_is_needed_and_a_missing_one_is_named(server: Elasticsearch, right: str) -> None:
    fewer = {**NEEDED, "cluster": [name for name in NEEDED["cluster"] if name != right]}
    with pytest.raises(SetupError, match=rf"the API key test \(id .+\) lacks: cluster privilege `{right}`"):
        await prepare(server, api_key=key(server, fewer))
    assert there(server) == []


async def test_a_missing_right_on_the_index_is_named(server: Elasticsearch) -> None:
    with pytest.raises(SetupError, match=r"index privilege `manage` on `logs-okta.system-\*`"):
        await prepare(server, rollover=True, api_key=key(server, NEEDED))
    without = {"cluster": NEEDED["cluster"]}
    with pytest.raises(SetupError, match="index privilege `view_index_metadata`"):
        await prepare(server, api_key=key(server, without))


@pytest.mark.both_clients
async def test_wrong_credentials_are_told(server: Elasticsearch) -> None:
    wrong = base64.b64encode(b"nobody:nothing").decode()
    with pytest.raises(SetupError, match="does not accept the credentials"):
        await prepare(server, api_key=wrong)


async def test_the_rights_that_the_docs_list_are_enough_for_events_and_a_rollover(server: Elasticsearch) -> None:
    await prepare(server, api_key=key(server, NEEDED))
    writing = {"indices": [{"names": ["logs-okta.system-*"], "privileges": ["create_doc", "auto_configure"]}]}
    stream = Stream(server)
    await deliver(stream, of_every_type("hook")[:20], api_key=key(server, writing))
    seen = await prepare(server, namespace=stream.namespace, api_key=key(server, NEEDED))
    assert f"data stream {stream.name}: its current index has the mapping of the template" in seen.of("same")
    older = server.call("GET", COMPONENT)["component_templates"][0]["component_template"]
    older["template"]["mappings"]["_meta"]["okta-forwarder"]["fingerprint"] = "older"
    kept = {name: value for name, value in older.items() if not name.endswith("_millis")}
    server.call("PUT", COMPONENT, kept)
    server.call("POST", f"/{stream.name}/_rollover")
    managing = {**NEEDED, "indices": [{"names": ["logs-okta.system-*"], "privileges": ["manage"]}]}
    managing["indices"][0]["privileges"] += NEEDED["indices"][0]["privileges"]
    told = await prepare(server, namespace=stream.namespace, rollover=True, api_key=key(server, managing))
    assert [line.split(":")[0] for line in told.of("done")] == [
        "component template okta-forwarder@mappings",
        f"data stream {stream.name}",
    ]
    assert any("has an older mapping" in line for line in told.of("done"))


# --- as a command


def test_the_command_prepares_what_the_sink_of_the_configuration_names(server: Elasticsearch, tmp_path: Path) -> None:
    sink = {"kind": "elasticsearch", "hosts": [server.url], "retention": "90d", **server.credentials}
    forwarder = ForwarderProcess(tmp_path, {"siem": sink})
    assert "would create it" in forwarder.run("setup", "elasticsearch", "--dry-run").stdout
    assert there(server) == []
    made = forwarder.run("setup", "elasticsearch").stdout
    assert made.count(": created") == len(OURS)
    assert "events are kept for 90d" in made
    assert "up to date" in forwarder.run("setup", "elasticsearch", "--sink", "siem").stdout
    assert '-      "data_retention": "90d"' in forwarder.run("setup", "elasticsearch", "--retention", "48h").stdout
    refused = forwarder.run("setup", "elasticsearch", "--ilm-policy", "mine", expect=1)
    assert "no index lifecycle management" in refused.stderr
    assert "siem" in forwarder.run("setup", "elasticsearch", "--sink", "other", expect=2).stderr
    assert "not a time" in forwarder.run("setup", "elasticsearch", "--retention", "soon", expect=2).stderr
