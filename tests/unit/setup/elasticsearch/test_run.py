"""Setup on a cluster that has everything, and on clusters that lack one thing."""

import asyncio
from typing import Any

import pytest

from forwarder.core.errors import SetupError
from forwarder.setup.elasticsearch.cluster import AdminApi, ClusterResponse, UntilReady
from forwarder.setup.elasticsearch.run import setup
from forwarder.setup.elasticsearch.template_bodies import Options, Retention, SetupTarget
from tests.fakes.clock import ManualClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.reporter import Message, into

ODD: list[Any] = [
    None,
    5,
    "<html>hello</html>",
    [],
    {"errorCode": "E0000011"},
    {"index_templates": 5, "nodes": [5], "version": 5, "has_all_requested": 0, "data_streams": 5, "a": {"b": 5}},
    {"index_templates": [5], "nodes": {"a": 5}, "version": {}, "data_streams": [5], "okta-forwarder": 5},
]
"""Bodies of responses 200 of servers that are not Elasticsearch."""

STREAM = "logs-okta.system-default"
PIPELINE, COMPONENT, TEMPLATE = (
    "/_ingest/pipeline/okta-forwarder",
    "/_component_template/okta-forwarder@mappings",
    "/_index_template/okta-forwarder",
)
BESIDE = [
    "/_component_template/okta-forwarder-alerts@mappings",
    "/_index_template/okta-forwarder-alerts",
    "/_component_template/okta-forwarder-actions@mappings",
    "/_index_template/okta-forwarder-actions",
    "/_component_template/okta-forwarder-health@mappings",
    "/_index_template/okta-forwarder-health",
]


async def run(cluster: AdminApi, target: SetupTarget | None = None, **options: Any) -> list[Message]:
    lines: list[Message] = []
    assert await setup(cluster, target or SetupTarget(STREAM), Options(**options), into(lines))
    return lines


def kinds(lines: list[Message], kind: str) -> list[str]:
    return [line.text for line in lines if line.kind == kind]


def body(cluster: FakeCluster, path: str) -> Any:
    (found,) = [written for method, where, written in cluster.written if (method, where) == ("PUT", path)]
    return found


async def test_a_full_elasticsearch_gets_elastics_types_and_the_stacks_own_parts() -> None:
    cluster = FakeCluster()
    lines = await run(cluster)
    assert kinds(lines, "note") == []
    assert [path for _, path, _ in cluster.written] == [PIPELINE, COMPONENT, TEMPLATE, *BESIDE]
    fields = body(cluster, COMPONENT)["template"]["mappings"]["properties"]
    dataset = fields["event"]["properties"]["dataset"]
    assert dataset == {"type": "constant_keyword", "value": "okta.system"}
    assert fields["data_stream"]["properties"]["namespace"] == {"type": "constant_keyword"}
    assert fields["user"]["properties"]["name"]["fields"] == {"text": {"type": "match_only_text"}}
    template = body(cluster, TEMPLATE)
    # Ours come before the stack's guesses: of dynamic templates the first one that fits wins.
    assert template["composed_of"] == [
        "logs@mappings",
        "logs@settings",
        "okta-forwarder@mappings",
        "logs@custom",
        "okta-forwarder@custom",
        "ecs@mappings",
    ]
    assert template["ignore_missing_component_templates"] == ["logs@custom", "okta-forwarder@custom"]
    settings = body(cluster, COMPONENT)["template"]["settings"]
    assert settings["index.lifecycle.prefer_ilm"] == "false"  # else the stack's policy would win


async def test_a_second_run_writes_nothing() -> None:
    cluster = FakeCluster()
    await run(cluster)
    cluster.written.clear()
    lines = await run(cluster)
    assert cluster.written == []
    assert len(kinds(lines, "same")) == 9


async def test_a_cluster_that_has_just_started_is_waited_for() -> None:
    cluster, clock = FakeCluster(), ManualClock()
    cluster.not_ready = 3
    running = asyncio.create_task(run(UntilReady(cluster, clock)))
    await advance_until(running, clock)
    assert (kinds(await running, "note"), clock.monotonic()) == ([], 3)


