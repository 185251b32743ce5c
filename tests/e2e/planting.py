"""Okta events on which a detection rule must fire, made from the rule's own query.

A query becomes a list of wanted fields. The product's own table says which part of an Okta event fills a field, so the
way back is known: a wanted field becomes a value in an event that is otherwise as the emulated org makes it.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.event import Event, Source, read_event
from forwarder.core.time import Micros
from forwarder.ecs import value_readers
from forwarder.ecs.fields import FIELDS
from forwarder.emulator.events.generator import Generator
from forwarder.emulator.events.payloads import hook_shape

Wanted = dict[str, Any]
"""Fields of a document, each with the value that it must have; `ANY` where every value does."""

ANY = "planted"

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
)
"""Three browsers on three systems."""

_DEBUG = "okta.debug_context.debug_data."
_TYPE = ("event.action", "okta.event_type")
_MADE_BY_MAPPING = ("@timestamp", "data_stream.", "ecs.", "event.", "related.", "tags")
_OTHERS = ("kibana.", "signal.", "host.")
_PATHS = {name: row for row in reversed(FIELDS) for name in row.ecs}
_DEFAULT_TYPE = "user.session.start"


class NoPlantError(Exception):
    """No Okta event has what a rule wants."""


class Plant(msgspec.Struct, frozen=True):
    """An event to fire on.

    Attributes:
        event: the event.
        added: fields of alerts that other products write, which Kibana keeps beside those of the event.
    """

    event: Event
    added: dict[str, Any]


def wanted_by_query(dsl: dict[str, Any]) -> Wanted:
    """What a query in Elasticsearch's query DSL wants. Of several ways to match, the first one."""
    wanted: Wanted = {}
    for kind, body in dsl.items():
        match kind:
            case "bool":
                parts = [*_listed(body.get("filter")), *_listed(body.get("must")), *_listed(body.get("should"))[:1]]
                for part in parts:
                    wanted = wanted_by_query(part) | wanted
            case "match" | "match_phrase" | "term":
                wanted |= body
            case "exists":
                wanted[body["field"]] = ANY
            case "query_string":
                wanted[body["fields"][0]] = re.sub(r"\\(.)", r"\1", body["query"])
            case _:
                raise NoPlantError(f"a query of kind {kind}")
    return wanted


def _listed(found: Any) -> list[dict[str, Any]]:
    return [] if found is None else found if isinstance(found, list) else [found]


class Planter:
    """Makes events.

    Args:
        seed: of all chance.
        start: when the first one happens; each later one a second after the one before.
    """

    def __init__(self, seed: int, start: Micros) -> None:
        self._random = Random(seed)
        self._generator = Generator(self._random, origin="https://acme.okta.test")
        self._at = start

    def plant(self, wanted: Wanted) -> Plant:
        """An event with all that is wanted.

        Raises:
            NoPlantError: an Okta event cannot have it.
        """
        self._at += 1_000_000
        event_type = _event_type(wanted)
        raw = json.loads(self._generator.event(event_type, self._at).log)
        added: dict[str, Any] = {}
        for field, value in wanted.items():
            if field in _TYPE:
                continue
            if field.startswith(_OTHERS):
                _put(added, field, value)
            elif not _set(raw, field, value):
                raise NoPlantError(f"no Okta event fills {field}")
        by_hook = HOOK_ELIGIBLE in EVENT_TYPES.get(event_type, ())
        body = json.dumps(hook_shape(raw, nulls=False) if by_hook else raw).encode()
        source = Source.HOOK if by_hook else Source.LOG
        return Plant(read_event(body, org="acme", source=source, received_at=self._at), added)

    def several(self, wanted: Wanted, count: int, same: list[str], different: list[str]) -> Iterator[Plant]:
        """Events that agree in the fields `same`, and differ in each of the fields `different`."""
        shared = {field: f"shared{self._random.getrandbits(40):x}" for field in same if field not in _TYPE}
        for number in range(count):
            apart = {
                field: AGENTS[number % len(AGENTS)] if field.startswith("user_agent.") else f"apart{number}"
                for field in different
            }
            yield self.plant(wanted | shared | apart)


def _event_type(wanted: Wanted) -> str:
    for field in _TYPE:
        pattern = str(wanted.get(field, "")).replace("[", "[[]")
        found = [name for name in EVENT_TYPES if fnmatch.fnmatchcase(name, pattern)]
        if found:
            return found[0]
        if pattern:
            return pattern
    return _DEFAULT_TYPE


def _set(raw: dict[str, Any], field: str, value: Any) -> bool:
    """Put into `raw`, an event of the System Log, what fills `field`; False where nothing does."""
    text = str(value).replace("*", "") or ANY
    if field == "event.outcome":
        _put(raw, "outcome.result", text.upper())
    elif field.startswith(_MADE_BY_MAPPING):
        return True  # the event's type decides, and the test sees whether it did
    elif field.startswith("okta.target."):
        name = re.sub(r"_(.)", lambda found: found[1].upper(), field.rpartition(".")[2])
        target = {"id": "00uplanted", "type": "User", "alternateId": "ada@acme.test", "displayName": "Ada"}
        raw["target"] = [{**target, name: text}]
    elif field.startswith(_DEBUG + "flattened."):
        _put(raw, "debugContext.debugData." + field.rpartition(".")[2], text)
    elif field == _DEBUG + "risk_behaviors":
        _put(raw, "debugContext.debugData.behaviors", f"{{{text}=POSITIVE}}")
    elif field in (_DEBUG + "risk_level", _DEBUG + "risk_reasons"):
        _put(raw, "debugContext.debugData.risk", f"{{{field.rpartition('risk_')[2]}={text}}}")
    elif field.startswith("user_agent."):
        _put(raw, "client.userAgent.rawUserAgent", value if value in AGENTS else AGENTS[0])
    elif field in _PATHS:
        row = _PATHS[field]
        if value != ANY or _at(raw, row.okta) is None:
            # Okta writes truth as a word where it is a text.
            word = str(value).lower() if isinstance(value, bool) and row.read is value_readers.text else value
            _put(raw, row.okta, text if isinstance(word, str) else word)
    else:
        return False
    return True


def _put(raw: dict[str, Any], path: str, value: Any) -> None:
    *heads, last = path.split(".")
    for head in heads:
        if not isinstance(raw.get(head), dict):
            raw[head] = {}
        raw = raw[head]
    raw[last] = value


def _at(raw: dict[str, Any], path: str) -> Any:
    found: Any = raw
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found
