"""Converts one event to JSON for an operator: to a line of the live stream, or to the whole event in the form raw, ECS
or OTLP.

This module does no I/O.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from forwarder.core.errors import ForwarderError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.time import iso
from forwarder.ecs.attributes import record_for_json
from forwarder.ecs.decode import decode, decode_object
from forwarder.ecs.document import DocumentOptions
from forwarder.ecs.document_by_source import document_of
from forwarder.ecs.fields import object_at
from forwarder.ecs.value_readers import objects, text

_RAISED = (ForwarderError, ValueError, RecursionError)
_OPTIONS = DocumentOptions()


class Form(StrEnum):
    """The form in which a whole event is shown: as received, as an ECS document, or as an OTLP record."""

    RAW = "raw"
    ECS = "ecs"
    OTLP = "otlp"


class EventFilter(msgspec.Struct, frozen=True):
    """A filter for events. An event matches if it matches every field that is not empty.

    Attributes:
        types: patterns of event types, as in `user.session.*`; the type of the event must match at least one.
        actor: a part of the actor's id, login or name, in upper or lower case.
        outcome: the result of the event, as in SUCCESS, in upper or lower case.
        org: the name of the org in the configuration.
        source: the source of the event: a value of `Source`.
    """

    types: tuple[str, ...] = ()
    actor: str = ""
    outcome: str = ""
    org: str = ""
    source: str = ""

    def may_match(self, event: Event) -> bool:
        """Return whether the org, the source and the type of `event` match. This check is fast, because it does not
        decode the body of `event`."""
        return (
            (not self.org or event.org == self.org)
            and (not self.source or event.source.value == self.source)
            and (not self.types or any(fnmatchcase(event.event_type, pattern) for pattern in self.types))
        )

    def matches(self, line: Mapping[str, Any]) -> bool:
        """Return whether the actor and the outcome of an event satisfy the selection. Call this method only if `may_match` returns True
        for the event.

        `line` is the result of the function `line` for the event.
        """
        if self.outcome and (line["outcome"] or "").casefold() != self.outcome.casefold():
            return False
        actor = self.actor.casefold()
        return not actor or any(actor in (line[key] or "").casefold() for key in ("actor", "actor_name", "actor_id"))


def line(stored: StoredEvent) -> dict[str, Any]:
    """Return the fields of the event `stored` that the live stream shows. A field that the event does not have is
    None."""
    event = stored.event
    raw = decode_object(event.body) or {}
    actor, outcome = object_at(raw, "actor"), object_at(raw, "outcome")
    targets = objects(raw.get("target"))
    target = targets[0] if targets else {}
    return {
        "seq": stored.seq,
        "org": event.org,
        "uuid": event.uuid,
        "event_type": event.event_type,
        "published": iso(event.published, "milliseconds"),
        "received_at": iso(event.received_at, "milliseconds"),
        "source": event.source.value,
        "severity": text(raw.get("severity")),
        "outcome": text(outcome.get("result")),
        "reason": text(outcome.get("reason")),
        "actor": text(actor.get("alternateId")),
        "actor_name": text(actor.get("displayName")),
        "actor_id": text(actor.get("id")),
        "target": text(target.get("displayName")) or text(target.get("alternateId")),
        "client_ip": text(object_at(raw, "client").get("ipAddress")),
        "user_agent": text(object_at(raw, "client", "userAgent").get("rawUserAgent")),
        "message": text(raw.get("displayMessage")),
    }


def forms(event: Event) -> dict[str, Any]:
    """Return `event` in every form, as JSON values by name of the form.

    If `event` cannot be converted to a form, the value of this form is an object with the key `error`.
    """
    return {form.value: in_form(event, form) for form in Form}


def in_form(event: Event, form: Form) -> Any:
    """Return `event` in the form `form`, as a JSON value. If `event` cannot be converted to this form, return an object
    with the key `error`."""
    return made_or_error(_MAKERS[form], event)


def made_or_error(make: Callable[[Event], Any], event: Event) -> Any:
    """Return `make(event)`. If `make` raises an expected error, return an object with the key `error`."""
    try:
        return make(event)
    except _RAISED as error:
        return {"error": str(error)}


def as_json(body: bytes | None) -> Any:
    """Return `body` as a value in a JSON document: unchanged if `body` is JSON, as a string if it is not JSON, and None
    if it is None."""
    if body is None:
        return None
    try:
        decode(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
    return msgspec.Raw(body)


_MAKERS: Mapping[Form, Callable[[Event], Any]] = {
    Form.RAW: lambda event: msgspec.Raw(event.body),
    Form.ECS: lambda event: document_of(event, _OPTIONS),
    Form.OTLP: record_for_json,
}
