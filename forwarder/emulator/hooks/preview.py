"""Builds the event that a preview of the Admin Console sends: an event of the System Log, or a generated
event.

Unlike a delivery, a preview has explicit nulls, and an `eventTime` in microseconds. A generated event also
has a version-4 uuid, and the result `Success`.
"""

from random import Random
from typing import Any
from uuid import UUID

import msgspec

from forwarder.core.time import Micros
from forwarder.emulator.events.generator import Generator
from forwarder.emulator.events.payloads import hook_shape
from forwarder.emulator.http.errors import not_found
from forwarder.emulator.system_log.log import EmulatedSystemLog, LogEntry, LogRange

_NULL = ("device", "actor", "target", "debugContext", "legacyEventType", "securityContext", "insertionTimestamp")


class Previewed(msgspec.Struct, frozen=True):
    """The result of a preview: the event's uuid, and whether the receiver accepted it."""

    event: str
    delivered: bool


def logged_event(log: EmulatedSystemLog, uuid: str, now: Micros) -> dict[str, Any]:
    """Return the event `uuid` of the System Log `log`, in the shape that a preview sends.

    Raises:
        OktaApiError: the log has no event with this uuid.
    """

    def is_it(entry: LogEntry) -> bool:
        return uuid.encode() in entry.body and msgspec.json.decode(entry.body)["uuid"] == uuid

    for entry in log.poll(LogRange(0, now + 1, is_it), after=None, limit=1).entries:
        return hook_shape(msgspec.json.decode(entry.body), nulls=True)
    raise not_found(f"{uuid} (LogEvent)")


def generated_event(generator: Generator, random: Random, event_type: str, now: Micros) -> dict[str, Any]:
    """Generate an event as a preview shows it."""
    event = hook_shape(msgspec.json.decode(generator.event(event_type, now).log), nulls=True)
    event |= dict.fromkeys(_NULL)
    event["uuid"] = str(UUID(bytes=random.randbytes(16), version=4))
    event["outcome"] = {"result": "Success", "reason": None}
    event["client"]["ipChain"] = None
    event["transaction"] |= {"type": None, "detail": None}
    return event
