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

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.ecs.attributes import log_view

UID = "log.record.uid"
"""OpenTelemetry's name of the attribute that identifies a record. A second copy has the same value."""

_SCOPE = InstrumentationScope(name="okta-forwarder", version=version("okta-forwarder"))
_MAX_NANOS = 2**64 - 1


class EncodedRecord(msgspec.Struct, frozen=True):
    """A LogRecord in protobuf (`data`), and the name of the org to whose Resource it belongs."""

    org: str
    data: bytes


def record(event: Event) -> EncodedRecord:
    """Convert `event` to a log record, encoded as protobuf. (The SDK's own records and encoder take three times as long.)

    Raises:
        UnmappableError: a record cannot hold a value of the event; the text names the field.
    """
    view = log_view(event)
    message = LogRecord(
        time_unix_nano=_nanos(event.published),
        observed_time_unix_nano=_nanos(event.received_at),
        severity_number=view.severity_number,  # type: ignore[arg-type]  # an open enum
    )
    texts = {"type": event.event_type, "severity": view.severity_text, "body": view.body, UID: event.uuid}
    name = ""
    try:
        for name, text in texts.items():  # noqa: B007  # the name is for the error
            text.encode()
        message.event_name = event.event_type
        message.severity_text = view.severity_text
        message.body.string_value = view.body
        view.attributes[UID] = event.uuid
        add = message.attributes.add
        for name, value in view.attributes.items():
            pair = add()
            pair.key = name
            _set(pair.value, value)
    except UnicodeEncodeError:
        raise UnmappableError(f"{name!a} contains half of a surrogate pair") from None
    except ValueError:
        raise UnmappableError(f"{name} is a number that needs more than 64 bits") from None
    except TypeError as error:
        raise UnmappableError(f"{name} is of a type that OTLP does not carry: {error}") from None
    return EncodedRecord(event.org, message.SerializeToString())


def _set(target: AnyValue, value: Any) -> None:
    kind = type(value)
    if kind is str:
        target.string_value = value
    elif kind is list or kind is tuple:
        add = target.array_value.values.add
        for item in value:
            _set(add(), item)
    elif kind is bool:
        target.bool_value = value
    elif kind is int:
        target.int_value = value
    else:
        target.double_value = value


def request(records: Sequence[EncodedRecord]) -> bytes:
    """Return an ExportLogsServiceRequest with `records`, encoded as protobuf, with one ResourceLogs for each org.

    The encoded records are copied: only the tags and lengths of the fields around them are added.
    """
    by_org: dict[str, list[bytes]] = {}
    for made in records:
        by_org.setdefault(made.org, []).append(made.data)
    return b"".join(_resource_logs(org, encoded) for org, encoded in by_org.items())


def _resource_logs(org: str, records: list[bytes]) -> bytes:
    written = {"service.name": "okta", "okta.org.name": org}
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in written.items()]
    resource = ResourceLogs(resource=Resource(attributes=attributes)).SerializeToString()
    scope = ScopeLogs(scope=_SCOPE).SerializeToString() + b"".join(
        _field(_LOG_RECORDS, data) for data in records
    )
    return _field(_RESOURCE_LOGS, resource + _field(_SCOPE_LOGS, scope))


_RESOURCE_LOGS, _SCOPE_LOGS, _LOG_RECORDS = b"\x0a", b"\x12", b"\x12"
"""Tags of the fields ExportLogsServiceRequest.resource_logs, ResourceLogs.scope_logs, ScopeLogs.log_records."""


def _field(tag: bytes, content: bytes) -> bytes:
    """Return an encoded field of a message: `tag`, the length as a varint, and the encoded `content`."""
    size = bytearray()
    rest = len(content)
    while rest > 0x7F:  # seven bits of a byte
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    return tag + size + content


def _nanos(at: Micros) -> int:
    """Convert to nanoseconds. A time that OTLP cannot represent becomes the nearest one that it can: 1970 or 2554."""
    return min(max(at * 1000, 0), _MAX_NANOS)