async def test_a_cluster_that_does_not_become_ready_is_named_within_half_a_minute() -> None:
    cluster, clock = FakeCluster(), ManualClock()
    cluster.not_ready = 1000
    running = asyncio.create_task(run(UntilReady(cluster, clock)))
    await advance_until(running, clock)
    with pytest.raises(SetupError, match=r"search shard .* see GET _cluster/health, and run this again"):
        await running
    assert (clock.monotonic(), cluster.written) == (30, [])


async def advance_until(running: asyncio.Task[Any], clock: ManualClock) -> None:
    """Let seconds pass until the task is done, a minute at most."""
    for _ in range(60):
        await clock.advance(0)
        if not running.done():
            await clock.advance(1)


async def test_with_geoip_the_pipeline_fills_the_place_and_the_network_of_an_address() -> None:
    cluster = FakeCluster()
    await run(cluster)
    processors = body(cluster, PIPELINE)["processors"]
    places = [entry["geoip"] for entry in processors if "geoip" in entry]
    assert [place["target_field"] for place in places] == ["source.geo", "source.as"]
    renamed = {entry["rename"]["target_field"] for entry in processors if "rename" in entry}
    assert renamed == {"source.as.number", "source.as.organization.name"}


async def test_no_processor_can_refuse_an_event() -> None:
    cluster = FakeCluster()
    await run(cluster)
    for entry in body(cluster, PIPELINE)["processors"]:
        ((name, options),) = entry.items()
        lenient = options.get("ignore_failure") or all(
            inner.get("ignore_failure") for fallback in options["on_failure"] for inner in fallback.values()
        )
        assert lenient, name


async def test_a_processor_that_one_ingest_node_lacks_is_not_used() -> None:
    cluster = FakeCluster()
    cluster.nodes.append({"set", "rename", "pipeline", "user_agent"})
    lines = await run(cluster)
    assert "geoip" not in str(body(cluster, PIPELINE))
    assert any("no geoip processor" in note and "okta_geo" in note for note in kinds(lines, "note"))


@pytest.mark.long
@pytest.mark.parametrize(("lacked", "instead"), [("constant_keyword", "keyword"), ("match_only_text", "text")])
async def test_a_type_that_is_lacking_is_replaced_and_named(lacked: str, instead: str) -> None:
    cluster = FakeCluster()
    cluster.missing = {lacked}
    lines = await run(cluster)
    assert f"'{lacked}'" not in str(body(cluster, COMPONENT))
    assert kinds(lines, "note") == [f"this Elasticsearch has no type {lacked}; {instead} is used instead"]


async def test_a_setting_that_is_unknown_is_left_out() -> None:
    cluster = FakeCluster()
    cluster.missing = {"index.mapping.total_fields.ignore_dynamic_beyond_limit"}
    await run(cluster)
    assert "ignore_dynamic_beyond_limit" not in str(body(cluster, COMPONENT))


# --- retention


async def test_without_a_word_about_it_nothing_is_ever_deleted() -> None:
    cluster = FakeCluster()
    lines = await run(cluster)
    assert body(cluster, TEMPLATE)["template"]["lifecycle"] == {"enabled": True}
    assert any("events are never deleted" in text for text in kinds(lines, "info"))


async def test_a_policy_of_the_operators_takes_the_place_of_the_lifecycle() -> None:
    cluster = FakeCluster()
    cluster.policies.add("mine")
    await run(cluster, retention=Retention(ilm_policy="mine"))
    settings = body(cluster, COMPONENT)["template"]["settings"]
    assert settings["index.lifecycle.name"] == "mine"
    assert "index.lifecycle.prefer_ilm" not in settings
    assert "lifecycle" not in body(cluster, TEMPLATE)["template"]


