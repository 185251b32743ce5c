"""The mapping: nothing that a document holds or a rule names is left to a guess, and every type is Elastic's."""

import re
from functools import lru_cache
from random import Random
from typing import Any

import msgspec
import pytest

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.event import Event, Source, read_event
from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.fields import FIELDS
from forwarder.emulator.events.generator import Generator
from forwarder.setup.elasticsearch import fields, template_bodies
from forwarder.setup.elasticsearch.data_streams import ACTIONS, ALERTS, EVENTS, HEALTH
from forwarder.setup.elasticsearch.template_bodies import Capabilities, Retention
from tests import shared_data
from tests.fakes.clock import NOON
from tests.unit.ecs import wanted_differences

FULL = Capabilities(
    processors=frozenset({"user_agent", "geoip"}),
    missing_types=frozenset(),
    settings=frozenset(template_bodies.OPTIONAL_SETTINGS),
    components=frozenset({*template_bodies.STACK_BEFORE, template_bodies.STACK_AFTER}),
    lifecycle=True,
    ilm=True,
)


def leaves(value: dict[str, Any], path: str = "") -> dict[str, Any]:
    """A mapping's fields by dotted name."""
    found: dict[str, Any] = {}
    for name, entry in value.get("properties", {}).items():
        if "properties" in entry or entry.get("type") == "object":
            found |= leaves(entry, f"{path}{name}.")
        else:
            found[path + name] = entry
    return found


def names(value: Any, path: str = "") -> set[str]:
    """A document's fields by dotted name."""
    if isinstance(value, list):
        return set().union(*(names(item, path) for item in value)) if value else {path}
    if isinstance(value, dict):
        return set().union(*(names(inner, f"{path}.{key}" if path else key) for key, inner in value.items()))
    return {path}


@lru_cache
def events() -> list[Event]:
    """One event of each type, every other one in the shape of the System Log."""
    generator = Generator(Random(7), origin="https://acme.okta.test", edge_case_share=0.3)
    happened = [generator.event(event_type, NOON) for event_type in EVENT_TYPES]
    bodies = [event.log if number % 2 else event.hook for number, event in enumerate(happened)]
    return [read_event(body, org="acme", source=Source.HOOK, received_at=NOON) for body in bodies]


@lru_cache
def documents(**options: bool) -> set[str]:
    """Every field of the documents of these events."""
    chosen = DocumentOptions(preserve_original_event=True, **options)  # type: ignore[arg-type]  # all of them are flags
    found: set[str] = set()
    for event in events():
        found |= names(document(event, chosen))
    return found


FREE = re.compile(r"okta\.(debug_context\.debug_data|device|target\.changeDetails\.(from|to))\.")


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"remove_flattened_debug": True}, {"okta_geo": True}])
def test_every_field_of_every_document_is_mapped(options: dict[str, bool]) -> None:
    mapped = leaves(EVENTS.mapping())
    objects = tuple(f"{name}." for name, entry in mapped.items() if entry["type"] in {"flattened", "geo_point"})
    for name in documents(**options):
        known = name in mapped or name.startswith(objects) or FREE.match(name)
        assert known, name


@shared_data.needs(shared_data.FIELDS)
def test_every_type_is_elastics() -> None:
    elastic = {entry["field"]: entry for entry in msgspec.json.decode(shared_data.FIELDS.read_bytes())}
    mapped = leaves(EVENTS.mapping())
    compared = 0
    for name, entry in mapped.items():
        theirs = elastic.get(name)
        if theirs is None or theirs["type"] == "?":
            continue
        compared += 1
        assert entry["type"] == wanted_differences.TYPES.get(name, theirs["type"]), name
        words = [f"{name}.text:match_only_text"] if "fields" in entry else []
        assert words == theirs.get("multi_fields", []), name
    assert compared > 120


@shared_data.needs(shared_data.RULES)
def test_every_field_that_a_rule_names_is_mapped() -> None:
    mapped = leaves(EVENTS.mapping())
    for rule in msgspec.json.decode(shared_data.RULES.read_bytes()):
        for name in rule["fields"]:
            assert name in mapped or name.rpartition(".")[0] in mapped, (rule["name"], name)


def test_a_field_that_the_table_gains_is_mapped_by_its_reader() -> None:
    mapped = leaves(EVENTS.mapping())
    for row in FIELDS:
        for name in row.ecs:
            assert name in mapped


@pytest.mark.long
def test_what_no_document_fills_is_listed_once_and_with_a_reason() -> None:
    unfilled = [name for listed in fields.UNFILLED.values() for name in listed]
    assert len(unfilled) == len(set(unfilled))
    assert all(len(reason) > 20 for reason in fields.UNFILLED)
    assert not set(unfilled) & documents()


def test_a_long_value_is_never_a_term_that_refuses_the_document() -> None:
    for name, entry in leaves(EVENTS.mapping(("constant_keyword", "match_only_text"))).items():
        if entry["type"] in {"keyword", "flattened"}:
            assert entry.get("ignore_above") == 1024 or entry.get("index") is False, name


def test_free_objects_take_a_key_and_a_longer_key_that_begins_with_it() -> None:
    root = EVENTS.mapping()
    for path in ("okta.debug_context.debug_data", "okta.device", "okta.target.changeDetails.from"):
        entry: Any = root
        for key in path.split("."):
            entry = entry["properties"][key]
        assert entry["subobjects"] is False


BESIDE = (ALERTS, ACTIONS, HEALTH)

SEEN = {
    1: "c3f04da8e11b",
    2: "b8c2b04f28d7",
    3: "6b243e7fbddc",
    4: "c1dd211cf4e3",
    5: "b58c78a740f6",
    6: "8c8e1dd559b5",
    7: "91e1b2371dad",
}
"""Version -> digest of what it writes on a full Elasticsearch. Append when the bodies change."""


def test_a_change_of_what_is_written_raises_the_version() -> None:
    """Else a cluster could hold two different templates of one version, and a downgrade would go unnoticed."""
    written = [
        template_bodies.pipeline(FULL),
        EVENTS.component_template(FULL, Retention()),
        EVENTS.index_template(FULL, Retention()),
        *(stream.component_template(FULL, Retention()) for stream in BESIDE),
        *(stream.index_template(FULL, Retention()) for stream in BESIDE),
    ]
    digest = template_bodies.digest(written)
    assert SEEN[template_bodies.VERSION] == digest, f"raise template_bodies.VERSION and note its digest here: {digest}"
    assert max(SEEN) == template_bodies.VERSION
