"""Decides which objects of a decoded document are rules, and of which kind.

`documents.py` has split the file into documents and decoded them. The functions here find the rules inside other
objects, merge the collections of older Sigma rules, and choose the reader for a rule: the reader for Sigma, for Okta's
catalogue or for Elastic. Some kinds of rules have no reader.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.okta_filter import is_filter, read_okta_filter, without_comments
from forwarder.rules.conditions.rule import LeftOut, Rule, SkipReason, mentions_okta, refusal
from forwarder.rules.elastic.rules import elastic_maker, elastic_rule, has_reader
from forwarder.rules.sigma.detections import about_okta, sigma_rule

T = TypeVar("T")

_OTHER_LANGUAGES = ("explanation", "splunk", "spl", "datadog", "elastic", "sigma", "sentinel", "chronicle")
_ENGINES = ("oie", "classic")
_CONTAINERS = ("rule", "hunt", "attributes", "params", "rules", "data", "saved_objects", "items")
_RULE_KEYS = ("query", "detection", "logsource", "correlation", "analysistype")


def rule_objects(found: Any) -> Iterator[dict[Any, Any]]:
    """Yield each object in `found` that may be a rule; `found` is a decoded document.

    An object without any key of a rule, such as a saved object of Kibana, may contain rules. In this case, only the
    inner objects are yielded.
    """
    if isinstance(found, list):
        for item in found:
            yield from rule_objects(item)
    elif isinstance(found, dict):
        inner = [] if _is_rule(found) else [item for key, item in found.items() if _contains(key, item)]
        if not inner:
            yield found
        # The outer object has a key that the rule lacks: `name` in a saved object, `integration` in Elastic's TOML.
        about = _about(found)
        yield from ({**about, **rule} for rule in rule_objects(inner))


def lower_keys(found: dict[Any, Any]) -> dict[Any, Any]:
    """Return a copy of `found` in which each value is also under its key in lower case."""
    return {str(key).lower(): value for key, value in found.items()} | found


def _is_rule(found: dict[Any, Any]) -> bool:
    return any(str(key).lower() in _RULE_KEYS for key in found)


def _contains(key: Any, item: Any) -> bool:
    """Whether `item`, the value of `key`, may contain rules: `key` is in `_CONTAINERS`, or `item` looks like a Sigma
    rule."""
    if isinstance(item, dict):
        return key in _CONTAINERS or ("detection" in item and "logsource" in item)
    return isinstance(item, list) and key in _CONTAINERS


def _about(found: dict[Any, Any]) -> dict[Any, Any]:
    beside = found.get("metadata")
    sources = (beside if isinstance(beside, dict) else {}, found)
    return {key: source[key] for source in sources for key in ("name", "integration") if key in source}


def yaml_rule(written: dict[Any, Any]) -> Callable[[], Rule | LeftOut] | None:
    """Return a function that reads the object `written` and returns a Rule or LeftOut; None if `written` is not a rule."""
    found = lower_keys(written)
    if "analysistype" in found:  # Panther
        return partial(_without_reader, found)
    if isinstance(found.get("detection"), dict):
        if "condition" in found["detection"] or "logsource" in found:
            return partial(sigma_rule, found)
        return partial(_okta_detection, found)
    if "correlation" in found or isinstance(found.get("filter"), dict):
        return partial(LeftOut, SkipReason.REFERENCE)
    if isinstance(found.get("query"), str | list) and has_reader(found):
        return partial(elastic_rule, found)
    if found.get("query") is not None or "search" in found:  # osquery, Sentinel, Splunk
        return partial(_without_reader, found)
    if about_okta(found.get("logsource")) is False:
        return partial(LeftOut, SkipReason.OTHER_PRODUCT)
    if "logsource" in found or is_sigma(found):
        return refusal("its `detection` must hold selections and a condition")
    return elastic_maker(found)


def json_rule(written: dict[Any, Any]) -> Callable[[], Rule | LeftOut] | None:
    """Do the same as `yaml_rule` for an object of JSON or TOML. In these formats, an object with a `query` but without
    a language is one of Elastic's rules."""
    if is_sigma(written) or "analysistype" in lower_keys(written):
        return yaml_rule(written)
    return elastic_maker(written)


