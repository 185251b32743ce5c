"""Makes the document that Elastic's own pipeline for Okta reads: the event as text in `message`, and the fields that
Elastic's agent adds."""

from typing import Any

from forwarder.core.event import Event
from forwarder.ecs.decode import encode
from forwarder.ecs.document import DATASET, DocumentOptions, decoded, iso, timestamp
from forwarder.ecs.fields import object_at


def raw_document(event: Event, options: DocumentOptions) -> dict[str, Any]:
    """Return the document of `event` for Elastic's pipeline for Okta.

    In an event from a hook, `ipChain` is in `client`, where the pipeline does not read it. So it is moved to `request`,
    as in the System Log. The rest of the event stays as received.

    Raises:
        UnmappableError: the body is not a JSON object, or it is nested too deeply.
    """
    raw = decoded(event)
    document: dict[str, Any] = {
        "@timestamp": timestamp(raw.get("published"), event.published),
        "message": _message(raw, event),
        "data_stream": {"type": "logs", "dataset": DATASET, "namespace": options.namespace},
        "event": {"module": "okta", "dataset": DATASET, "created": iso(event.received_at)},
    }
    tags = ["forwarded", "okta-system"]
    if options.preserve_original_event:
        tags.append("preserve_original_event")
    document["tags"] = list(dict.fromkeys([*tags, *options.tags]))
    if options.organization_name:
        document["organization"] = {"name": event.org}
    if options.remove_flattened_debug:
        document["_conf"] = {"remove_flattened_debug": True}
    return document


def _message(raw: dict[str, Any], event: Event) -> str:
    chain = object_at(raw, "client").get("ipChain")
    if not chain or object_at(raw, "request").get("ipChain"):
        return event.body.decode(errors="replace")
    client = {key: value for key, value in raw["client"].items() if key != "ipChain"}
    request = {**object_at(raw, "request"), "ipChain": chain}
    return encode({**raw, "client": client, "request": request})
