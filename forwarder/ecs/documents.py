"""The document of any event of the store, by where it came from."""

from collections.abc import Callable, Mapping
from typing import Any

from forwarder.core.event import Event, Source
from forwarder.ecs.action import action_document
from forwarder.ecs.alert import alert_document
from forwarder.ecs.document import DocumentOptions, document

BESIDE: Mapping[Source, Callable[[Event, DocumentOptions], dict[str, Any]]] = {
    Source.ALERT: alert_document,
    Source.ACTION: action_document,
}
"""How documents of other things than events of Okta are made, each kind for a data stream of its own."""


def document_of(event: Event, options: DocumentOptions) -> dict[str, Any]:
    """Make the document of `event`, whether it is one of Okta's or the forwarder's own.

    Raises:
        UnmappableError: the body is not a JSON object, or nested too deeply.
    """
    return BESIDE.get(event.source, document)(event, options)
