"""Shows what a sink would send for an event, without opening a connection."""

from collections.abc import Callable
from typing import Any

import msgspec

from forwarder.core.event import OKTA_SOURCES, Event
from forwarder.ecs.attributes import record_for_json
from forwarder.ecs.document import DocumentOptions
from forwarder.ecs.document_by_source import document_of
from forwarder.ecs.document_for_elastic_pipeline import raw_document
from forwarder.sink_settings import SinkSettings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.file.settings import FileSinkSettings


def preview(settings: SinkSettings) -> Callable[[Event], Any]:
    """Return a function that converts an event to what a sink with `settings` would send, as a value that can be
    encoded as JSON.

    The returned function ignores `settings.redact`, so the caller must redact the event first. For an event that cannot
    be converted, it raises UnmappableError. A sink would make such an event a dead letter.
    """
    if isinstance(settings, ElasticsearchSinkSettings):
        options, raw = settings.options, settings.document_format == "raw"
        return lambda event: _document(event, options, raw=raw)
    if isinstance(settings, FileSinkSettings):
        if settings.format == "raw":
            return lambda event: msgspec.Raw(event.body)
        return lambda event: _document(event, DocumentOptions(), raw=False)
    return record_for_json


def _document(event: Event, options: DocumentOptions, *, raw: bool) -> dict[str, Any]:
    raw = raw and event.source in OKTA_SOURCES
    return raw_document(event, options) if raw else document_of(event, options)
