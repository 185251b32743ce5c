"""What in the cluster keeps the events of a sink from being readable, or will. Changes nothing."""

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
    """One thing that differs. `severe`: events are, or will be, stored in a form in which rules miss them."""

    severe: bool
    text: str


async def find_deviations(
    api: AdminApi, target: Target, retention: Retention, *, beside: bool = False
) -> list[Deviation]:
    """Return what differs from what `setup` would write for the sink; `beside`: for the data streams beside that of the events too.

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
    """Name the template of another owner that creates the data stream while ours is missing."""
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
    """Return the fields of the data stream's current index that have another type than ours; None if there is no index.

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
    """The number at the end of a backing index's name."""
    end = index.rpartition("-")[2]
    return int(end) if end.isdigit() else 0, index
