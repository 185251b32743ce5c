"""The data stream that may be there already: a template changes only what is made after it."""

from typing import Any

from forwarder.core.errors import SetupError
from forwarder.setup.elasticsearch import bodies
from forwarder.setup.elasticsearch.cluster import Cluster
from forwarder.setup.elasticsearch.wishes import Wishes
from forwarder.setup.line import Line, Say


async def look_after(cluster: Cluster, name: str, wanted: str | None, wishes: Wishes, say: Say) -> bool:
    """Bring the data stream `name` in step with its template, as far as the operator asked for it.

    Args:
        cluster: to ask.
        name: of the data stream.
        wanted: the fingerprint of the mapping that a new backing index would have.
        wishes: the operator's.
        say: takes what there is to tell.

    Returns:
        Whether events can be written to it.

    Raises:
        SetupError: the rollover or the retention was refused.
    """
    found = await cluster.find(f"/_resolve/index/{name}") or {}
    if found.get("indices") or found.get("aliases"):
        say(
            Line(
                "fault", f"an index or alias {name} stands where the data stream belongs; remove or rename it"
            )
        )
        return False
    if not found.get("data_streams"):
        say(Line("info", f"the data stream {name} comes to be with the first event"))
        return True
    await _mapping(cluster, name, found["data_streams"][0]["backing_indices"][-1], wanted, wishes, say)
    await _retention(cluster, name, wishes, say)
    return True


async def _mapping(
    cluster: Cluster, name: str, index: str, wanted: str | None, wishes: Wishes, say: Say
) -> None:
    answer = await cluster.get(f"/{index}/_mapping?filter_path=*.mappings._meta")
    meta: Any = answer.get(index, {}).get("mappings", {}).get("_meta") if isinstance(answer, dict) else None
    if bodies.fingerprint(meta) == wanted:
        say(Line("same", f"data stream {name}: its present index has this mapping"))
        return
    since = "was made before this template" if bodies.fingerprint(meta) is None else "has an older mapping"
    if not wishes.rollover or wishes.dry_run:
        verb = (
            "would begin a new one"
            if wishes.rollover
            else "run this command with --rollover to begin a new one"
        )
        say(Line("note", f"data stream {name}: its present index {index} {since}; {verb}"))
        return
    made = await cluster.post(f"/{name}/_rollover")
    say(Line("done", f"data stream {name}: {index} {since}, events now go to {made.get('new_index')}"))


async def _retention(cluster: Cluster, name: str, wishes: Wishes, say: Say) -> None:
    """A data stream copies its lifecycle from the template when it is made; later it has its own."""
    if wishes.retention.ilm_policy:
        return  # that is a setting, which comes with the next backing index
    path = f"/_data_stream/{name}/_lifecycle"
    answer = await cluster.offer("GET", path)
    if not isinstance(answer, dict) or not answer.get("data_streams"):
        if wishes.retention.keep:
            say(
                Line("note", f"data stream {name}: this Elasticsearch does not tell how long it keeps events")
            )
        return
    has = answer["data_streams"][0].get("lifecycle", {}).get("data_retention")
    wanted = wishes.retention.keep
    if has == wanted:
        return
    if wanted is None:
        say(Line("note", f"data stream {name}: keeps events for {has}, although the sink has no `retention`"))
    elif wishes.dry_run:
        say(Line("note", f"data stream {name}: would keep events for {wanted} in place of {has or 'ever'}"))
    else:
        try:
            await cluster.put(path, {"data_retention": wanted})
        except SetupError as error:
            raise SetupError(f"the templates are done, but not the retention of {name}: {error}") from error
        say(Line("done", f"data stream {name}: keeps events for {wanted} now, not for {has or 'ever'}"))
