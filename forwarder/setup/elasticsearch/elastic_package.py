"""Finds Elastic's own Okta integration. If it is installed, its index template creates the data stream, not ours."""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.setup.elasticsearch import template_bodies
from forwarder.setup.elasticsearch.data_streams import EVENTS


class Template(msgspec.Struct, frozen=True):
    """An existing index template. `meta` is its `_meta`; `settings` are its index settings, with dotted names."""

    name: str
    patterns: list[str]
    priority: int = 0
    meta: dict[str, Any] = {}
    settings: dict[str, Any] = {}

    @property
    def ours(self) -> bool:
        return template_bodies.version_of(self.meta) is not None

    def covers(self, pattern: str) -> bool:
        """Whether any name matches both `pattern` and one of this template's patterns."""
        return any(patterns_overlap(mine, pattern) for mine in self.patterns)


class Package(msgspec.Struct, frozen=True):
    """Elastic's Okta integration: the name of its index template, and the name of its pipeline for raw events."""

    template: str
    pipeline: str


def package(templates: Sequence[Template], data_stream: str) -> Package | None:
    """Return Elastic's Okta integration if its index template creates `data_stream`; else None."""
    best = max(
        (template for template in templates if template.covers(data_stream)),
        key=lambda template: template.priority,
        default=None,
    )
    if best is None:
        return None
    about = best.meta.get("package")
    if not isinstance(about, dict) or about.get("name") != "okta":
        return None
    return Package(best.name, str(best.settings.get("index.default_pipeline", "")))


def conflicts(templates: Sequence[Template], data_stream: str) -> list[str]:
    """Return a line for each template of another owner that prevents our template from creating `data_stream`."""
    lines = []
    for template in templates:
        if template.name == template_bodies.NAME:
            if not template.ours:
                lines.append(f"the index template {template.name} exists, but this command did not create it")
        elif template.priority == template_bodies.PRIORITY and template.covers(EVENTS.pattern):
            lines.append(
                f"the index template {template.name} has the same priority as ours ({template.priority}), and its patterns"
                f" {template.patterns} overlap {EVENTS.pattern}: Elasticsearch accepts only one of the two templates"
            )
        elif template.priority > template_bodies.PRIORITY and template.covers(data_stream):
            lines.append(
                f"the index template {template.name} (priority {template.priority}, patterns {template.patterns})"
                f" has a higher priority than ours ({template_bodies.PRIORITY}) for {data_stream}"
            )
    return lines


def patterns_overlap(one: str, other: str) -> bool:
    """Whether any name matches both patterns. In a pattern, `*` stands for any characters.

    Each pair of positions in the two patterns is visited at most once. So the time is at most proportional to the
    product of the two lengths.
    """
    places = [(0, 0)]
    seen: set[tuple[int, int]] = set()
    while places:
        place = places.pop()
        if place in seen:
            continue
        seen.add(place)
        at, there = place
        mine, theirs = one[at : at + 1], other[there : there + 1]
        if not mine and not theirs:
            return True
        if mine == "*":
            places += [(at + 1, there), *([(at, there + 1)] if theirs else [])]
        elif theirs == "*":
            places += [(at, there + 1), *([(at + 1, there)] if mine else [])]
        elif mine == theirs:
            places.append((at + 1, there + 1))
    return False
