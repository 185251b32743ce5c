"""Tells the kinds of rules in YAML apart: Sigma, Okta's catalogue of detections, and kinds without a
reader."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from forwarder.rules.conditions.okta_filter import read_okta_filter
from forwarder.rules.conditions.rule import LeftOut, Rule, SkipReason, mentions_okta
from forwarder.rules.elastic.rules import elastic_rule, has_reader
from forwarder.rules.sigma.detections import sigma_rule

T = TypeVar("T")

_OTHER_LANGUAGES = ("explanation", "splunk", "spl", "datadog", "elastic", "sigma", "sentinel", "chronicle")


def yaml_rule(found: Any) -> Callable[[], Rule | LeftOut] | None:
    """Return a function that makes a Rule or LeftOut of the decoded document `found`; None if it holds no
    rule."""
    if not isinstance(found, dict):
        return None
    if isinstance(found.get("detection"), dict):
        if "condition" in found["detection"] or "logsource" in found:
            return partial(sigma_rule, found)
        return partial(_okta_detection, found)
    if "correlation" in found or isinstance(found.get("filter"), dict):
        return partial(LeftOut, SkipReason.REFERENCE)
    if isinstance(found.get("query"), str) and has_reader(found.get("language")):
        return partial(elastic_rule, found)
    if "AnalysisType" in found or "query" in found or "search" in found:  # Panther, osquery, Sentinel, Splunk
        return partial(_without_reader, found)
    return None


def collected(documents: Iterable[tuple[T, Any]]) -> Iterator[tuple[T, Any]]:
    """Resolve the collections of older Sigma rules: a document with `action: global` is merged into each
    document after it, one with `repeat` into a copy of the document before it, and `reset` ends the effect of
    `global`."""
    shared: dict[Any, Any] = {}
    last: dict[Any, Any] = {}
    for place, value in documents:
        action = value.get("action") if isinstance(value, dict) else None
        if action == "reset":
            shared = {}
        elif action == "global":
            shared = _merged(shared, value)
        elif isinstance(value, dict) and (shared or action == "repeat"):
            last = _merged(last if action == "repeat" else shared, value)
            yield place, last
        else:
            last = value if isinstance(value, dict) else {}
            yield place, value


def _merged(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    found = under | over
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            found[key] = _merged(under[key], over[key])
    return found


def _okta_detection(found: dict[str, Any]) -> Rule | LeftOut:
    """Read a rule of Okta's public catalogue. Use its System Log filters; ignore its queries in other
    languages."""
    queries = list(okta_filters(found["detection"]))
    if not queries:
        return _without_reader(found)
    return Rule(
        name=str(found.get("title") or "without a title"),
        language="filter",
        conditions=tuple(read_okta_filter(query) for query in queries),
        id=str(found.get("id") or ""),
    )


def okta_filters(detection: dict[str, Any]) -> Iterator[str]:
    """Yield the System Log filters of a rule in Okta's catalogue: one, or one for each of Okta's engines."""
    return _filters(detection.get("okta_systemlog"))


def _filters(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        lines = [line for line in found.splitlines() if not line.lstrip().startswith(("#", "//"))]
        if query := "\n".join(lines).strip():
            yield query
    elif isinstance(found, list):
        for item in found:
            yield from _filters(item)
    elif isinstance(found, dict):
        for key, item in found.items():
            if str(key).lower() not in _OTHER_LANGUAGES:
                yield from _filters(item)


def _without_reader(found: dict[str, Any]) -> LeftOut:
    return LeftOut(SkipReason.OTHER_LANGUAGE if mentions_okta(str(found)) else SkipReason.OTHER_PRODUCT)
