"""Builds what setup writes, as JSON values: an ingest pipeline, component templates and index templates.

Each object is built in the form that Elasticsearch returns, so that a later run can compare the built and the stored
object.

The pipeline is the index's *default* pipeline, not its final one, because a final pipeline cannot be skipped. It would
also run on documents that are reindexed or restored, and overwrite their `event.ingested`; and if the pipeline had a
bug, an operator could not write documents without it. The sink's setting `pipeline` replaces the default pipeline, and
`_none` turns it off.
"""

import hashlib
from typing import Any, Literal

import msgspec

from forwarder.setup.elasticsearch import fields
from forwarder.sinks.elasticsearch.settings import SETUP_NAME, ElasticsearchSinkSettings

Body = dict[str, Any]

VERSION = 7
"""The version of everything that this module builds. Raise it with every change; a test checks that.
docs/elasticsearch.md says what a new version means for an operator."""

OWNER = SETUP_NAME
META = {"managed_by": OWNER, "version": VERSION}

PRIORITY = 250
"""Higher than the priority of Elasticsearch's own template `logs` (100) and of those that Fleet installs (200)."""

NAME = OWNER
CUSTOM = f"{NAME}@custom"
"""The name of a component template and of a pipeline that the operator may create. They are used if they exist."""

USER_AGENT_CHARACTERS = 512
"""How many characters of a user agent Elasticsearch parses. The longest user agents of browsers have 400."""

STACK_BEFORE = ("logs@mappings", "logs@settings")
STACK_AFTER = "ecs@mappings"
"""Component templates that Elasticsearch has built in. `ecs@mappings` comes last: it sets types for fields that no other
template names."""

OPTIONAL_SETTINGS = {
    "index.mapping.total_fields.ignore_dynamic_beyond_limit": "true",
    "index.lifecycle.prefer_ilm": "false",
}
"""Index settings that not every version of Elasticsearch accepts."""


class Retention(msgspec.Struct, frozen=True):
    """How long Elasticsearch keeps events.

    Attributes:
        keep: the time for the data stream lifecycle, as in `90d`; None for no limit.
        ilm_policy: name of the index lifecycle policy that decides instead of `keep`; None if there is none.
    """

    keep: str | None = None
    ilm_policy: str | None = None


class SetupTarget(msgspec.Struct, frozen=True):
    """The settings of a sink that setup uses.

    Attributes:
        data_stream: name of the data stream of Okta's events.
        documents: `ecs` if the sink sends finished documents; `raw` if Elastic's own pipeline creates them.
        pipeline: the ingest pipeline that the sink names in its requests; None if it uses the default of the index.
        unseen: index patterns of data streams that the credentials may not update.
    """

    data_stream: str
    documents: Literal["ecs", "raw"] = "ecs"
    pipeline: str | None = None
    unseen: frozenset[str] = frozenset()

    @property
    def namespace(self) -> str:
        """The namespace of the data stream: the part of its name after the last hyphen."""
        return self.data_stream.rpartition("-")[2]


