"""`forwarder setup elasticsearch`: bring the cluster to what our documents need, and say what that changes.

Order: look at everything, refuse what cannot be done, then pipeline → component template → index template (each needs
the one before it) → the data stream that may be there already. Every step compares before it writes, so a run that
was interrupted is finished by the next one.
"""

import difflib
import json
from typing import Any

import msgspec

from forwarder.core.errors import SetupError
from forwarder.core.ports import Caller
from forwarder.setup.elasticsearch import bodies
from forwarder.setup.elasticsearch.abilities import abilities, check_rights, shortfalls
from forwarder.setup.elasticsearch.bodies import Abilities, Body, Retention
from forwarder.setup.elasticsearch.cluster import Cluster
from forwarder.setup.elasticsearch.package import Package, Template, conflicts, package
from forwarder.setup.elasticsearch.stream import look_after
from forwarder.setup.elasticsearch.wishes import Target, Wishes
from forwarder.setup.line import Line, Say

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
"""What we write. Elasticsearch gives back more: dates, and keys that a later version invents."""


async def setup(caller: Caller, target: Target, wishes: Wishes, say: Say) -> bool:
    """Prepare the cluster.

    Args:
        caller: the cluster.
        target: the sink.
        wishes: the operator's.
        say: takes what there is to tell, in order.

    Returns:
        Whether events of this sink will be readable; False has been explained by a line of kind `fault`.

    Raises:
        SetupError: it cannot be done; nothing was changed, but for the steps already told as `done`.
        SinkError: no answer.
    """
    cluster = Cluster(caller)
    about = await cluster.get("/")
    say(
        Line(
            "info",
            f"Elasticsearch {about.get('version', {}).get('number', '?')}, data stream {target.data_stream}",
        )
    )
    await check_rights(cluster, rollover=wishes.rollover, ilm=bool(wishes.retention.ilm_policy))
    templates = await _templates(cluster)
    found = package(templates, target.data_stream)
    if found:
        return await _beside(cluster, found, target, wishes, say)
    if target.documents == "raw":
        raise SetupError(
            "`document_format: raw` sends events for the pipeline of Elastic's Okta integration, whose assets are not"
            " installed here; install them in Kibana, or write `document_format: ecs`"
        )
    faults = conflicts(templates, target.data_stream)
    if faults:
        raise SetupError(
            "\n".join([*faults, "Remove or rename it, or narrow its patterns; nothing was changed."])
        )
    return await _prepare(cluster, target, wishes, say)


async def _templates(cluster: Cluster) -> list[Template]:
    answer = await cluster.get("/_index_template?flat_settings=true")
    found = answer.get("index_templates", [])
    return [Template(entry["name"], entry["index_template"]) for entry in found]


async def _beside(cluster: Cluster, found: Package, target: Target, wishes: Wishes, say: Say) -> bool:
    """Elastic's own integration owns the data stream: say how the sink fits beside it, change nothing of it."""
    say(
        Line(
            "note",
            f"Elastic's Okta integration is installed here: its template {found.template} makes {target.data_stream}"
            f" and its pipeline {found.pipeline or '(none)'} runs on what is written. Nothing of it is changed.",
        )
    )
    if target.documents == "raw":
        if target.pipeline is None:
            say(
                Line("same", "this sink sends raw events, and that pipeline makes the documents: all is well")
            )
            return True
        say(Line("fault", "this sink sends raw events past that pipeline; remove `pipeline` from the sink"))
        return False
    if target.pipeline is None:
        say(
            Line(
                "fault",
                "this sink sends finished documents, and that pipeline would mark each of them as an error. In the"
                f" sink write `document_format: raw` (Elastic's pipeline makes the documents), or `pipeline: {bodies.NAME}`"
                " (ours stay, behind our pipeline, which this command then makes), or `pipeline: _none` (ours stay as"
                " they are)",
            )
        )
        return False
    if target.pipeline == bodies.NAME:
        step = await _pipeline_step(cluster, await abilities(cluster))
        await step.take(cluster, wishes, say)
    say(Line("same", f"this sink sends finished documents past it (pipeline {target.pipeline}): all is well"))
    return True


async def _prepare(cluster: Cluster, target: Target, wishes: Wishes, say: Say) -> bool:
    has = await abilities(cluster)
    for line in shortfalls(has, wishes.retention):
        say(Line("note", line))
    if wishes.retention.ilm_policy:
        await _policy_exists(cluster, wishes.retention.ilm_policy)
    steps = await _steps(cluster, has, wishes.retention)
    for step in steps:
        await step.take(cluster, wishes, say)
    say(Line("info", _kept(wishes.retention)))
    wanted = bodies.component_template(has, wishes.retention)["template"]["mappings"]["_meta"]
    return await look_after(cluster, target.data_stream, bodies.fingerprint(wanted), wishes, say)


