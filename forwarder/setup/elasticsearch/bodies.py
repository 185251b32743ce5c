"""What setup writes: a pipeline, a component template and an index template, as JSON values.

Each is written in the form in which Elasticsearch gives it back, so that a second run can compare the two.

The pipeline is the index's *default* pipeline, not its final one. A final pipeline cannot be left out: it would also
run on a document that is reindexed or restored, and would set a new `event.ingested` there, and an operator could not
send a document past a pipeline that is at fault. The sink's setting `pipeline` replaces the default one, `_none` turns
it off.
"""

import hashlib
from typing import Any

import msgspec

from forwarder.ecs.document import DATASET
from forwarder.setup.elasticsearch import fields

Body = dict[str, Any]

VERSION = 1
"""Of everything below. Raise it with every change of it: a test holds the two together, docs/elasticsearch.md says
what that means for an operator."""

OWNER = "okta-forwarder"
META = {"managed_by": OWNER, "version": VERSION}

PATTERN = f"logs-{DATASET}-*"
PRIORITY = 250
"""Above the stack's own `logs` (100) and what Fleet installs for a package (200)."""

NAME = OWNER
COMPONENT = f"{NAME}@mappings"
CUSTOM = f"{NAME}@custom"
"""The operator's own component template and pipeline, used where they exist."""

STACK_BEFORE = ("logs@mappings", "logs@settings")
STACK_AFTER = "ecs@mappings"
"""Component templates of the stack. The last one holds guesses for fields that nothing else names."""

OPTIONAL_SETTINGS = {
    "index.mapping.total_fields.ignore_dynamic_beyond_limit": "true",
    "index.lifecycle.prefer_ilm": "false",
}
"""Settings that not every Elasticsearch knows."""


class Retention(msgspec.Struct, frozen=True):
    """How long events stay.

    Attributes:
        keep: for the data stream lifecycle, as Elasticsearch writes a time (`90d`); None keeps them for ever.
        ilm_policy: an index lifecycle policy of the operator's, in place of the data stream lifecycle.
    """

    keep: str | None = None
    ilm_policy: str | None = None


class Abilities(msgspec.Struct, frozen=True):
    """What the server has of the things that not every Elasticsearch has.

    Attributes:
        processors: of ingest, that every ingest node has.
        missing_types: of `fields.FALLBACKS`.
        settings: of `OPTIONAL_SETTINGS`.
        components: component templates of the stack.
        lifecycle: the data stream lifecycle.
        ilm: index lifecycle management.
    """

    processors: frozenset[str]
    missing_types: frozenset[str]
    settings: frozenset[str]
    components: frozenset[str]
    lifecycle: bool
    ilm: bool


def pipeline(has: Abilities) -> Body:
    """The ingest pipeline. No processor of it can refuse an event."""
    processors: list[Body] = [
        # Copied, not written by a template: that needs a module, and drops seconds that are zero.
        {"set": {"field": "event.ingested", "copy_from": "_ingest.timestamp", "ignore_failure": True}}
    ]
    if "user_agent" in has.processors:
        processors.append(_lenient("user_agent", field="user_agent.original"))
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
            _lenient(
                "rename", field="source.as.organization_name", target_field="source.as.organization.name"
            ),
        ]
    processors.append(
        {"pipeline": {"name": CUSTOM, "ignore_missing_pipeline": True, "on_failure": [_told()]}}
    )
    return {
        "description": "Okta events: where from, with which browser, when ingested",
        "version": VERSION,
        "_meta": META,
        "processors": processors,
    }


def _lenient(name: str, **options: Any) -> Body:
    return {name: {**options, "ignore_missing": True, "ignore_failure": True}}


def _told() -> Body:
    """A fault of the operator's own pipeline shows in the document, and does not cost it."""
    return {
        "set": {"field": "error.message", "copy_from": "_ingest.on_failure_message", "ignore_failure": True}
    }


def component_template(has: Abilities, retention: Retention) -> Body:
    """The mapping and the settings of every backing index."""
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
    mappings = {"date_detection": False, **fields.mappings(has.missing_types)}
    if STACK_AFTER not in has.components:
        mappings["dynamic_templates"].append(fields.STRINGS)
    mappings["_meta"] = {OWNER: {"version": VERSION, "fingerprint": digest([settings, mappings])}}
    return {"version": VERSION, "_meta": META, "template": {"settings": settings, "mappings": mappings}}


def index_template(has: Abilities, retention: Retention) -> Body:
    """What makes `logs-okta.system-*` data streams with that mapping."""
    optional = ["logs@custom", CUSTOM]
    composed = [*(name for name in STACK_BEFORE if name in has.components), COMPONENT, *optional]
    if STACK_AFTER in has.components:
        composed.append(STACK_AFTER)
    template: Body = {}
    if has.lifecycle and not retention.ilm_policy:
        template["lifecycle"] = {"enabled": True}
        if retention.keep:
            template["lifecycle"]["data_retention"] = retention.keep
    return {
        "index_patterns": [PATTERN],
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
    """The same short text for the same JSON value."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:12]


def fingerprint(mapping_meta: Any) -> str | None:
    """Which component template an index was made from, by `_meta` of its mapping; None for one not of ours."""
    ours = mapping_meta.get(OWNER) if isinstance(mapping_meta, dict) else None
    found = ours.get("fingerprint") if isinstance(ours, dict) else None
    return found if isinstance(found, str) else None


def version_of(meta: Any) -> int | None:
    """The version of what we made, by its `_meta`; None for what we did not make."""
    if not isinstance(meta, dict) or meta.get("managed_by") != OWNER:
        return None
    version = meta.get("version")
    return version if isinstance(version, int) else 0
