"""The types of all fields that our documents have, and of fields that only Elastic's rules and dashboards use.

If an ES|QL or EQL query uses a column that no index maps, the whole query fails. If Elasticsearch has guessed the type
of a field, an aggregation of this field shows nothing. So the types here include each field that a rule, a hunt or a
dashboard of Elastic uses.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from forwarder.ecs import value_readers
from forwarder.ecs.fields import FIELDS

Mapping = dict[str, Any]
"""The part of a mapping for one field or one object."""

_BY_READER: dict[Callable[[Any], Any], str] = {
    value_readers.text: "keyword",
    value_readers.texts: "keyword",
    value_readers.email: "keyword",
    value_readers.outcome: "keyword",
    value_readers.ip: "ip",
    value_readers.flag: "boolean",
    value_readers.integer: "long",
    value_readers.integer32: "integer",
    value_readers.location: "geo_point",
    value_readers.json_object: "flattened",
}

_DEBUG = "okta.debug_context.debug_data"


def by_type(names: Mapping, below: str = "") -> dict[str, str]:
    """Return the type of each field, by dotted name.

    `names` has, for each type, the names of its fields, separated by blanks. `below` is put before each name.
    """
    return {f"{below}{name}": kind for kind, listed in names.items() for name in listed.split()}


_DERIVED = by_type(
    {
        "date": "@timestamp event.created",
        "constant_keyword": "data_stream.type data_stream.dataset data_stream.namespace event.module event.dataset",
        "keyword": "ecs.version event.kind event.category event.type event.original tags related.user"
        " user.target.id user.target.full_name user.target.group.id user.target.group.name"
        " okta.target.id okta.target.type okta.target.alternate_id okta.target.display_name"
        " okta.target.detailEntry.methodTypeUsed okta.target.detailEntry.methodUsedVerifiedProperties",
        "ip": "related.ip",
        "flattened": "okta.request.ip_chain",
    }
) | by_type({"flattened": "flattened", "keyword": "risk_level risk_reasons risk_behaviors"}, f"{_DEBUG}.")
"""The fields of documents that are not in the table of `ecs/fields.py`."""

_BY_THE_SERVER = by_type(
    {
        "date": "event.ingested",
        "match_only_text": "error.message",
        "long": "source.as.number",
        "keyword": "source.as.organization.name source.geo.city_name source.geo.continent_name"
        " source.geo.country_iso_code source.geo.country_name source.geo.region_iso_code source.geo.region_name"
        " source.geo.timezone user_agent.device.name user_agent.name user_agent.os.full user_agent.os.name"
        " user_agent.os.version user_agent.version",
        "geo_point": "source.geo.location",
    }
)
"""The fields that the ingest pipeline adds."""

UNFILLED = {
    "rules group or filter by it; Okta's events do not have it, but an operator's own pipeline may add it": by_type(
        {
            "keyword": "cloud.account.id host.name host.os.type user.id user.target.email user.target.name related.hosts",
            "long": "client.as.number",
        }
    ),
    "rules that read events and alerts in one query use it; before the first alert no other index maps it": by_type(
        {
            "keyword": "kibana.alert.rule.name kibana.alert.rule.rule_id kibana.alert.severity"
            " signal.rule.threat.tactic.name"
        }
    ),
    "an ES|QL rule uses it as a column; documents have it only with `remove_flattened_debug`": by_type(
        {"keyword": "behaviors logOnlySecurityData risk risk_object"}, f"{_DEBUG}."
    ),
    "Elastic's documents and saved searches use it": by_type(
        {"match_only_text": "message", "keyword": "okta.severity okta.version"}
    ),
}
"""Reason → fields that are mapped although our documents do not have them."""

_SEARCHED_BY_WORD = {
    *(f"{who}.{name}" for who in ("user", "client.user", "source.user") for name in ("name", "full_name")),
    *("user.target.name", "user.target.full_name"),
    *("client.as.organization.name", "source.as.organization.name"),
    *("user_agent.original", "user_agent.os.name", "user_agent.os.full"),
}
"""Keyword fields that also have a subfield `.text` for full-text search, as in Elastic's mapping."""

