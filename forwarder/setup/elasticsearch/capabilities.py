"""Asks the server which features it has, because editions and versions differ, and what the credentials may do."""

from typing import Any

from forwarder.core.errors import SetupError
from forwarder.setup.elasticsearch import template_bodies
from forwarder.setup.elasticsearch.cluster import Cluster, MissingPrivilegeError
from forwarder.setup.elasticsearch.data_streams import EVENTS, OTHER_STREAMS
from forwarder.setup.elasticsearch.fields import FALLBACKS
from forwarder.setup.elasticsearch.responses import Identity, Nodes, Privileges
from forwarder.setup.elasticsearch.template_bodies import Capabilities, Retention

CLUSTER_PRIVILEGES = ("monitor", "manage_index_templates", "manage_ingest_pipelines")
INDEX_PRIVILEGES = ("view_index_metadata",)
ROLLOVER_PRIVILEGES = ("manage",)

_OTHER_PATTERNS = tuple(stream.pattern for stream in OTHER_STREAMS)
_PROBE = f"{template_bodies.OWNER}-probe-*"
_PROBE_PRIORITY = 1_999_999_987  # no other template should have it: Elasticsearch would refuse ours


async def check_privileges(cluster: Cluster, *, rollover: bool, ilm: bool) -> frozenset[str]:
    """Check that the credentials have every privilege that setup needs. If security is off, everything is allowed.

    If `rollover` is True, setup needs the privileges for a rollover. If `ilm` is True, it needs the privilege to read a
    lifecycle policy. Return the index patterns of the data streams for alerts, actions and health documents that the
    credentials may not update. Setup can still write the templates for these patterns.

    Raises:
        MissingPrivilegeError: privileges are missing; the message names all of them.
        SetupError: the credentials are wrong.
    """
    wanted = {
        "cluster": [*CLUSTER_PRIVILEGES, *(["read_ilm"] if ilm else [])],
        "index": [
            {
                "names": [EVENTS.pattern, *_OTHER_PATTERNS],
                "privileges": [*INDEX_PRIVILEGES, *(ROLLOVER_PRIVILEGES if rollover else ())],
            }
        ],
    }
    answer = await cluster.offer("POST", "/_security/user/_has_privileges", Privileges, wanted)
    if answer is None or answer.has_all_requested:
        return frozenset()
    missing = [f"cluster privilege `{name}`" for name, has in answer.cluster.items() if not has]
    of_indices = {names: [right for right, has in rights.items() if not has] for names, rights in answer.index.items()}
    unseen = frozenset([pattern for pattern in _OTHER_PATTERNS if of_indices.pop(pattern, [])])
    missing += [f"index privilege `{right}` on `{names}`" for names in of_indices for right in of_indices[names]]
    if not missing:
        return unseen
    raise MissingPrivilegeError(
        f"{await _who(cluster)} lacks: {', '.join(missing)}. docs/elasticsearch.md lists the privileges of the setup, and how to "
        "create a key for it."
    )


async def _who(cluster: Cluster) -> str:
    """Return the name of the API key or, without a key, of the user.

    The owner of a key is not named, because the owner may have more privileges than the key.
    """
    about = await cluster.offer("GET", "/_security/_authenticate", Identity)
    if about is None:
        return "the sink's credentials"
    key = about.api_key
    return f"the API key {key.name or '(without a name)'} (id {key.id})" if key else f"the user {about.username}"


async def find_capabilities(cluster: Cluster) -> Capabilities:
    """Find out which optional features the server has.

    Raises:
        SetupError: the credentials lack a privilege that these requests need, or the cluster answers with an error.
    """
    return Capabilities(
        processors=await _processors(cluster),
        missing_types=frozenset(
            [kind for kind in FALLBACKS if not await _takes(cluster, mappings={"properties": {"x": {"type": kind}}})]
        ),
        settings=frozenset(
            [
                name
                for name, value in template_bodies.OPTIONAL_SETTINGS.items()
                if await _takes(cluster, settings={name: value})
            ]
        ),
        components=frozenset(
            [
                name
                for name in (*template_bodies.STACK_BEFORE, template_bodies.STACK_AFTER)
                if await cluster.find(f"/_component_template/{name}", dict)
            ]
        ),
        lifecycle=await _takes(cluster, lifecycle={"enabled": True}),
        ilm=await _takes(cluster, settings={"index.lifecycle.name": "x"}),
    )


async def _processors(cluster: Cluster) -> frozenset[str]:
    """Return the processors that all ingest nodes have, because any of these nodes may process a document."""
    answer = await cluster.get("/_nodes/ingest?filter_path=nodes.*.roles,nodes.*.ingest.processors.type", Nodes)
    nodes = [node for node in answer.nodes.values() if "ingest" in node.roles]
    each = [frozenset(one.type for one in node.ingest.processors) for node in nodes if node.ingest]
    return frozenset.intersection(*each) if each else frozenset()


async def _takes(cluster: Cluster, **template: Any) -> bool:
    """Whether the server would accept an index template with the content `template`. Creates nothing."""
    body = {"index_patterns": [_PROBE], "priority": _PROBE_PRIORITY, "data_stream": {}, "template": template}
    return await cluster.offer("POST", "/_index_template/_simulate", dict, body) is not None


def degradations(has: Capabilities, retention: Retention) -> list[str]:
    """Return a line for each feature that the server lacks, with the effect on the documents.

    Raises:
        SetupError: `retention` needs a feature that the server lacks.
    """
    if retention.ilm_policy and not has.ilm:
        raise SetupError(
            f"this Elasticsearch has no index lifecycle management, so policy {retention.ilm_policy!r} cannot be used;"
            " set `retention` in the sink instead"
        )
    if retention.keep and not has.lifecycle:
        raise SetupError("this Elasticsearch has no data stream lifecycle, so `retention` cannot be used")
    lines = [
        f"this Elasticsearch has no type {kind}; {FALLBACKS[kind]} is used instead"
        for kind in sorted(has.missing_types)
    ]
    if "user_agent" not in has.processors:
        lines.append(
            "this Elasticsearch has no user_agent processor: user_agent.name, .version, .os and .device stay empty"
        )
    if "geoip" not in has.processors:
        lines.append(
            "this Elasticsearch has no geoip processor: source.geo and source.as stay empty, unless the sink has"
            " `okta_geo: true`, which fills them from Okta's own data"
        )
    if not has.lifecycle and not has.ilm:
        lines.append(
            "this Elasticsearch has no data stream lifecycle: it neither starts new indices nor deletes old events by"
            " itself"
        )
    return lines
