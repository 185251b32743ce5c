"""The type of every field: of those that our documents have, and of those that only rules and dashboards name.

An ES|QL or EQL query fails as a whole when a column that it names is mapped nowhere, and an aggregation on a
field of a guessed type shows nothing. So nothing that a rule, a hunt or a dashboard of Elastic's names is
left to a guess.
"""

from collections.abc import Callable, Iterable
from typing import Any

from forwarder.ecs import readers
from forwarder.ecs.document import DATASET
from forwarder.ecs.fields import FIELDS

Mapping = dict[str, Any]
"""A field's or an object's entry in a mapping."""

_BY_READER: dict[Callable[[Any], Any], str] = {
    readers.text: "keyword",
    readers.texts: "keyword",
    readers.email: "keyword",
    readers.outcome: "keyword",
    readers.ip: "ip",
    readers.flag: "boolean",
    readers.integer: "integer",
    readers.location: "geo_point",
    readers.json_object: "flattened",
}

_DEBUG = "okta.debug_context.debug_data"

_DERIVED: dict[str, str] = {
    "@timestamp": "date",
    "ecs.version": "keyword",
    "data_stream.type": "constant_keyword",
    "data_stream.dataset": "constant_keyword",
    "data_stream.namespace": "constant_keyword",
    "event.module": "constant_keyword",
    "event.dataset": "constant_keyword",
    "event.kind": "keyword",
    "event.category": "keyword",
    "event.type": "keyword",
    "event.created": "date",
    "event.original": "keyword",
    "tags": "keyword",
    "related.user": "keyword",
    "related.ip": "ip",
    "user.target.id": "keyword",
    "user.target.full_name": "keyword",
    "user.target.group.id": "keyword",
    "user.target.group.name": "keyword",
    "okta.security_context.as.number": "long",  # as an unsigned number of 32 bits it exceeds an integer
    "okta.request.ip_chain": "flattened",
    "okta.target.id": "keyword",
    "okta.target.type": "keyword",
    "okta.target.alternate_id": "keyword",
    "okta.target.display_name": "keyword",
    "okta.target.detailEntry.methodTypeUsed": "keyword",
    "okta.target.detailEntry.methodUsedVerifiedProperties": "keyword",
    f"{_DEBUG}.flattened": "flattened",
    f"{_DEBUG}.risk_level": "keyword",
    f"{_DEBUG}.risk_reasons": "keyword",
    f"{_DEBUG}.risk_behaviors": "keyword",
}
"""What documents hold beyond the table of `ecs/fields.py`."""

_BY_THE_SERVER: dict[str, str] = {
    "event.ingested": "date",
    "error.message": "match_only_text",
    "source.as.number": "long",
    "source.as.organization.name": "keyword",
    "source.geo.city_name": "keyword",
    "source.geo.continent_name": "keyword",
    "source.geo.country_iso_code": "keyword",
    "source.geo.country_name": "keyword",
    "source.geo.location": "geo_point",
    "source.geo.region_iso_code": "keyword",
    "source.geo.region_name": "keyword",
    "source.geo.timezone": "keyword",
    "user_agent.device.name": "keyword",
    "user_agent.name": "keyword",
    "user_agent.os.full": "keyword",
    "user_agent.os.name": "keyword",
    "user_agent.os.version": "keyword",
    "user_agent.version": "keyword",
}
"""What the ingest pipeline adds."""

UNFILLED: dict[str, dict[str, str]] = {
    "rules group or filter by it, although Okta's events do not tell it: an operator's own pipeline may": {
        "cloud.account.id": "keyword",
        "host.name": "keyword",
        "host.os.type": "keyword",
        "user.id": "keyword",
        "user.target.email": "keyword",
        "user.target.name": "keyword",
        "related.hosts": "keyword",
        "client.as.number": "long",
    },
    "rules that read events and alerts in one query name them; before the first alert no other index maps them": {
        "kibana.alert.rule.name": "keyword",
        "kibana.alert.rule.rule_id": "keyword",
        "kibana.alert.severity": "keyword",
        "signal.rule.threat.tactic.name": "keyword",
    },
    "an ES|QL rule names it as a column; it is filled only with `remove_flattened_debug`": {
        f"{_DEBUG}.behaviors": "keyword",
        f"{_DEBUG}.logOnlySecurityData": "keyword",
        f"{_DEBUG}.risk": "keyword",
        f"{_DEBUG}.risk_object": "keyword",
    },
    "Elastic's documents and saved searches know it": {
        "message": "match_only_text",
        "okta.severity": "keyword",
        "okta.version": "keyword",
    },
}
"""Reason -> fields that no document of ours has, and that are mapped all the same."""

