"""Redacts events: replaces the values of the fields that the setting `redact` of a sink names, before the sink gets the
event."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from forwarder.core.event import Event, Source, StoredEvent
from forwarder.core.outcome import BatchResult
from forwarder.core.ports import Sink
from forwarder.ecs.decode import encode
from forwarder.ecs.document import decoded
from forwarder.ecs.fields import FIELDS, object_at
from forwarder.rules.evaluation.derived_fields import DERIVED_FROM
from forwarder.sinks.conversion import Conversion

REDACTED = "[redacted]"

_TARGETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "user": {"id": ("actor.id", "target.id"), "name": ("actor.alternateId", "target.alternateId")},
    "ip": {"id": ("client.ipAddress", "client.ipChain.ip")},
}
"""The fields of events from which the id and the name of an action's target are copied, by the kind of the target."""


def _fields_by_fact() -> Sequence[set[str]]:
    """Return sets of names of Okta's fields. All fields in a set contain the same information, for example one IP
    address. So if one field of a set must be redacted, the other fields of the set must be redacted too."""
    by_target: dict[str, set[str]] = {}
    for row in FIELDS:
        for target in row.ecs:
            by_target.setdefault(target, set()).add(row.okta)
    # An event from the hook has `client.ipChain`, and an event from the System Log has `request.ipChain` instead.
    chains = {"client.ipChain", "request.ipChain"}
    return [chains, *(names for names in by_target.values() if len(names) > 1)]


_FIELDS_BY_FACT = _fields_by_fact()


def _equivalent_fields(field: str) -> Iterator[str]:
    """Yield `field`, and every other field that contains the information of `field`, or a part of this information,
    under another name."""
    yield field
    for names in _FIELDS_BY_FACT:
        for name in names:
            if f"{field}.".startswith(f"{name}."):
                yield from (other + field.removeprefix(name) for other in names - {name})
            elif name.startswith(f"{field}."):
                yield from names - {name}


class FieldRedactor:
    """Replaces the values of the fields `fields` in events by `[redacted]`. `fields` has dotted names, such as
    `actor.alternateId`."""

    def __init__(self, fields: Iterable[str]) -> None:
        names = dict.fromkeys(name for field in fields for name in _equivalent_fields(field))
        self._paths = [name.split(".") for name in names]

    def redact(self, event: Event) -> Event:
        """Return `event`, in which the values of the fields that must be redacted are replaced by `[redacted]`.

        Raises:
            UnmappableError: the body cannot be decoded, so it cannot be redacted, and the event must not be sent.
        """
        raw = decoded(event)
        found = False
        for path in self._paths:
            found = _redact(raw, path) or found
        if event.source is Source.ALERT:
            found = self._redact_group(object_at(raw, "forwarder", "alert")) or found
        if event.source is Source.ACTION:
            texts_to_replace = [
                text
                for target in _targets(object_at(raw, "forwarder", "action"))
                for text in self._texts_to_replace(target)
            ]
            raw, found = _replaced(raw, texts_to_replace), found or bool(texts_to_replace)
        body = encode(raw).encode()
        # If an object in the body has a key twice, the decoded object has only the last value, but the body still has
        # both values, and the first value is not redacted. So the body must be replaced too.
        if found or (body != event.body and _repeats_a_key(event.body)):
            return replace(event, body=body)
        return event

    def _redact_group(self, alert: dict[str, Any]) -> bool:
        """Replace the values of the redacted fields in the `group` of `alert`, and return whether a value was replaced.

        The keys of the group are names of fields, or aliases of fields. The value of a derived field (a field that is
        computed from other fields) is replaced if one of the other fields must be redacted.
        """
        group, aliases = object_at(alert, "group"), object_at(alert, "rule", "aliases")
        paths = [_plain(path) for path in self._paths]
        found = False
        for name in group:
            fields = [_plain(field.split(".")) for field in (name, *aliases.get(name, ()))]
            fields += [
                source.split(".")
                for derived, sources in DERIVED_FROM.items()
                if any(_overlap(derived.split("."), field) for field in fields)
                for source in sources
            ]
            if any(_overlap(path, _plain(field)) for path in paths for field in fields):
                group[name], found = REDACTED, True
        return found

    def _texts_to_replace(self, target: dict[str, Any]) -> list[str]:
        """Return a list of the id and the name of `target`, which is the target of an action. The list omits the id or
        the name if it is not copied from a field that must be redacted.

        The caller must replace the returned texts in the whole event, because the request and the states of the action
        contain these texts too.
        """
        names = _TARGETS.get(str(target.get("kind")), {})
        return [
            value
            for key, fields in names.items()
            if isinstance(value := target.get(key), str)
            and value
            and any(path == field.split(".")[: len(path)] for path in self._paths for field in fields)
        ]


def _targets(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every target in `value`, the JSON of an action: the target of the action itself and, if the action is a
    notification about another action, the target of the other action."""
    if isinstance(value, dict):
        if str(value.get("kind")) in _TARGETS:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _targets(item)


def _replaced(value: Any, texts: Sequence[str]) -> Any:
    """Return the JSON value `value`. In its strings, each occurrence of one of `texts` is replaced by `[redacted]`.
    Keys of objects are not changed."""
    if isinstance(value, dict):
        return {key: _replaced(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, texts) for item in value]
    if isinstance(value, str):
        for text in texts:
            value = value.replace(text, REDACTED)
    return value


def _repeats_a_key(body: bytes) -> bool:
    """Return True if a JSON object in `body` has a key twice, or if `body` cannot be decoded.

    This function is slow: it takes ten times as long as encoding the event.
    """

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise _RepeatedKeyError

    try:
        json.loads(body, object_pairs_hook=check, parse_int=str, parse_float=str)
    except (_RepeatedKeyError, ValueError, RecursionError):
        return True
    return False


class _RepeatedKeyError(Exception):
    """A JSON object has a key twice."""


def _plain(path: Sequence[str]) -> list[str]:
    """Return `path` in the form that detection rules use for names of fields: without list indexes, and with the first
    part in lower case."""
    return [part if at else part.lower() for at, part in enumerate(path) if not part.isdecimal()]


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether the paths `one` and `other` are equal, or one of the paths is the beginning of the other path."""
    return one[: len(other)] == other[: len(one)]


def _redact(value: Any, path: Sequence[str]) -> bool:
    """Replace the values at `path` in the JSON value `value`, in place. Return whether `value` has a value at
    `path`."""
    found = False
    if isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, str):  # a text may be JSON that contains the field
                value[at], found = REDACTED, True
            else:
                found = _redact(item, path) or found
                found = _redact(item, path[1:]) or found if path[1:] and path[0].isdecimal() else found
    if not isinstance(value, dict):
        return found
    for parts in range(1, len(path) + 1):  # a key of Okta's debug data may contain dots
        key, rest = ".".join(path[:parts]), path[parts:]
        inner = value.get(key)
        if inner is None:
            continue
        if not rest or isinstance(inner, str):  # a text may be JSON that contains the field
            value[key], found = REDACTED, True
        else:
            found = _redact(inner, rest) or found
    return found


class RedactingSink:
    """A `core.ports.Sink` that redacts the fields `fields` in each event, and then sends the event by `sink`."""

    def __init__(self, sink: Sink, fields: Iterable[str]) -> None:
        self._sink = sink
        self._redacted = Conversion(FieldRedactor(fields).redact)

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        return await self._redacted.send(batch, self._send)

    async def _send(self, seqs: list[int], events: list[Event]) -> BatchResult:
        return await self._sink.send(list(map(StoredEvent, seqs, events)))

    async def close(self) -> None:
        await self._sink.close()
