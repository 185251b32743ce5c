"""Makes the document of any event in the store. The source of the event decides which function makes it."""

from collections.abc import Callable, Mapping
from typing import Any

from forwarder.core.event import Event, Source
from forwarder.ecs.action_document import action_document
from forwarder.ecs.alert_document import alert_document
from forwarder.ecs.document import DocumentOptions, document

_OWN_DOCUMENTS: Mapping[Source, Callable[[Event, DocumentOptions], dict[str, Any]]] = {
    Source.ALERT: alert_document,
    Source.ACTION: action_document,
}
"""The functions that make documents of the forwarder's own events, by the source of the event."""


def document_of(event: Event, options: DocumentOptions) -> dict[str, Any]:
    """Return the document of `event`, an event of Okta or of the forwarder.

    Raises:
        UnmappableError: the body is not a JSON object, or it is nested too deeply.
    """
    return _OWN_DOCUMENTS.get(event.source, document)(event, options)