def is_sigma(found: dict[Any, Any]) -> bool:
    """Whether `found` is meant as a rule of Sigma or of Okta's catalogue, even if the rule has mistakes."""
    return "title" in found and ("detection" in found or "logsource" in found)


def collected(documents: Iterable[tuple[T, Any]]) -> Iterator[tuple[T, Any]]:
    """Merge the documents of older Sigma rules, which may consist of several documents. The key `action` of a document
    says how the document is merged:

    - `global`: the document is merged into each document after it. If no document follows, the merged document is a
      rule itself.
    - `repeat`: the document is merged into a copy of the document before it.
    - `reset`: earlier documents with `global` have no effect from here on.
    """
    shared: dict[Any, Any] = {}
    last: dict[Any, Any] = {}
    alone: list[tuple[T, Any]] = []
    for place, value in documents:
        action = value.get("action") if isinstance(value, dict) else None
        if action == "reset":
            yield from alone
            shared, alone = {}, []
        elif action == "global":
            shared = _merged(shared, value)
            alone = [(place, shared)]
        elif isinstance(value, dict) and (shared or action == "repeat"):
            alone = []
            last = _merged(last if action == "repeat" else shared, value)
            yield place, last
        else:
            last = value if isinstance(value, dict) else {}
            yield place, value
    yield from alone


def _merged(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    found = under | over
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            found[key] = _merged(under[key], over[key])
    return found


def _okta_detection(found: dict[str, Any]) -> Rule | LeftOut:
    """Read the System Log filters of a rule in Okta's public catalogue. The rule's queries in other languages are
    ignored."""
    queries = okta_filters(found["detection"])
    if not queries:
        return LeftOut(SkipReason.OTHER_LANGUAGE)
    return Rule(
        name=str(found.get("title") or "without a title"),
        language="filter",
        conditions=tuple(read_okta_filter(query) for query in queries),
        id=str(found.get("id") or ""),
    )


def okta_filters(detection: dict[str, Any]) -> list[str]:
    """Return the System Log filters of a rule in Okta's catalogue; an empty list if all queries of the rule are in
    other languages.

    A rule has one filter, or one filter for each of Okta's engines (Identity Engine, Classic Engine). The filters are
    in the object `okta_systemlog`, or directly in the detection. The rule's queries in other languages are under the
    names of these languages, and are ignored.

    Raises:
        RuleFileError: `detection` has no query, or has selections of a Sigma rule.
    """
    by_name = {re.sub(r"[\W_]", "", str(key)).lower(): found for key, found in detection.items()}
    engines = {name: by_name[name] for name in _ENGINES if name in by_name}
    if queries := list(_filters(by_name.get("oktasystemlog", engines))):
        return queries
    named = ("okta_systemlog", *_OTHER_LANGUAGES)
    others = [query for key, query in detection.items() if str(key).lower() not in named]
    if any(isinstance(selection, dict) for selection in others):
        raise RuleFileError("the rule's `detection` has no condition; add one, as in `condition: selection`")
    if not _has_text(detection):
        raise RuleFileError("the rule's `detection` has no query; add `okta_systemlog`")
    return []


def _filters(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        if query := without_comments(found):
            yield query
    elif isinstance(found, list):
        for item in found:
            yield from _filters(item)
    elif isinstance(found, dict):
        for key, item in found.items():
            name, filters = str(key).lower(), list(_filters(item))
            if name in _ENGINES or (name not in _OTHER_LANGUAGES and all(map(is_filter, filters))):
                yield from filters


def _has_text(found: Any) -> bool:
    """Whether `found` contains a text that is not blank, at any depth."""
    if isinstance(found, str):
        return bool(found.strip())
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return any(map(_has_text, inner))


def _without_reader(found: dict[str, Any]) -> LeftOut:
    return LeftOut(SkipReason.OTHER_LANGUAGE if mentions_okta(str(found)) else SkipReason.OTHER_PRODUCT)
