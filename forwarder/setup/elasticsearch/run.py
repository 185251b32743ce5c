"""`forwarder setup elasticsearch`: create in the cluster what our documents need, and report the changes.

Setup first reads everything, and stops if something cannot be done. Then it writes the pipeline, the component
templates and the index templates, in this order. Last, it updates existing data streams. Each step writes only what
differs, so the next run completes an interrupted run.
"""

import difflib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.core.errors import SetupError
from forwarder.setup.elasticsearch import template_bodies
from forwarder.setup.elasticsearch.capabilities import check_privileges, degradations, find_capabilities
from forwarder.setup.elasticsearch.cluster import AdminApi, Cluster
from forwarder.setup.elasticsearch.data_streams import DATA_STREAMS, EVENTS, OTHER_STREAMS, DataStream
from forwarder.setup.elasticsearch.elastic_package import Package, Template, conflicts, package
from forwarder.setup.elasticsearch.existing_stream import sync_data_stream
from forwarder.setup.elasticsearch.responses import (
    About,
    Pipelines,
    StoredComponentTemplates,
    StoredIndexTemplates,
    Templates,
)
from forwarder.setup.elasticsearch.template_bodies import Body, Capabilities, Options, Retention, SetupTarget
from forwarder.setup.reporter import Reporter

_OURS = (
    "index_patterns",
    "priority",
    "version",
    "_meta",
    "allow_auto_create",
    "data_stream",
    "composed_of",
    "ignore_missing_component_templates",
    "template",
    "description",
    "processors",
)
"""The keys that we write. Elasticsearch returns more: dates, and keys that later versions have added."""


async def setup(api: AdminApi, target: SetupTarget, options: Options, report: Reporter) -> bool:
    """Create or update in the cluster what the documents of the sink need.

    Returns whether events can be written and searched; if not, a message of kind `problem` says why.

    Raises:
        SetupError: setup is not possible. Nothing was changed, except what was already reported as `done`.
        SinkError: there was no response from the cluster.
    """
    cluster = Cluster(api)
    unseen = await check_privileges(cluster, rollover=options.rollover, ilm=bool(options.retention.ilm_policy))
    for pattern in sorted(unseen):
        report(
            "note",
            f"the credentials lack index privileges on {pattern}: setup writes the templates for this pattern, but does not"
            " update a data stream that already exists; docs/elasticsearch.md lists the privileges",
        )
    target = msgspec.structs.replace(target, unseen=unseen)
    about = await cluster.get("/", About)
    report("info", f"Elasticsearch {about.version.number}, data stream {target.data_stream}")
    templates = await read_templates(cluster)
    found = package(templates, target.data_stream)
    if found:
        return await setup_with_elastic_integration(cluster, found, target, options, report)
    if target.documents == "raw":
        raise SetupError(
            "`document_format: raw` needs the pipeline of Elastic's Okta integration, whose assets are not installed in"
            " this cluster; install them in Kibana, or write `document_format: ecs`"
        )
    lines = conflicts(templates, target.data_stream)
    if lines:
        raise SetupError(
            "\n".join([*lines, "Remove or rename that template, or narrow its patterns. Nothing was changed."])
        )
    return await _prepare(cluster, target, options, report)


async def read_templates(cluster: Cluster) -> list[Template]:
    """Read every index template."""
    answer = await cluster.get("/_index_template?flat_settings=true", Templates)
    return [
        Template(
            each.name,
            each.index_template.index_patterns,
            each.index_template.priority or 0,
            each.index_template.meta or {},
            each.index_template.template.settings,
        )
        for each in answer.index_templates
    ]