_SEARCHED_BY_WORD = {
    *(f"{who}.{name}" for who in ("user", "client.user", "source.user") for name in ("name", "full_name")),
    *("user.target.name", "user.target.full_name"),
    *("client.as.organization.name", "source.as.organization.name"),
    *("user_agent.original", "user_agent.os.name", "user_agent.os.full"),
}
"""Keywords that have a `.text` beside them, as in Elastic's mapping."""

_VALUES = {
    "data_stream.type": "logs",
    "data_stream.dataset": DATASET,
    "event.module": "okta",
    "event.dataset": DATASET,
}

_FREE_OBJECTS = (_DEBUG, "okta.device", "okta.target.changeDetails.from", "okta.target.changeDetails.to")
"""Objects whose keys are Okta's affair. `subobjects: false` keeps a key `profile` and a key `profile.login` from
refusing each other's documents: every dotted name is a field of its own."""

FALLBACKS = {"constant_keyword": "keyword", "match_only_text": "text"}
"""Types that not every Elasticsearch has, and what serves the same queries there, with more disk."""

IGNORE_ABOVE = 1024
"""Characters of a keyword that are indexed, as in ECS; a longer value stays in the document and is not found."""


def types() -> dict[str, str]:
    """Return the type of each field, by its dotted name, on a server that has every type.

    Raises:
        KeyError: `ecs/fields.py` has a reader for which no type is defined here.
    """
    found = {name: _BY_READER[row.read] for row in FIELDS for name in row.ecs}
    found |= _DERIVED | _BY_THE_SERVER
    for fields in UNFILLED.values():
        found |= fields
    return found


def mappings(missing: Iterable[str]) -> Mapping:
    """Return `properties` and `dynamic_templates` of the mapping of event documents.

    Args:
        missing: field types that the server does not have; each must be in `FALLBACKS`.
    """
    root = mapped(types(), missing, _VALUES, _FREE_OBJECTS)
    return {"dynamic_templates": _dynamic_templates(), **root}


def mapped(kinds: Mapping, missing: Iterable[str], values: Mapping, free: Iterable[str] = ()) -> Mapping:
    """Return `properties` of a mapping with the fields in `kinds`, as name → type.

    A type in `missing` is replaced by its fallback. `values` has the values of constant fields, `free` the
    objects that may have any key.
    """
    root: Mapping = {"properties": {}}
    for path in free:
        _object(root, path.split(".")).update(type="object", subobjects=False)
    lacking = frozenset(missing)
    for name, kind in sorted(kinds.items()):
        *parents, last = name.split(".")
        _object(root, parents)["properties"][last] = _field(name, kind, lacking, values)
    return root


def _object(root: Mapping, path: list[str]) -> Mapping:
    """Return the mapping of the object at `path` below `root`; create missing objects on the way."""
    for key in path:
        root = root["properties"].setdefault(key, {})
        root.setdefault("properties", {})
    return root


def _field(name: str, kind: str, lacking: frozenset[str], values: Mapping) -> Mapping:
    entry: Mapping = {"type": FALLBACKS[kind] if kind in lacking else kind}
    if name == "@timestamp":
        entry["ignore_malformed"] = False  # a data stream insists on it
    elif name == "event.original":
        entry.update(index=False, doc_values=False)  # kept, never searched
    elif entry["type"] == "constant_keyword":
        entry.update({"value": values[name]} if name in values else {})  # the namespace is the stream's own
    elif entry["type"] in {"keyword", "flattened"}:
        entry["ignore_above"] = IGNORE_ABOVE  # a term of more than 32 kB would refuse the document
    if name in _SEARCHED_BY_WORD:
        word = "match_only_text"
        entry["fields"] = {"text": {"type": FALLBACKS[word] if word in lacking else word}}
    return entry


def _dynamic_templates() -> list[Mapping]:
    """Return templates that map each key of a free object as keyword, because its values vary in type."""
    keyword = {"type": "keyword", "ignore_above": IGNORE_ABOVE}
    return [
        {path.replace(".", "_"): {"path_match": f"{path}.*", "match_mapping_type": "*", "mapping": keyword}}
        for path in _FREE_OBJECTS
    ]


STRINGS = {
    "strings": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": IGNORE_ABOVE}}
}
"""The dynamic template for whatever else comes, where the server has none of its own (`ecs@mappings`)."""
