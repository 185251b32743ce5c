"""Elastic's own Okta integration, where its assets are installed: its templates own the data stream then."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from forwarder.setup.elasticsearch import bodies


class Template(msgspec.Struct, frozen=True):
    """An index template that is there.

    Attributes:
        name: its name.
        body: as Elasticsearch gives it back.
    """

    name: str
    body: dict[str, Any]

    @property
    def priority(self) -> int:
        return int(self.body.get("priority") or 0)

    @property
    def patterns(self) -> list[str]:
        return list(self.body.get("index_patterns") or ())

    @property
    def ours(self) -> bool:
        return bodies.version_of(self.body.get("_meta")) is not None

    def covers(self, pattern: str) -> bool:
        """Whether some name fits both this template and `pattern`."""
        return any(overlap(mine, pattern) for mine in self.patterns)


class Package(msgspec.Struct, frozen=True):
    """Elastic's integration.

    Attributes:
        template: its index template's name.
        pipeline: its default pipeline, which makes documents of raw events.
    """

    template: str
    pipeline: str


def package(templates: Sequence[Template], data_stream: str) -> Package | None:
    """Elastic's integration, if its template is the one that makes `data_stream`."""
    best = max(
        (template for template in templates if template.covers(data_stream)),
        key=lambda template: template.priority,
        default=None,
    )
    if best is None:
        return None
    about = best.body.get("_meta", {}).get("package", {})
    if not isinstance(about, dict) or about.get("name") != "okta":
        return None
    settings = best.body.get("template", {}).get("settings", {})
    return Package(best.name, str(settings.get("index.default_pipeline", "")))


def conflicts(templates: Sequence[Template], data_stream: str) -> list[str]:
    """Templates of others that keep ours from making `data_stream`: a line for each."""
    lines = []
    for template in templates:
        if template.name == bodies.NAME:
            if not template.ours:
                lines.append(f"an index template {template.name} is there that this command did not make")
        elif template.priority == bodies.PRIORITY and template.covers(bodies.PATTERN):
            lines.append(
                f"the index template {template.name} has priority {template.priority}, as ours, and patterns"
                f" {template.patterns} that overlap {bodies.PATTERN}: Elasticsearch takes only one of the two"
            )
        elif template.priority > bodies.PRIORITY and template.covers(data_stream):
            lines.append(
                f"the index template {template.name} (priority {template.priority}, patterns {template.patterns})"
                f" comes before ours ({bodies.PRIORITY}) for {data_stream}"
            )
    return lines


@lru_cache(maxsize=4096)
def overlap(one: str, other: str) -> bool:
    """Whether some name fits both patterns, in which `*` stands for any characters."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(one, other[1:]) or overlap(one[1:], other)
    return one[0] == other[0] and overlap(one[1:], other[1:])
