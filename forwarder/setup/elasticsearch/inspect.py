"""Finds what in the cluster keeps rules and searches from finding the events of a sink. Changes nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.setup.elasticsearch.bodies import Options, Retention, Target
from forwarder.setup.elasticsearch.capabilities import find_capabilities
from forwarder.setup.elasticsearch.cluster import AdminApi, Cluster
from forwarder.setup.elasticsearch.package import Template, conflicts, package
from forwarder.setup.elasticsearch.run import (
    read_steps,
    read_steps_beside,
    read_templates,
    setup_beside_fleet,
)

_TYPES = {"source.ip": "ip", "@timestamp": "date", "user.name": "keyword"}
"""Fields whose guessed type would go unnoticed, and make rules miss events."""


class Deviation(msgspec.Struct, frozen=True):
    """A difference from what `setup` would write. `severe`: it makes rules miss events, now or later."""

    severe: bool
    text: str


async def find_deviations(
    api: AdminApi, target: Target, retention: Retention, *, beside: bool = False
) -> list[Deviation]:
    """Return the differences from what `setup` would write for the sink.

    With `beside`, also those of the data streams of alerts, actions and health documents.

    Raises:
        SetupError: the credentials may not read templates, or a template of another owner is in the way.
        SinkError: no response.
    """
    cluster = Cluster(api)
    templates = await read_templates(cluster)
    found = package(templates, target.data_stream)
    if found:
        faults: list[Deviation] = []

        def report(kind: str, text: str) -> None:
            if kind == "fault":
                faults.append(Deviation(severe=True, text=text))

        await setup_beside_fleet(cluster, found, target, Options(retention, dry_run=True), report)
        return faults
    if target.documents == "raw":
        text = "the sink sends raw events, and Elastic's Okta integration, whose pipeline reads them, is not installed"
        return [Deviation(severe=True, text=text)]
    lines = conflicts(templates, target.data_stream)
    if lines:
        return [Deviation(severe=True, text=line) for line in lines]
    has = await find_capabilities(cluster)
    steps = await read_steps(cluster, has, retention)
    ours = list(steps)
    if beside:
        steps += await read_steps_beside(cluster, has, retention)
    deviations = [
        Deviation(
            severe=step.stored is None,
            text=f"{step.what} {'is missing' if step.stored is None else 'differs'}",
        )
        for step in steps
        if step.differs
    ]
    if any(step.stored is None for step in ours):
        deviations += _foreign(templates, target.data_stream)
    return deviations


def _foreign(templates: Sequence[Template], data_stream: str) -> list[Deviation]:
    """Return a deviation if a template of another owner creates `data_stream` while ours is missing."""
    others = [template for template in templates if template.covers(data_stream) and not template.ours]
    if not others:
        return []
    best = max(others, key=lambda template: template.priority)
    text = (
        f"the index template {best.name} (patterns {best.patterns}) creates {data_stream} meanwhile, "
        "and types are guessed: source.ip becomes text"
    )
    return [Deviation(severe=True, text=text)]


async def find_wrong_types(api: AdminApi, data_stream: str) -> list[Deviation] | None:
    """Return the fields of the current index of `data_stream` with a wrong type; None without an index.

    Raises:
        SetupError: the credentials may not read the mapping.
        SinkError: no response.
    """
    cluster = Cluster(api)
    resolved = await cluster.find(f"/_resolve/index/{data_stream}") or {}
    if resolved.get("indices") or resolved.get("aliases"):
        text = f"an index or alias is in the place of the data stream {data_stream}, and refuses every event"
        return [Deviation(severe=True, text=text)]
    found = await cluster.find(f"/{data_stream}/_mapping/field/{','.join(_TYPES)}")
    if not isinstance(found, dict) or not found:
        return None
    index = max(found, key=_generation)
    mappings: Any = found[index].get("mappings", {})
    deviations = []
    for field, wanted in _TYPES.items():
        kinds = {each.get("type") for each in mappings.get(field, {}).get("mapping", {}).values()}
        for kind in kinds - {wanted, "constant_keyword"}:
            text = f"{field} has the type {kind} in {index}, not {wanted}: rules and searches miss events"
            deviations.append(Deviation(severe=True, text=text))
    return deviations


def _generation(index: str) -> tuple[int, str]:
    """Return the number at the end of the name of a backing index, or 0; and the name, as a sort key."""
    end = index.rpartition("-")[2]
    return int(end) if end.isdigit() else 0, index
