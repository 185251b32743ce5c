"""Reads Elastic's detection rules and hunts from the decoded objects of a TOML or JSON file."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import Condition
from forwarder.rules.conditions.rule import LeftOut, Rule, SkipReason
from forwarder.rules.elastic.eql import read_eql
from forwarder.rules.elastic.esql import read_esql
from forwarder.rules.elastic.kql import read_kql, read_lucene

_LANGUAGES: dict[str, Callable[[str], list[Condition]]] = {
    "kuery": lambda query: [read_kql(query)],
    "lucene": lambda query: [read_lucene(query)],
    "eql": read_eql,
    "esql": lambda query: [read_esql(query)],
}
_WITHOUT_QUERY = ("machine_learning",)
_SQL = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*+(?:select|with)\b", re.IGNORECASE | re.DOTALL)
_PRODUCT = ("integration", "index", "tags")
_WRAPPERS = ("rule", "hunt", "attributes", "params")
_LISTS = ("rules", "data", "saved_objects")


def rule_objects(found: Any) -> Iterable[dict[str, Any]]:
    """Yield the rules in a decoded file: a single rule, a list, or rules inside the objects of a Kibana
    export."""
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
                # Beside the wrapped object, a saved object has the name, and Elastic's TOML the integration.
                yield from ({**_about(found), **inner} for inner in rule_objects(found[key]))


def has_reader(language: Any) -> bool:
    """Whether queries in this language can be read."""
    return _spelled(language) in _LANGUAGES


def elastic_rule(found: dict[str, Any]) -> Rule | LeftOut:
    """Return the rule in `found`; LeftOut if all its queries are in languages without a reader.

    Raises:
        RuleFileError: its query cannot be read, and it is about Okta or names no product.
    """
    kind = str(found.get("type") or "query")
    queries = found.get("query") or []
    queries = [queries] if isinstance(queries, str) else queries
    okta = True if "okta" in _context(found, queries) else None
    languages = _languages(found, kind)
    try:
        conditions = _conditions(queries, languages)
    except (RuleFileError, RecursionError):
        if okta or not any(found.get(key) for key in _PRODUCT):
            raise
        conditions, okta = [], False
    if conditions is None:
        return LeftOut(SkipReason.OTHER_LANGUAGE if okta else SkipReason.OTHER_PRODUCT)
    return Rule(
        name=str(found.get("name") or found.get("rule_id") or "without a name"),
        language=kind if kind in _WITHOUT_QUERY else languages[0],
        conditions=tuple(conditions),
        id=str(found.get("rule_id") or found.get("uuid") or found.get("id") or ""),
        okta=okta,
    )


def _conditions(queries: Any, languages: list[str]) -> list[Condition] | None:
    """Return the conditions of the queries that have a reader; None if there are queries, but none of them
    has a reader."""
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise RuleFileError("its query is not a text")
    readers = [_LANGUAGES[language] for language in languages if language in _LANGUAGES]
    ours = [query for query in queries if not _SQL.match(query)] if readers else []
    if queries and not ours:
        return None
    return [condition for query in ours for condition in _first_read(query, readers)]


def _first_read(query: str, readers: list[Callable[[str], list[Condition]]]) -> list[Condition]:
    """Read one query of a hunt: try the readers of the hunt's languages, and return the first result."""
    for read in readers[:-1]:
        with suppress(RuleFileError):
            return read(query)
    return readers[-1](query)


def _about(found: dict[str, Any]) -> dict[str, Any]:
    beside = found.get("metadata")
    return {
        **(beside if isinstance(beside, dict) else {}),
        **{key: found[key] for key in ("name", "integration") if key in found},
    }


def _languages(found: dict[str, Any], kind: str) -> list[str]:
    """Return the languages of a rule; hunts may have several."""
    given = found.get("language")
    named = [
        _spelled(name) for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)
    ]
    return named or [kind if kind in _LANGUAGES else "kuery"]


def _spelled(language: Any) -> str:
    return str(language).lower().replace("|", "")


def _context(found: dict[str, Any], queries: Any) -> str:
    """Return all texts of a rule that may name its product, in lower case."""
    keys = ("name", "index", "integration", "tags", "machine_learning_job_id")
    return " ".join([str(queries), *(str(found.get(key, "")) for key in keys)]).lower()