async def setup_with_elastic_integration(
    cluster: Cluster, found: Package, target: SetupTarget, options: Options, report: Reporter
) -> bool:
    """Set up a sink if Elastic's Okta integration (`found`) creates its data stream. The integration is not changed.

    Report whether the settings of the sink fit this integration. If they do, write our pipeline and the templates for
    alerts, actions and health documents. Return whether events can be written and searched.
    """
    report(
        "note",
        f"Elastic's Okta integration is installed in this cluster: its template {found.template} creates"
        f" {target.data_stream}, and its pipeline {found.pipeline or '(none)'} runs on every document. This command changes"
        " neither of them.",
    )
    if target.documents == "raw" and target.pipeline is not None:
        report(
            "problem",
            "this sink sends raw events, but its `pipeline` replaces the pipeline of Elastic's integration, which must"
            " process them; remove `pipeline` from the sink",
        )
        return False
    if target.documents == "ecs" and target.pipeline is None:
        report(
            "problem",
            "this sink sends finished documents, and the pipeline of Elastic's integration would mark each of them as an"
            " error. In the sink, set one of three: `document_format: raw` (Elastic's pipeline creates the documents),"
            f" `pipeline: {template_bodies.NAME}` (our pipeline processes our documents; this command then creates it), or"
            " `pipeline: _none` (no pipeline processes our documents)",
        )
        return False
    if target.documents == "raw":
        report(
            "same",
            "this sink sends raw events, and the pipeline of Elastic's integration turns them into documents: correct",
        )
    else:
        report(
            "same",
            f"this sink sends finished documents, and its `pipeline: {target.pipeline}` replaces the pipeline of Elastic's"
            " integration: correct",
        )
    has = await find_capabilities(cluster)
    # The data streams of alerts, actions and health need our pipeline too.
    return await _write(cluster, has, target, options, report, OTHER_STREAMS)


async def _prepare(cluster: Cluster, target: SetupTarget, options: Options, report: Reporter) -> bool:
    has = await find_capabilities(cluster)
    for line in degradations(has, options.retention):
        report("note", line)
    policy = options.retention.ilm_policy
    if policy and await cluster.find(f"/_ilm/policy/{policy}", dict) is None:
        raise SetupError(f"there is no index lifecycle policy {policy!r}; nothing was changed")
    return await _write(cluster, has, target, options, report, DATA_STREAMS)


async def _write(
    cluster: Cluster,
    has: Capabilities,
    target: SetupTarget,
    options: Options,
    report: Reporter,
    streams: Sequence[DataStream],
) -> bool:
    """Write the pipeline and the templates of `streams`. Then update the data streams in `streams`, as far as the
    credentials allow it. Return whether documents can be written to all these data streams."""
    steps = [await pipeline_step(cluster, has), *await template_steps(cluster, has, options.retention, streams)]
    for step in steps:
        await step.take(cluster, options, report)
    if EVENTS in streams:
        report("info", _kept(options.retention))
    fine = True
    for stream in streams:
        if stream.pattern not in target.unseen:
            name = stream.pattern.removesuffix("*") + target.namespace
            fingerprint = stream.fingerprint(has, options.retention)
            fine = await sync_data_stream(cluster, name, fingerprint, options, report) and fine
    return fine


def _kept(retention: Retention) -> str:
    if retention.ilm_policy:
        return f"the policy {retention.ilm_policy} decides when events are deleted"
    if retention.keep:
        return f"events are kept for {retention.keep}"
    return "events are never deleted; to delete old events, set `retention` in the sink"


class SetupStep(msgspec.Struct, frozen=True):
    """An object to write.

    Attributes:
        what: the object in words, for messages.
        path: the path of the object in Elasticsearch's API.
        stored: the body that the object has now; None if it does not exist.
        wanted: the body that the object should have.
    """

    what: str
    path: str
    stored: Body | None
    wanted: Body

    @property
    def differs(self) -> bool:
        """Whether the object must be written, because its body differs from the wanted body."""
        return _comparable(self.stored or {}) != _comparable(self.wanted)

    async def take(self, cluster: Cluster, options: Options, report: Reporter) -> None:
        """Write the object if it differs, and report the change. In a dry run, only report it."""
        if not self.differs:
            report("same", f"{self.what}: up to date")
            return
        before, after = _comparable(self.stored or {}), _comparable(self.wanted)
        verb = "create" if self.stored is None else "change"
        if self.stored is not None or options.dry_run:  # not for a new object: it is long, and replaces nothing
            report("diff", _difference(self.what, before, after))
        if options.dry_run:
            report("note", f"{self.what}: would {verb} it")
            return
        await cluster.send("PUT", self.path, dict, self.wanted)
        report("done", f"{self.what}: {'created' if self.stored is None else 'changed'}")