def elastic_time(seconds: float) -> str:
    """Return a time in Elasticsearch's notation, as in `90d`. The unit is the largest one that needs no fraction."""
    whole = round(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def target_of(sink: ElasticsearchSinkSettings) -> SetupTarget:
    """Return the settings of `sink` that setup uses."""
    return SetupTarget(sink.data_stream, sink.document_format, sink.pipeline)


def retention_of(sink: ElasticsearchSinkSettings) -> Retention:
    """Return how long Elasticsearch should keep events, according to the settings of `sink`."""
    return Retention(elastic_time(sink.retention) if sink.retention else None, sink.ilm_policy)


class Options(msgspec.Struct, frozen=True):
    """The options of a run.

    Attributes:
        rollover: start a new backing index if the current one does not have the mapping of the template.
    """

    retention: Retention = Retention()
    dry_run: bool = False
    rollover: bool = False


class Capabilities(msgspec.Struct, frozen=True):
    """Which optional features the server has. Not every version and edition of Elasticsearch has them all.

    Attributes:
        processors: the ingest processors that every ingest node has.
        missing_types: the field types of `fields.FALLBACKS` that the server does not have.
        settings: the names in `OPTIONAL_SETTINGS` that the server accepts.
        components: the built-in component templates that the server has.
        lifecycle: whether the server has the data stream lifecycle.
        ilm: whether the server has index lifecycle management.
    """

    processors: frozenset[str]
    missing_types: frozenset[str]
    settings: frozenset[str]
    components: frozenset[str]
    lifecycle: bool
    ilm: bool


def pipeline(has: Capabilities) -> Body:
    """Build the ingest pipeline. An event is stored even if a processor fails."""
    processors: list[Body] = [
        # The time is copied, not written as a Mustache template: a template needs a module, and omits seconds that are 0.
        _copy("_ingest.timestamp", "event.ingested")
    ]
    if "user_agent" in has.processors:
        processors += _user_agent()
    if "geoip" in has.processors:
        processors += [
            _lenient("geoip", field="source.ip", target_field="source.geo"),
            _lenient(
                "geoip",
                field="source.ip",
                target_field="source.as",
                database_file="GeoLite2-ASN.mmdb",
                properties=["asn", "organization_name"],
            ),
            _lenient("rename", field="source.as.asn", target_field="source.as.number"),
            _lenient("rename", field="source.as.organization_name", target_field="source.as.organization.name"),
        ]
    processors.append({"pipeline": {"name": CUSTOM, "ignore_missing_pipeline": True, "on_failure": [_RECORD_FAILURE]}})
    return {
        "description": "Okta events: where from, with which browser, when ingested",
        "version": VERSION,
        "_meta": META,
        "processors": processors,
    }


def _user_agent() -> list[Body]:
    """Build the processors that parse the user agent, but only its first `USER_AGENT_CHARACTERS` characters.

    The time that Elasticsearch's parser needs grows with the square of the length: 8,000 characters take 3 s, and
    anyone who sends a request to Okta chooses this text. `gsub` shortens the text in linear time, and needs no script.
    """
    whole, parsed = "_user_agent.whole", "_user_agent.parsed"
    shortened = {"pattern": f"(?s)^(.{{{USER_AGENT_CHARACTERS}}}).*", "replacement": "$1"}
    return [
        _copy("user_agent.original", whole),
        _lenient("gsub", field=whole, target_field=parsed, **shortened),
        # This replaces the whole `user_agent`, and sets `original` to the shortened text; the copy below restores it.
        _lenient("user_agent", field=parsed, properties=["name", "version", "os", "device"]),
        _copy(whole, "user_agent.original"),
        _lenient("remove", field="_user_agent"),
    ]


def _lenient(name: str, **options: Any) -> Body:
    return {name: {**options, "ignore_missing": True, "ignore_failure": True}}


def _copy(source: str, target: str) -> Body:
    return {"set": {"field": target, "copy_from": source, "ignore_failure": True}}


_RECORD_FAILURE = _copy("_ingest.on_failure_message", "error.message")
"""If the operator's own pipeline fails, the document is still stored, with the error in this field."""


def component_body(fields_mapping: Body, has: Capabilities, retention: Retention) -> Body:
    """Build a component template from `fields_mapping` and the settings that all our backing indices have."""
    settings = {
        "index.codec": "best_compression",
        "index.default_pipeline": NAME,
        "index.mapping.ignore_malformed": "true",
        "index.mapping.total_fields.limit": "2000",
        **{name: value for name, value in OPTIONAL_SETTINGS.items() if name in has.settings},
    }
    if retention.ilm_policy:
        settings |= {"index.lifecycle.name": retention.ilm_policy}
        settings.pop("index.lifecycle.prefer_ilm", None)
    mappings = {"date_detection": False, **fields_mapping}
    if STACK_AFTER not in has.components:
        mappings["dynamic_templates"] = [*mappings.get("dynamic_templates", ()), fields.STRINGS]
    mappings["_meta"] = {OWNER: {"version": VERSION, "fingerprint": digest([settings, mappings])}}
    return {"version": VERSION, "_meta": META, "template": {"settings": settings, "mappings": mappings}}


def template_body(pattern: str, component: str, custom: str, has: Capabilities, retention: Retention) -> Body:
    """Build an index template for `pattern` that contains the component templates `component` and `custom`.

    The operator may create the component template `custom`; it need not exist.
    """
    optional = ["logs@custom", custom]
    composed = [*(name for name in STACK_BEFORE if name in has.components), component, *optional]
    if STACK_AFTER in has.components:
        composed.append(STACK_AFTER)
    template: Body = {}
    if has.lifecycle and not retention.ilm_policy:
        template["lifecycle"] = {"enabled": True}
        if retention.keep:
            template["lifecycle"]["data_retention"] = retention.keep
    return {
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "version": VERSION,
        "_meta": META,
        "allow_auto_create": True,
        "data_stream": {"hidden": False, "allow_custom_routing": False},
        "composed_of": composed,
        "ignore_missing_component_templates": optional,
        "template": template,
    }


def digest(value: Any) -> str:
    """Return a short hash of a JSON value. The order of keys does not change the hash."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:12]


def fingerprint(mapping_meta: Any) -> str | None:
    """Return the fingerprint in `mapping_meta`, the `_meta` of an index's mapping; None if it has none.

    The fingerprint comes from our component template.
    """
    ours = mapping_meta.get(OWNER) if isinstance(mapping_meta, dict) else None
    found = ours.get("fingerprint") if isinstance(ours, dict) else None
    return found if isinstance(found, str) else None


def version_of(meta: Any) -> int | None:
    """Return the version in `meta`, the `_meta` of a template or pipeline; None if setup did not create it."""
    if not isinstance(meta, dict) or meta.get("managed_by") != OWNER:
        return None
    version = meta.get("version")
    return version if isinstance(version, int) else 0
