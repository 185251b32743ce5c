"""Converts one event to one OTLP log record:

| record                 | from the event                                                                    |
|------------------------|-----------------------------------------------------------------------------------|
| Timestamp              | `published`                                                                       |
| ObservedTimestamp      | when the forwarder received the event                                             |
| SeverityNumber, Text   | `severity`: DEBUG 5, INFO 9, WARN 13, ERROR 17; any other text is kept, with 0    |
| EventName              | `eventType`                                                                       |
| Body                   | `displayMessage`; if Okta sent none, `eventType`                                  |
| Attributes             | those of `forwarder.ecs.attributes`, among them `log.record.uid` = `uuid`         |
| Resource               | `service.name` = `okta`, `okta.org.name` = the org's name in the configuration    |
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.ecs.attributes import AttributeValue, log_view

UID = "log.record.uid"
"""OpenTelemetry's name of the attribute that identifies a record. All copies of a record have the same value of this
attribute."""

_SCOPE = InstrumentationScope(name="okta-forwarder", version=version("okta-forwarder"))
_MAX_NANOS = 2**64 - 1


class EncodedRecord(msgspec.Struct, frozen=True):
    """One log record: `data` is the LogRecord encoded as protobuf, and `org` is the name of the org of the event."""

    org: str
    data: bytes


def record(event: Event) -> EncodedRecord:
    """Return `event` as a log record, encoded as protobuf.

    Raises:
        UnmappableError: a log record cannot hold a value of `event`. The text of the error names the field.
    """
    view = log_view(event)
    view.attributes[UID] = event.uuid
    encoded = [
        _TIME + _pack_fixed(_nanos(event.published)),
        _OBSERVED_TIME + _pack_fixed(_nanos(event.received_at)),
        _SEVERITY_NUMBER + _SMALL[view.severity_number],
    ]
    name = "type"
    try:
        encoded.append(_field(_EVENT_NAME, event.event_type.encode()))
        name = "severity"
        encoded.append(_field(_SEVERITY_TEXT, view.severity_text.encode()))
        name = "body"
        encoded.append(_field(_BODY, _any_value(view.body)))
        for name, value in view.attributes.items():
            if type(value) is str:
                data = value.encode()
                encoded += (_before_text(name, len(data)), data)
            elif type(value) is list and len(value) == 1 and type(value[0]) is str:
                data = value[0].encode()
                encoded += (_before_only_item(name, len(data)), data)
            else:
                data = _any_value(value)
                encoded += (_before_value(name, len(data)), data)
    except UnicodeEncodeError:
        raise UnmappableError(f"{name!a} contains half of a surrogate pair") from None
    except OverflowError:
        raise UnmappableError(f"{name} is a number that needs more than 64 bits") from None
    except TypeError as error:
        raise UnmappableError(f"{name} is of a type that OTLP does not carry: {error}") from None
    return EncodedRecord(event.org, b"".join(encoded))


def request(records: Sequence[EncodedRecord]) -> bytes:
    """Return an ExportLogsServiceRequest with `records`, encoded as protobuf. The request has one ResourceLogs for each
    org.

    The function copies the encoded records, and adds only the tags and the lengths of the protobuf fields around the
    records.
    """
    by_org: dict[str, list[bytes]] = {}
    for made in records:
        by_org.setdefault(made.org, []).append(made.data)
    return b"".join(_resource_logs(org, encoded) for org, encoded in by_org.items())


def _resource_logs(org: str, records: list[bytes]) -> bytes:
    written = {"service.name": "okta", "okta.org.name": org}
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in written.items()]
    resource = ResourceLogs(resource=Resource(attributes=attributes)).SerializeToString()
    scope = ScopeLogs(scope=_SCOPE).SerializeToString() + b"".join(_field(_LOG_RECORDS, data) for data in records)
    return _field(_RESOURCE_LOGS, resource + _field(_SCOPE_LOGS, scope))


# The code below encodes records without the protobuf library: an event has about eighty attributes, and to set each of
# them in a protobuf message takes three times as long. The library encodes only the parts that a request has once. The
# format: https://protobuf.dev/programming-guides/encoding/

_RESOURCE_LOGS, _SCOPE_LOGS, _LOG_RECORDS = b"\x0a", b"\x12", b"\x12"
"""Tags of the fields ExportLogsServiceRequest.resource_logs, ResourceLogs.scope_logs, ScopeLogs.log_records."""
_TIME, _SEVERITY_NUMBER, _SEVERITY_TEXT, _BODY = b"\x09", b"\x10", b"\x1a", b"\x2a"
"""Tags of the fields LogRecord.time_unix_nano to LogRecord.body."""
_OBSERVED_TIME, _EVENT_NAME = b"\x59", b"\x62"
"""Tags of the fields LogRecord.observed_time_unix_nano and LogRecord.event_name."""
_ATTRIBUTES, _KEY, _VALUE = b"\x32", b"\x0a", b"\x12"
"""Tags of the fields LogRecord.attributes, KeyValue.key, KeyValue.value."""
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _VALUES = b"\x0a", b"\x10", b"\x18", b"\x21", b"\x2a", b"\x0a"
"""Tags of the fields AnyValue.string_value to AnyValue.array_value, and of ArrayValue.values."""


def _field(tag: bytes, content: bytes) -> bytes:
    """Return an encoded field of variable length: `tag`, then the length of `content`, then `content`."""
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return `number`, which must not be negative, as a varint: seven bits in each byte, the lowest first."""
    if number < 0x80:
        return _SMALL[number]
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_CACHED = 2_048
"""The maximum number of entries of each cache. Names of attributes also come from events: if all names have the maximum
length (4,000 characters of 4 bytes), a cache takes 60 MB of memory."""
_pack_double = struct.Struct("<d").pack
_pack_fixed = struct.Struct("<Q").pack
_SMALL = [bytes((number,)) for number in range(0x80)]