async def template_steps(
    cluster: Cluster, has: Capabilities, retention: Retention, streams: Sequence[DataStream]
) -> list[SetupStep]:
    """Return a step for each template of `streams`, in the order of writing.

    The pipeline must be written before the templates.

    Raises:
        SetupError: a template with one of these names was created by someone else or by a newer version of setup.
    """
    steps = []
    for stream in streams:
        component = stream.component_template(has, retention)
        steps.append(await _component_step(cluster, stream.component, component))
        template = stream.index_template(has, retention)
        steps.append(await _template_step(cluster, stream.name, template))
    return steps


async def _component_step(cluster: Cluster, name: str, wanted: Body) -> SetupStep:
    path = f"/_component_template/{name}"
    found = await cluster.find(f"{path}?flat_settings=true", StoredComponentTemplates)
    stored = found.component_templates[0].component_template if found and found.component_templates else None
    return _own_step(f"component template {name}", path, stored, wanted)


async def _template_step(cluster: Cluster, name: str, wanted: Body) -> SetupStep:
    path = f"/_index_template/{name}"
    found = await cluster.find(f"{path}?flat_settings=true", StoredIndexTemplates)
    stored = found.index_templates[0].index_template if found and found.index_templates else None
    return _own_step(f"index template {name}", path, stored, wanted)


async def pipeline_step(cluster: Cluster, has: Capabilities) -> SetupStep:
    """Return the step for the pipeline. Raise SetupError if someone else or a newer version of setup created the
    pipeline."""
    path = f"/_ingest/pipeline/{template_bodies.NAME}"
    found = await cluster.find(path, Pipelines) or {}
    stored = found.get(template_bodies.NAME)
    return _own_step(f"ingest pipeline {template_bodies.NAME}", path, stored, template_bodies.pipeline(has))


def _own_step(what: str, path: str, stored: Body | None, wanted: Body) -> SetupStep:
    """Return the step for an object. Raise SetupError if the object was created by someone else or by a newer version
    of setup."""
    if stored is None:
        return SetupStep(what, path, stored, wanted)
    version = template_bodies.version_of(stored.get("_meta"))
    if version is None:
        raise SetupError(
            f"{what} exists, but this command did not create it (no `_meta.managed_by: {template_bodies.OWNER}`);"
            " remove or rename it. Nothing was changed."
        )
    if version > template_bodies.VERSION:
        raise SetupError(
            f"the {what} has version {version}, from a newer forwarder; this one writes version {template_bodies.VERSION}."
            " Run the newer forwarder's command. Nothing was changed."
        )
    return SetupStep(what, path, stored, wanted)


def _comparable(body: Body) -> Body:
    """Return `body` without the keys and defaults that Elasticsearch adds, so that it can be compared with ours."""
    kept: dict[str, Any] = {key: body[key] for key in _OURS if key in body}
    if "data_stream" in kept:  # later versions return more of their defaults
        kept["data_stream"] = {key: value for key, value in kept["data_stream"].items() if value}
    if "index_patterns" in kept:
        kept.setdefault("template", {})
    return kept


def _difference(what: str, before: Body, after: Body) -> str:
    old, new = (json.dumps(body, indent=2, sort_keys=True).splitlines() if body else [] for body in (before, after))
    return "\n".join(difflib.unified_diff(old, new, f"{what}, now", f"{what}, wanted", n=2, lineterm=""))
