"""Updates an existing data stream. A changed template alone would affect only indices that are created later."""

from forwarder.core.errors import SetupError
from forwarder.setup.elasticsearch import template_bodies
from forwarder.setup.elasticsearch.cluster import Cluster
from forwarder.setup.elasticsearch.responses import Lifecycles, Mappings, Resolved, RolledOver
from forwarder.setup.elasticsearch.template_bodies import Options
from forwarder.setup.reporter import Reporter


async def sync_data_stream(cluster: Cluster, name: str, wanted: str | None, options: Options, report: Reporter) -> bool:
    """Update the data stream `name` so that it matches its template, as far as `options` allow it.

    `wanted` is the fingerprint of the mapping that a new backing index would have. Return whether documents can be
    written to the data stream; True if it does not exist yet.

    Raises:
        SetupError: Elasticsearch refused a request, such as a rollover or a change of the retention.
    """
    found = await cluster.find(f"/_resolve/index/{name}", Resolved) or Resolved()
    if found.indices or found.aliases:
        report("problem", f"an index or alias has the name of the data stream {name}; remove or rename it")
        return False
    if not found.data_streams or not found.data_streams[0].backing_indices:
        report("info", f"the data stream {name} does not exist yet; Elasticsearch creates it with the first event")
        return True
    await _mapping(cluster, name, found.data_streams[0].backing_indices[-1], wanted, options, report)
    await _retention(cluster, name, options, report)
    return True


async def _mapping(
    cluster: Cluster, name: str, index: str, wanted: str | None, options: Options, report: Reporter
) -> None:
    answer = await cluster.get(f"/{index}/_mapping?filter_path=*.mappings._meta", Mappings)
    meta = answer[index].mappings.get("_meta") if index in answer else None
    if template_bodies.fingerprint(meta) == wanted:
        report("same", f"data stream {name}: its current index has the mapping of the template")
        return
    since = "was created before this template" if template_bodies.fingerprint(meta) is None else "has an older mapping"
    if not options.rollover or options.dry_run:
        verb = "would start a new one" if options.rollover else "run this command with --rollover to start a new one"
        report("note", f"data stream {name}: its current index {index} {since}; {verb}")
        return
    made = await cluster.send("POST", f"/{name}/_rollover", RolledOver)
    report("done", f"data stream {name}: {index} {since}; events now go to {made.new_index}")


async def _retention(cluster: Cluster, name: str, options: Options, report: Reporter) -> None:
    """Update the retention of the data stream. A changed template alone does not change the retention."""
    if options.retention.ilm_policy:
        return  # the policy is an index setting: the next backing index gets it from the template
    path = f"/_data_stream/{name}/_lifecycle"
    answer = await cluster.offer("GET", path, Lifecycles)
    if answer is None or not answer.data_streams:
        if options.retention.keep:
            report("note", f"data stream {name}: this Elasticsearch does not say how long it keeps events")
        return
    has = answer.data_streams[0].lifecycle.data_retention
    wanted = options.retention.keep
    if has == wanted:
        return
    if wanted is None:
        report("note", f"data stream {name}: still keeps events for {has}, although the sink has no `retention`")
    elif options.dry_run:
        report("note", f"data stream {name}: would keep events for {wanted} instead of {has or 'an unlimited time'}")
    else:
        try:
            await cluster.send("PUT", path, dict, {"data_retention": wanted})
        except SetupError as error:
            raise SetupError(f"the templates are written, but not the retention of {name}: {error}") from error
        report("done", f"data stream {name}: now keeps events for {wanted} instead of {has or 'an unlimited time'}")
