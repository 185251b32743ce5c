"""Searches a cluster for the documents of events."""

from collections.abc import Collection

from forwarder.core.errors import SinkError
from forwarder.setup.elasticsearch.cluster import reason
from forwarder.sinks.elasticsearch.bulk import LICENSE, LICENSE_HINT, WRONG_CREDENTIALS
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings


async def find_documents(
    settings: ElasticsearchSinkSettings, stream: str, ids: Collection[str], timeout: float
) -> dict[str, str]:
    """Find the documents with these `ids` in the data stream `stream`. Return the name of each document's index, by id.

    Ids that no document has are left out.

    Raises:
        SinkError: there was no response within `timeout` seconds, or it was an error. The message says what to do.
    """
    from forwarder.setup.elasticsearch.admin import ElasticsearchAdmin  # noqa: PLC0415  # its library takes a second

    query = {"query": {"ids": {"values": sorted(ids)}}, "size": len(ids), "_source": False}
    async with ElasticsearchAdmin(settings, timeout) as api:
        reply = await api.call("POST", f"/{stream}/_search", query)
    if reply.status == 404:
        raise SinkError(f"there is no data stream {stream} yet; Elasticsearch creates it with the first event")
    if reply.status in {401, 403}:
        right = f"these credentials may not read {stream}; give the key the index privilege `read`"
        text = WRONG_CREDENTIALS if reply.status == 401 else LICENSE_HINT if LICENSE in reason(reply) else right
        raise SinkError(f"{text} ({reply.status}: {reason(reply)[:200]})")
    try:
        hits = reply.body["hits"]["hits"]
        return {str(hit["_id"]): str(hit["_index"]) for hit in hits}
    except (TypeError, KeyError):
        raise SinkError(f"Elasticsearch answered the search with {reply.status}: {reason(reply)[:200]}") from None
