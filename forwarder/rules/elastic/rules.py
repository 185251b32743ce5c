"""Reads Elastic's detection rules and hunts from the decoded objects of a TOML or JSON file."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import Condition
from forwarder.rules.conditions.rule import LeftOut, Rule, SkipReason, names_event_type, refusal
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
_KINDS = ("query", "eql", "esql", "threshold", "threat_match", "new_terms", "saved_query")
_SIGNS = ("language", "rule_id", "risk_score", "integration")
_SOURCES = ("index", "data_view_id")
_OKTAS_DATA = re.compile(r"\bokta[.*](?!com\b|exe\b)|(?:dataset|module)\b.{0,20}okta", re.IGNORECASE | re.DOTALL)


def elastic_maker(found: dict[str, Any]) -> Callable[[], Rule | LeftOut] | None:
    """Return a function that reads `found` and returns a Rule or LeftOut; None if `found` is not a rule."""
    if found.get("query") is not None or found.get("type") in _WITHOUT_QUERY:
        return partial(elastic_rule, found)
    signs = [found.get("type") in _KINDS, *(key in found for key in _SIGNS)]
    if sum(signs) > 1 and "okta" in _context(found, ""):
        return refusal("has no `query`; add it, or export the rule with its query")
    return None


def has_reader(found: dict[str, Any]) -> bool:
    """Whether there is a reader for the query of `found`. If one of Elastic's rules names no language, its query is
    KQL."""
    if not found.get("language"):
        return found.get("type") in _KINDS and _has_key_of_elastics(found)
    return any(language in _LANGUAGES for language in _languages(found))


def elastic_rule(found: dict[str, Any]) -> Rule | LeftOut:
    """Return the rule in `found`; LeftOut if none of its queries is in a language that can be read here.

    Raises:
        RuleFileError: the query cannot be read, and the rule may be about Okta.
    """
    found = _with_query_of_kibana(found)
    kind = str(found.get("type") or "query")
    queries = found.get("query") or []
    queries = [queries] if isinstance(queries, str) else queries
    okta = True if "okta" in _context(found, queries) else None
    languages = _languages(found)
    try:
        conditions = None if _is_query_dsl(found) else _conditions(queries, languages)
    except (RuleFileError, RecursionError):
        if _is_elastics(found) and not _is_of_another_product(found, str(queries)):
            raise
        if okta and not _is_elastics(found):  # Datadog, Sumo Logic, Sentinel in JSON
            return LeftOut(SkipReason.OTHER_LANGUAGE)
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


def _with_query_of_kibana(found: dict[str, Any]) -> dict[str, Any]:
    """Return `found` with its query in the form that Elastic's rules have: `query` is a string, and `language` is
    beside it. In Kibana's saved queries and searches, `query` is an object that contains the query and the language."""
    inner = found.get("query")
    if isinstance(inner, dict) and isinstance(inner.get("query"), str):
        return {"name": found.get("title"), **found, **inner}
    return found


def _is_query_dsl(found: dict[str, Any]) -> bool:
    """Whether the query of `found` is an object of Elasticsearch's Query DSL, as in watches and monitors."""
    return isinstance(found.get("query"), dict) and not found.get("language")


def _is_elastics(found: dict[str, Any]) -> bool:
    """Whether `found` has a key or a type that distinguishes Elastic's rules from other rules with a `query`."""
    return found.get("type") in _KINDS or _has_key_of_elastics(found)


def _has_key_of_elastics(found: dict[str, Any]) -> bool:
    return any(found.get(key) for key in (*_SIGNS, *_SOURCES))


def _is_of_another_product(found: dict[str, Any], queries: str) -> bool:
    """Whether the rule is about another product: the rule names a data source, but neither the data source nor the
    queries name Okta's data.

    The word "Okta" in a name or a path is not enough: there are rules about Okta's programs on Windows.
    """
    product = " ".join(str(found[key]) for key in _PRODUCT if found.get(key))
    if not product or "okta" in product.lower():
        return False
    return not _OKTAS_DATA.search(queries) and not names_event_type(queries)


def _conditions(queries: Any, languages: list[str]) -> list[Condition] | None:
    """Return the conditions of the queries in a supported language; None if there are queries, but none in a supported
    language."""
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise RuleFileError("`query` must be a string; put the query in quotes")
    readers = [_LANGUAGES[language] for language in languages if language in _LANGUAGES]
    ours = [query for query in queries if not _SQL.match(query)] if readers else []
    if queries and not ours:
        return None
    return [condition for query in ours for condition in _first_read(query, readers)]


def _first_read(query: str, readers: list[Callable[[str], list[Condition]]]) -> list[Condition]:
    """Return the conditions of one query of a hunt. Try the readers of the hunt's languages one after the other, until
    one of them can read the query."""
    for read in readers[:-1]:
        with suppress(RuleFileError):
            return read(query)
    return readers[-1](query)


def _languages(found: dict[str, Any]) -> list[str]:
    """Return the query languages that a rule or hunt names. A hunt may name several. If none is named, return one
    default."""
    given = found.get("language")
    named = [_spelled(name) for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)]
    if found.get("type") in _KINDS or any(found.get(key) for key in (*_PRODUCT, "rule_id")):
        # Kibana shows `kuery` as KQL. In other products' rules, KQL is Microsoft's language.
        named = ["kuery" if name == "kql" else name for name in named]
    kind = _spelled(found.get("type"))
    return [name for name in named if name] or [kind if kind in _LANGUAGES else "kuery"]


def _spelled(language: Any) -> str:
    return re.sub(r"[\W_]", "", str(language)).lower()


def _context(found: dict[str, Any], queries: Any) -> str:
    """Return all texts of a rule that may name its product, in lower case."""
    keys = ("name", "index", "integration", "tags", "machine_learning_job_id")
    return " ".join([str(queries), *(str(found.get(key, "")) for key in keys)]).lower()