FREE_OBJECTS = (_DEBUG, "okta.device", "okta.target.changeDetails.from", "okta.target.changeDetails.to")
"""Objects whose keys Okta chooses. They have `subobjects: false`, which makes each dotted name a field of its own.
Otherwise, if one document has a key `profile` and another has `profile.login`, Elasticsearch rejects one of them."""

FALLBACKS = {"constant_keyword": "keyword", "match_only_text": "text"}
"""Types that not every Elasticsearch has → the types that are used instead.

The other types allow the same queries, but need more disk space.
"""

IGNORE_ABOVE = 1024
"""The maximum length of an indexed keyword in characters, as in ECS. A longer value stays in the document, but searches
do not find it."""


def types() -> dict[str, str]:
    """Return dotted name → type of each field, for a server that has every type.

    Raises:
        KeyError: `_BY_READER` lacks a reader that `ecs/fields.py` uses.
    """
    found = {name: _BY_READER[row.read] for row in FIELDS for name in row.ecs}
    found |= _DERIVED | _BY_THE_SERVER
    for fields in UNFILLED.values():
        found |= fields
    return found


def mapped(kinds: Mapping, missing: Iterable[str], values: Mapping, free: Collection[str] = ()) -> Mapping:
    """Return a mapping with `properties` for some fields, and with `dynamic_templates` for the objects in `free`.

    `kinds` has the type of each field, and `values` the value of each constant field, by dotted name. Each type in
    `missing` is replaced by its fallback. The objects in `free` may have any keys.
    """
    root: Mapping = {"dynamic_templates": _dynamic_templates(free)} if free else {}
    root["properties"] = {}
    for path in free:
        _object(root, path.split(".")).update(type="object", subobjects=False)
    lacking = frozenset(missing)
    for name, kind in sorted(kinds.items()):
        *parents, last = name.split(".")
        _object(root, parents)["properties"][last] = _field(name, kind, lacking, values)
    return root


def _object(root: Mapping, path: list[str]) -> Mapping:
    """Return the mapping of the object at `path` below `root`. Objects on the path that do not exist are created."""
    for key in path:
        root = root["properties"].setdefault(key, {})
        root.setdefault("properties", {})
    return root


def _field(name: str, kind: str, lacking: frozenset[str], values: Mapping) -> Mapping:
    entry: Mapping = {"type": FALLBACKS[kind] if kind in lacking else kind}
    if name == "@timestamp":
        entry["ignore_malformed"] = False  # a data stream requires this
    elif name == "event.original":
        entry.update(index=False, doc_values=False)  # it is kept, but never searched
    elif entry["type"] == "constant_keyword":
        if name in values:  # the namespace is not: it differs by data stream
            entry["value"] = values[name]
    elif entry["type"] in {"keyword", "flattened"}:
        entry["ignore_above"] = IGNORE_ABOVE  # without it, a term of more than 32 kB makes the document fail
    if name in _SEARCHED_BY_WORD:
        word = "match_only_text"
        entry["fields"] = {"text": {"type": FALLBACKS[word] if word in lacking else word}}
    return entry


def _dynamic_templates(free: Collection[str]) -> list[Mapping]:
    """Return dynamic templates that map each key of the objects in `free` as `keyword`, because a key's values may have
    any type."""
    keyword = {"type": "keyword", "ignore_above": IGNORE_ABOVE}
    return [
        {path.replace(".", "_"): {"path_match": f"{path}.*", "match_mapping_type": "*", "mapping": keyword}}
        for path in free
    ]


STRINGS = {"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": IGNORE_ABOVE}}}
"""The dynamic template for all other strings, used if the server does not have its own one (`ecs@mappings`)."""