def _kept(retention: Retention) -> str:
    if retention.ilm_policy:
        return f"the policy {retention.ilm_policy} says how long events stay"
    if retention.keep:
        return f"events stay for {retention.keep}"
    return "events stay for ever; write `retention` in the sink for a limit"


async def _policy_exists(cluster: Cluster, name: str) -> None:
    if await cluster.find(f"/_ilm/policy/{name}") is None:
        raise SetupError(f"there is no index lifecycle policy {name!r}; nothing was changed")


class _Step(msgspec.Struct, frozen=True):
    """One thing to have.

    Attributes:
        what: in words.
        path: where it is written.
        stored: as the cluster has it; None where it has not.
        wanted: as it should be.
    """

    what: str
    path: str
    stored: Body | None
    wanted: Body

    async def take(self, cluster: Cluster, wishes: Wishes, say: Say) -> None:
        """Write it where it differs."""
        before, after = _comparable(self.stored or {}), _comparable(self.wanted)
        if before == after:
            say(Line("same", f"{self.what}: as it should be"))
            return
        verb = "make" if self.stored is None else "change"
        if (
            self.stored is not None or wishes.dry_run
        ):  # what is made anew is long, and takes nothing from anyone
            say(Line("diff", _difference(self.what, before, after)))
        if wishes.dry_run:
            say(Line("note", f"{self.what}: would {verb} it"))
            return
        await cluster.put(self.path, self.wanted)
        say(Line("done", f"{self.what}: {'made' if self.stored is None else 'changed'}"))


async def _steps(cluster: Cluster, has: Abilities, retention: Retention) -> list[_Step]:
    """What to have, in order, with what is there.

    Raises:
        SetupError: something of that name is not ours, or newer than we are.
    """
    component = f"/_component_template/{bodies.COMPONENT}"
    template = f"/_index_template/{bodies.NAME}"
    steps = [await _pipeline_step(cluster, has)]
    found = await cluster.find(f"{component}?flat_settings=true")
    steps.append(
        _Step(
            f"component template {bodies.COMPONENT}",
            component,
            found["component_templates"][0]["component_template"] if found else None,
            bodies.component_template(has, retention),
        )
    )
    found = await cluster.find(f"{template}?flat_settings=true")
    steps.append(
        _Step(
            f"index template {bodies.NAME}",
            template,
            found["index_templates"][0]["index_template"] if found else None,
            bodies.index_template(has, retention),
        )
    )
    for step in steps:
        _check_owner(step.what, step.stored)
    return steps


async def _pipeline_step(cluster: Cluster, has: Abilities) -> _Step:
    path = f"/_ingest/pipeline/{bodies.NAME}"
    found = await cluster.find(path)
    stored = found[bodies.NAME] if found else None
    step = _Step(f"ingest pipeline {bodies.NAME}", path, stored, bodies.pipeline(has))
    _check_owner(step.what, step.stored)
    return step


def _check_owner(what: str, stored: Body | None) -> None:
    if stored is None:
        return
    version = bodies.version_of(stored.get("_meta"))
    if version is None:
        raise SetupError(
            f"a {what} is there that this command did not make (no `_meta.managed_by: {bodies.OWNER}`);"
            " remove or rename it. Nothing was changed."
        )
    if version > bodies.VERSION:
        raise SetupError(
            f"the {what} is of version {version}, made by a newer forwarder; this one makes version"
            f" {bodies.VERSION}. Run the newer forwarder's command. Nothing was changed."
        )


def _comparable(body: Body) -> Body:
    """What we write, without what Elasticsearch adds by itself."""
    kept: dict[str, Any] = {key: body[key] for key in _OURS if key in body}
    if "data_stream" in kept:  # a later version tells more of its defaults
        kept["data_stream"] = {key: value for key, value in kept["data_stream"].items() if value}
    if "index_patterns" in kept:
        kept.setdefault("template", {})
    return kept


def _difference(what: str, before: Body, after: Body) -> str:
    old, new = (
        json.dumps(body, indent=2, sort_keys=True).splitlines() if body else [] for body in (before, after)
    )
    return "\n".join(difflib.unified_diff(old, new, f"{what}, now", f"{what}, wanted", n=2, lineterm=""))
