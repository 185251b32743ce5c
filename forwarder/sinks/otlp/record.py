"""One event as one OTLP log record.

| record                 | from the event                                                                    |
|------------------------|-----------------------------------------------------------------------------------|
| Timestamp              | `published`                                                                       |
| ObservedTimestamp      | when the forwarder received it                                                    |
| SeverityNumber, Text   | `severity`: DEBUG 5, INFO 9, WARN 13, ERROR 17; any other text is kept, with 0    |
| EventName              | `eventType`                                                                       |
| Body                   | `displayMessage`; if Okta sent none, `eventType`                                  |
| Attributes             | those of `forwarder.ecs.attributes`, among them `log.record.uid` = `uuid`         |
| Resource               | `service.name` = `okta`, `okta.org.name` = the org's name in the configuration    |
"""

from importlib.metadata import version
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.ecs.attributes import log_view

UID = "log.record.uid"
"""OpenTelemetry's name of the attribute that identifies a record. A second copy has the same value."""

_SCOPE = InstrumentationScope("okta-forwarder", version("okta-forwarder"))
_INT64 = range(-(2**63), 2**63)
_MAX_NANOS = 2**64 - 1


def record(event: Event) -> ReadableLogRecord:
    """Convert an event to the record that the SDK's exporter takes. The exporter can encode all of it.

    Raises:
        UnmappableError: a record cannot hold a value of the event; the text says which.
    """
    view = log_view(event)
    attributes = {**view.attributes, UID: event.uuid}
    # The SDK drops an attribute that it cannot encode, with only a log line, and drops the whole batch for
    # anything else that it cannot encode. So each value is checked before it gets there.
    for name, value in attributes.items():
        if not name.isascii():
            _check(name, name)
        if type(value) is not str or not value.isascii():  # most are ASCII text
            _check(name, value)
    for name, text in (("body", view.body), ("severity", view.severity_text), ("type", event.event_type)):
        _check(name, text)
    return ReadableLogRecord(
        LogRecord(
            timestamp=_nanos(event.published),
            observed_timestamp=_nanos(event.received_at),
            severity_text=view.severity_text,
            severity_number=SeverityNumber(view.severity_number),
            body=view.body,
            attributes=attributes,
            event_name=event.event_type,
        ),
        # Not Resource.create, which adds OTEL_RESOURCE_ATTRIBUTES.
        Resource({"service.name": "okta", "okta.org.name": event.org}),
        _SCOPE,
    )


def _check(name: str, value: Any) -> None:
    """Raise UnmappableError if OTLP cannot carry `value`."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                raise UnmappableError(f"{name!a} contains half of a surrogate pair") from None
        elif isinstance(item, bool | float):
            continue
        elif not isinstance(item, int):
            raise UnmappableError(f"{name} is of type {type(item).__name__}, which OTLP does not carry")
        elif item not in _INT64:
            raise UnmappableError(f"{name} is {item}, which needs more than 64 bits")


def _nanos(at: Micros) -> int:
    """Convert to nanoseconds. A time that OTLP cannot carry becomes the nearest one: in 1970 or 2554."""
    return min(max(at * 1000, 0), _MAX_NANOS)
