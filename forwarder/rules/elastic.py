"""Elastic's detection rules and hunts, from the objects that a TOML or JSON file of them holds."""

from collections.abc import Callable, Iterable
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.condition import Condition
from forwarder.rules.eql import read_eql
from forwarder.rules.esql import read_esql
from forwarder.rules.kql import read_kql, read_lucene
from forwarder.rules.rule import Rule

_LANGUAGES: dict[str, Callable[[str], list[Condition]]] = {
    "kuery": lambda query: [read_kql(query)],
    "lucene": lambda query: [read_lucene(query)],
    "eql": read_eql,
    "esql": lambda query: [read_esql(query)],
}
_WITHOUT_QUERY = {"machine_learning"}
_WRAPPERS = ("rule", "hunt", "attributes", "params")
_LISTS = ("rules", "data", "saved_objects")


def rule_objects(found: Any) -> Iterable[dict[str, Any]]:
    """Yield the rules in a decoded file: a single one, a list, or wrapped as exports wrap them."""
    if isinstance(found, list):
        for item in found:
            yield from rule_objects(item)
    elif isinstance(found, dict):
        if "query" in found or found.get("type") in _WITHOUT_QUERY:
            yield found
            return
        for key in _LISTS:
            if isinstance(found.get(key), list):
                yield from rule_objects(found[key])
        for key in _WRAPPERS:
            if isinstance(found.get(key), dict):
                # A saved object keeps the name beside what it wraps, Elastic's TOML keeps the integration there.
                yield from ({**_about(found), **inner} for inner in rule_objects(found[key]))


def elastic_rule(found: dict[str, Any]) -> Rule:
    """Read a rule.

    Raises:
        RuleFileError: its query cannot be read.
    """
    kind = str(found.get("type") or "query")
    language = _language(found, kind)
    queries = found.get("query") or []
    queries = [queries] if isinstance(queries, str) else queries
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise RuleFileError("its query is not a text")
    read = _LANGUAGES.get(language)
    conditions = [part for query in queries for part in read(query)] if read else []
    return Rule(
        name=str(found.get("name") or found.get("rule_id") or "without a name"),
        language=kind if kind in _WITHOUT_QUERY else language,
        conditions=tuple(conditions),
        id=str(found.get("rule_id") or found.get("uuid") or found.get("id") or ""),
        okta=True if "okta" in _context(found, queries) else None,
    )


def _about(found: dict[str, Any]) -> dict[str, Any]:
    beside = found.get("metadata")
    return {
        **(beside if isinstance(beside, dict) else {}),
        **{key: found[key] for key in ("name", "integration") if key in found},
    }


def _language(found: dict[str, Any], kind: str) -> str:
    language = found.get("language")
    if isinstance(language, list):  # in hunts
        language = language[0] if language else None
    if not isinstance(language, str):
        language = kind if kind in _LANGUAGES else "kuery"
    return language.lower().replace("|", "")


def _context(found: dict[str, Any], queries: list[str]) -> str:
    """Return all text that may name the product of a rule, in lower case."""
    keys = ("name", "index", "integration", "tags", "machine_learning_job_id")
    return " ".join([*queries, *(str(found.get(key, "")) for key in keys)]).lower()