def _before(name: str, size: int) -> bytes:
    """Return the first bytes of the encoded attribute `name` of a LogRecord: all bytes before the attribute's value,
    which is an AnyValue of `size` bytes."""
    start = _field(_KEY, name.encode()) + _VALUE + _varint(size)
    return _ATTRIBUTES + _varint(len(start) + size) + start


_before_value = lru_cache(maxsize=_CACHED)(_before)


@lru_cache(maxsize=_CACHED)
def _before_text(name: str, size: int) -> bytes:
    """Return the first bytes of the encoded attribute `name` of a LogRecord: all bytes before the attribute's value,
    which is a text of `size` bytes."""
    start = _STRING + _varint(size)
    return _before(name, len(start) + size) + start


@lru_cache(maxsize=_CACHED)
def _before_only_item(name: str, size: int) -> bytes:
    """Return the first bytes of the encoded attribute `name` of a LogRecord: all bytes before a text of `size` bytes,
    if the attribute's value is a list with only this text."""
    item = _before_item(size)
    start = _ARRAY + _varint(len(item) + size) + item
    return _before(name, len(start) + size) + start


@lru_cache(maxsize=1_024)
def _before_item(size: int) -> bytes:
    """Return the first bytes of an encoded item of an ArrayValue: all bytes before the item's text, which has `size`
    bytes."""
    start = _STRING + _varint(size)
    return _VALUES + _varint(len(start) + size) + start


def _any_value(value: AttributeValue) -> bytes:
    """Return `value` as an encoded AnyValue.

    Raises:
        UnicodeEncodeError: `value` contains half of a surrogate pair.
        OverflowError: `value` is a number that needs more than 64 bits.
        TypeError: OTLP has no type for `value`.
    """
    if type(value) is list or type(value) is tuple:
        return _field(_ARRAY, b"".join(_items(value)))
    if isinstance(value, str):
        return _field(_STRING, value.encode())
    if isinstance(value, bool):
        return _BOOL + _SMALL[value]
    if isinstance(value, int):
        return _INT + _varint(int.from_bytes(value.to_bytes(8, signed=True)))
    if isinstance(value, float):
        return _DOUBLE + _pack_double(value)
    raise TypeError(type(value).__name__)


def _items(values: Sequence[AttributeValue]) -> list[bytes]:
    """Return the encoded items of an ArrayValue with `values`, as pieces of bytes that the caller must join."""
    encoded: list[bytes] = []
    for value in values:
        if type(value) is str:
            text = value.encode()
            encoded += (_before_item(len(text)), text)
        else:
            encoded.append(_field(_VALUES, _any_value(value)))
    return encoded


def _nanos(at: Micros) -> int:
    """Return the time `at` in nanoseconds since 1970. OTLP cannot represent a time before 1970 or after 2554. If `at`
    is outside these limits, return the nearest time that OTLP can represent."""
    return min(max(at * 1000, 0), _MAX_NANOS)
