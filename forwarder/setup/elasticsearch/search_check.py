"""Checks whether rules and searches can find the events of a sink in its cluster. Changes nothing."""

from collections.abc import Sequence

import msgspec

from forwarder.setup.elasticsearch.capabilities import find_capabilities
from forwarder.setup.elasticsearch.cluster import AdminApi, Cluster
from forwarder.setup.elasticsearch.data_streams import EVENTS, OTHER_STREAMS
from forwarder.setup.elasticsearch.elastic_package import Template, conflicts, package
from forwarder.setup.elasticsearch.responses import FieldMappings, Resolved
from forwarder.setup.elasticsearch.run import (
    pipeline_step,
    read_templates,
    setup_with_elastic_integration,
    template_steps,
)
from forwarder.setup.elasticsearch.template_bodies import Options, Retention, SetupTarget

_TYPES = {"source.ip": "ip", "@timestamp": "date", "user.name": "keyword"}
"""Field → type. If Elasticsearch guesses another type for one of these, no error shows it, but rules miss events."""


class Deviation(msgspec.Struct, frozen=True):
    """A difference between the cluster and what `setup` would write. `severe` says whether the difference makes rules
    miss events, now or later."""

    severe: bool
    text: str


async def find_deviations(
    api: AdminApi, target: SetupTarget, retention: Retention, *, other_streams: bool = False
) -> list[Deviation]:
    """Return how the cluster differs from what `setup` would write for the sink.

    With `other_streams`, also check what `setup` would write for alerts, actions and health documents.

    Raises:
        SetupError: the credentials may not read templates, or an object with one of our names was created by someone
            else or by a newer version of setup.
        SinkError: there was no response.
    """
    cluster = Cluster(api)
    templates = await read_templates(cluster)
    found = package(templates, target.data_stream)
    if found:
        deviations: list[Deviation] = []

        def report(kind: str, text: str) -> None:
            if kind == "problem":
                deviations.append(Deviation(severe=True, text=text))

        await setup_with_elastic_integration(cluster, found, target, Options(retention, dry_run=True), report)
        return deviations
    if target.documents == "raw":
        text = "the sink sends raw events for the pipeline of Elastic's Okta integration, but the integration is not installed"
        return [Deviation(severe=True, text=text)]
    lines = conflicts(templates, target.data_stream)
    if lines:
        return [Deviation(severe=True, text=line) for line in lines]
    has = await find_capabilities(cluster)
    ours = [await pipeline_step(cluster, has), *await template_steps(cluster, has, retention, (EVENTS,))]
    others = await template_steps(cluster, has, retention, OTHER_STREAMS if other_streams else ())
    deviations = [
        Deviation(severe=step.stored is None, text=f"{step.what} {'is missing' if step.stored is None else 'differs'}")
        for step in (*ours, *others)
        if step.differs
    ]
    if any(step.stored is None for step in ours):
        deviations += _foreign(templates, target.data_stream)
    return deviations


def _foreign(templates: Sequence[Template], data_stream: str) -> list[Deviation]:
    """Return one deviation if another owner's template would create `data_stream`, because ours is missing; else
    none."""
    others = [template for template in templates if template.covers(data_stream) and not template.ours]
    if not others:
        return []
    best = max(others, key=lambda template: template.priority)
    text = (
        f"the index template {best.name} (patterns {best.patterns}) creates {data_stream} until our templates exist, "
        "and Elasticsearch guesses the types of fields: source.ip becomes text"
    )
    return [Deviation(severe=True, text=text)]


async def find_wrong_types(api: AdminApi, data_stream: str) -> list[Deviation] | None:
    """Return a deviation for each field in `_TYPES` that has a wrong type; None if there is no index yet.

    The types are read from the current index of `data_stream`.

    Raises:
        MissingPrivilegeError: the credentials may not read the mapping.
        SetupError: the response is not a mapping.
        SinkError: there was no response.
    """
    cluster = Cluster(api)
    resolved = await cluster.find(f"/_resolve/index/{data_stream}", Resolved) or Resolved()
    if resolved.indices or resolved.aliases:
        text = f"an index or alias has the name of the data stream {data_stream}, so every event is refused"
        return [Deviation(severe=True, text=text)]
    found = await cluster.find(f"/{data_stream}/_mapping/field/{','.join(_TYPES)}", FieldMappings)
    if not found:
        return None
    index = max(found, key=_generation)
    mappings = found[index].mappings
    deviations = []
    for field, wanted in _TYPES.items():
        kinds = {each.type for each in mappings[field].mapping.values()} if field in mappings else set()
        for kind in kinds - {wanted, "constant_keyword"}:
            text = f"{field} has the type {kind} in {index}, not {wanted}: rules and searches miss events"
            deviations.append(Deviation(severe=True, text=text))
    return deviations


def _generation(index: str) -> tuple[int, str]:
    """Return a sort key for the name of a backing index: the number at its end (0 if there is none), then the name."""
    end = index.rpartition("-")[2]
    return int(end) if end.isdigit() else 0, index
