"""Finds the rules in a decoded document: one alone, a list, and rules inside other objects."""

from collections.abc import Iterator
from typing import Any

_CONTAINERS = ("rule", "hunt", "attributes", "params", "rules", "data", "saved_objects", "items")
_RULE_KEYS = ("query", "detection", "logsource", "correlation", "analysistype")


def rule_objects(found: Any) -> Iterator[dict[Any, Any]]:
    """Yield each object in `found` that may be a rule. An object without a key of a rule that contains other
    objects, such as a saved object of Kibana, is not one itself."""
    if isinstance(found, list):
        for item in found:
            yield from rule_objects(item)
    elif isinstance(found, dict):
        inner = [] if _is_rule(found) else [item for key, item in found.items() if _contains(key, item)]
        if not inner:
            yield found
        # Beside the inner object, a saved object has the name, and Elastic's TOML the integration.
        about = _about(found)
        yield from ({**about, **rule} for rule in rule_objects(inner))


def lower_keys(found: dict[Any, Any]) -> dict[Any, Any]:
    """Return `found` with its keys also in lower case."""
    return {str(key).lower(): value for key, value in found.items()} | found


def _is_rule(found: dict[Any, Any]) -> bool:
    return any(str(key).lower() in _RULE_KEYS for key in found)


def _contains(key: Any, item: Any) -> bool:
    """Whether `item` below `key` holds rules: below a key that usually does, or as a Sigma rule."""
    if isinstance(item, dict):
        return key in _CONTAINERS or ("detection" in item and "logsource" in item)
    return isinstance(item, list) and key in _CONTAINERS


def _about(found: dict[Any, Any]) -> dict[Any, Any]:
    beside = found.get("metadata")
    sources = (beside if isinstance(beside, dict) else {}, found)
    return {key: source[key] for source in sources for key in ("name", "integration") if key in source}