async def test_a_policy_that_is_not_there_is_a_fault_and_nothing_is_written() -> None:
    cluster = FakeCluster()
    with pytest.raises(SetupError, match="no index lifecycle policy 'mine'"):
        await run(cluster, retention=Retention(ilm_policy="mine"))
    assert cluster.written == []


@pytest.mark.long
async def test_a_data_stream_that_is_there_gets_the_new_retention_as_well() -> None:
    cluster = FakeCluster()
    await run(cluster)
    meta = body(cluster, COMPONENT)["template"]["mappings"]["_meta"]
    cluster.streams[STREAM] = {"meta": meta, "retention": None}
    cluster.written.clear()
    options = Retention(keep="90d")
    await run(cluster, retention=options, dry_run=True)
    assert cluster.written == []
    lines = await run(cluster, retention=options)
    assert ("PUT", f"/_data_stream/{STREAM}/_lifecycle", {"data_retention": "90d"}) in cluster.written
    assert f"data stream {STREAM}: now keeps events for 90d instead of an unlimited time" in kinds(lines, "done")
    cluster.streams[STREAM]["retention"] = "90d"
    cluster.written.clear()
    await run(cluster, retention=options)
    assert cluster.written == []


async def test_a_retention_that_somebody_else_gave_the_data_stream_stays_and_is_named() -> None:
    cluster = FakeCluster()
    cluster.streams[STREAM] = {"meta": None, "retention": "7d"}
    lines = await run(cluster)
    assert any("keeps events for 7d" in note for note in kinds(lines, "note"))
    assert not [path for _, path, _ in cluster.written if "_data_stream" in path]


async def test_alerts_get_a_mapping_of_their_own_with_the_pipeline_of_the_events() -> None:
    cluster = FakeCluster()
    await run(cluster, retention=Retention(keep="90d"))
    component, template = (body(cluster, path) for path in BESIDE[:2])
    fields = component["template"]["mappings"]["properties"]
    assert fields["event"]["properties"]["dataset"]["value"] == "okta_forwarder.alert"
    assert fields["event"]["properties"]["severity"]["type"] == "long"
    assert fields["okta_forwarder"]["properties"]["window"]["properties"]["start"]["type"] == "date"
    assert "okta" not in fields
    assert component["template"]["settings"]["index.default_pipeline"] == "okta-forwarder"
    assert template["index_patterns"] == ["logs-okta_forwarder.alert-*"]
    assert "okta-forwarder-alerts@mappings" in template["composed_of"]
    assert template["template"]["lifecycle"]["data_retention"] == "90d"


async def test_what_reactions_did_gets_a_mapping_of_its_own_too() -> None:
    cluster = FakeCluster()
    await run(cluster, retention=Retention(keep="90d"))
    component, template = (body(cluster, path) for path in BESIDE[2:4])
    fields = component["template"]["mappings"]["properties"]
    assert fields["event"]["properties"]["dataset"]["value"] == "okta_forwarder.action"
    assert fields["okta_forwarder"]["properties"]["action"]["properties"]["before"]["type"] == "flattened"
    assert "okta" not in fields
    assert component["template"]["settings"]["index.default_pipeline"] == "okta-forwarder"
    assert template["index_patterns"] == ["logs-okta_forwarder.action-*"]
    assert "okta-forwarder-actions@mappings" in template["composed_of"]
    assert template["template"]["lifecycle"]["data_retention"] == "90d"


# --- rights and Elastic's own


async def test_a_refusal_names_the_right_in_the_servers_words() -> None:
    cluster = FakeCluster()
    words = (
        "action [cluster:admin/ingest/pipeline/put] is unauthorized for user [x], this action is granted by"
        " the cluster privileges [manage_ingest_pipelines,manage_pipeline,manage,all]"
    )
    cluster.refused[PIPELINE] = words
    with pytest.raises(SetupError, match="the cluster privilege `manage_ingest_pipelines` is missing"):
        await run(cluster)


async def test_an_expired_license_is_not_called_a_missing_privilege() -> None:
    cluster = FakeCluster()
    cluster.refused[PIPELINE] = "current license is non-compliant for [security]"
    with pytest.raises(SetupError, match=r"the license of Elasticsearch .* \(403: current license is non-compliant"):
        await run(cluster)


class Redirecting(AdminApi):
    """A proxy that sends every request to another address."""

    async def call(self, method: str, path: str, body: Any = None) -> ClusterResponse:
        return ClusterResponse(307, "")


async def test_a_redirect_names_the_setting_to_correct() -> None:
    with pytest.raises(SetupError, match=r"with 307: .*; the response redirects .* set the `hosts` of the sink"):
        await run(Redirecting())


def integration(name: str = "okta") -> dict[str, Any]:
    return {
        "index_patterns": ["logs-okta.system-*"],
        "priority": 200,
        "_meta": {"package": {"name": name}},
        "template": {"settings": {"index.default_pipeline": "logs-okta.system-3.14.0"}},
    }


async def test_elastics_integration_is_left_alone() -> None:
    cluster = FakeCluster()
    cluster.templates["logs-okta.system"] = integration()
    lines: list[Message] = []
    assert not await setup(cluster, SetupTarget(STREAM), Options(), into(lines))
    assert "pipeline: _none" in kinds(lines, "problem")[0]
    assert not await setup(cluster, SetupTarget(STREAM, "raw", "mine"), Options(), into(lines))
    assert cluster.written == []
    assert await setup(cluster, SetupTarget(STREAM, "raw"), Options(), into(lines))
    assert await setup(cluster, SetupTarget(STREAM, "ecs", "_none"), Options(), into(lines))
    assert [path for _, path, _ in cluster.written] == [PIPELINE, *BESIDE]  # nothing of the integration


async def test_beside_elastics_integration_our_pipeline_is_made_for_a_sink_that_names_it() -> None:
    cluster = FakeCluster()
    cluster.templates["logs-okta.system"] = integration()
    target = SetupTarget(STREAM, "ecs", "okta-forwarder")
    await run(cluster, target, dry_run=True)
    assert cluster.written == []
    await run(cluster, target)
    assert [path for _, path, _ in cluster.written] == [PIPELINE, *BESIDE]
    await run(cluster, target)
    assert len(cluster.written) == 7


async def test_another_package_of_lower_priority_is_no_hindrance() -> None:
    cluster = FakeCluster()
    cluster.templates["logs-okta.system"] = integration("something_else")
    await run(cluster)
    assert len(cluster.written) == 9


class OddCluster(FakeCluster):
    """A cluster that answers requests whose path starts with `path` with 200 and `body`."""

    def __init__(self, path: str, body: Any) -> None:
        super().__init__()
        self.path, self.body = path, body
        self.streams[STREAM] = {"meta": {}, "retention": None}

    async def call(self, method: str, path: str, body: Any = None) -> ClusterResponse:
        """As the port says."""
        path = path.partition("?")[0]
        if path == self.path or (self.path != "/" and path.startswith(self.path)):
            return ClusterResponse(200, self.body)
        return await super().call(method, path, body)


@pytest.mark.parametrize("answered", ODD)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/_security",
        "/_nodes",
        "/_index_template",
        "/_component_template",
        "/_ingest/pipeline",
        "/_resolve",
        f"/.ds-{STREAM}-1/_mapping",
        "/_data_stream",
        f"/{STREAM}/_rollover",
    ],
)
async def test_a_response_that_is_not_one_of_elasticsearch_ends_setup_with_what_answered(
    path: str, answered: Any
) -> None:
    refused = ""
    try:
        await run(OddCluster(path, answered), rollover=True, retention=Retention(keep="30d"))
    except SetupError as error:
        refused = str(error)
    if isinstance(answered, dict) and path not in {"/", "/_security", "/_index_template"} and not refused:
        return  # an object that lacks all keys that are read
    assert "is not one of Elasticsearch" in refused
    assert "check the `hosts` of the sink" in refused
