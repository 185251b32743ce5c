"""An odd key costs its own field at most: its neighbours and the rest of the event are kept."""

import json
from typing import Any

import pytest

from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.value_readers import MAX_KEYS, MAX_NAME, REST
from tests.unit.ecs.odd_keys import ODD_KEYS
from tests.unit.ecs.okta_events import Json, bare, event_of

PLACES = ("debug", "written", "chain", "device", "integrator", "changes", "java")


def holding(place: str, value: Json) -> Json:
    """An event with `value` in a free object of it."""
    if place == "java":
        pairs = ", ".join(f"{key}={inner}" for key, inner in value.items())
        return bare(debugContext={"debugData": {"behaviors": f"{{{pairs}}}"}})
    found: dict[str, Json] = {
        "debug": {"debugContext": {"debugData": value}},
        "written": {"debugContext": {"debugData": {"logOnlySecurityData": json.dumps(value)}}},
        "chain": {"client": {"ipChain": [value]}},
        "device": {"device": value},
        "integrator": {"device": {"device_integrator": json.dumps(value)}},
        "changes": {"target": [{"id": "x", "changeDetails": {"from": value, "to": value}}]},
    }
    return bare(**found[place])


def kept(place: str, made: Json) -> Json:
    """That free object in the document."""
    okta = made["okta"]
    flattened = okta.get("debug_context", {}).get("debug_data", {}).get("flattened", {})
    found: Json = {
        "debug": lambda: flattened,
        "written": lambda: flattened["logOnlySecurityData"],
        "java": lambda: flattened["behaviors"],
        "chain": lambda: okta["request"]["ip_chain"][0],
        "device": lambda: okta["device"],
        "integrator": lambda: okta["device"]["device_integrator"],
        "changes": lambda: okta["target"][0]["changeDetails"]["to"],
    }[place]()
    return found


def fits(key: str) -> bool:
    parts = key.split(".")
    return all(part.strip() for part in parts) and "\0" not in key and len(key) <= MAX_NAME and len(parts) <= 4


def all_keys(value: Any) -> list[str]:
    if isinstance(value, list):
        return [key for inner in value for key in all_keys(inner)]
    if not isinstance(value, dict):
        return []
    return [*value, *(key for inner in value.values() for key in all_keys(inner))]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
def test_an_odd_key_costs_no_neighbour_and_leaves_only_names_that_fit(key: str, place: str) -> None:
    made = document(event_of(holding(place, {"before": "x", key: "y", "behind": "z"})), DocumentOptions())
    found = kept(place, made)
    assert (found["before"], found["behind"], len(found)) == ("x", "z", 3)
    assert "y" in found.values()
    assert [name for name in all_keys(made) if not fits(name)] == []


@pytest.mark.parametrize("option", [True, False])
def test_a_key_that_is_repaired_never_takes_the_place_of_a_neighbour(*, option: bool) -> None:
    for pairs in ([("a\0b", "odd"), ("a\ufffdb", "own")], [("a\ufffdb", "own"), ("a\0b", "odd")]):
        options = DocumentOptions(remove_flattened_debug=option)
        made = document(event_of(bare(debugContext={"debugData": dict(pairs)})), options)
        data = made["okta"]["debug_context"]["debug_data"]
        found = data if option else data["flattened"]
        assert found == {"a\ufffdb": "own", REST: '{"a\\u0000b":"odd"}'}


LONG = "k" * MAX_NAME


@pytest.mark.parametrize("place", ["debug", "written", "chain", "device"])
@pytest.mark.parametrize(
    ("value", "field", "other"),
    [
        ({LONG + "1": "x", LONG + "2": "y"}, {LONG: "x"}, {LONG + "2": "y"}),
        ({"": "x", " ": "y"}, {"_": "x"}, {" ": "y"}),
        ({"a.b": "x", "a": {"b": "y"}}, {"a": {"b": "y"}}, {"a.b": "x"}),
        ({"a": [{"b": "y"}], "a.b": "x"}, {"a": [{"b": "y"}]}, {"a.b": "x"}),
        ({"a.b.c": "x", "a.b": {"c": "y"}}, {"a.b": {"c": "y"}}, {"a.b.c": "x"}),
        ({"\0": "x", "\ufffd": "y", REST: "z"}, {"\ufffd": "y"}, {"\0": "x", REST: "z"}),
    ],
)
def test_of_two_keys_for_one_field_none_is_lost(value: Json, field: Json, other: Json, place: str) -> None:
    found = kept(place, document(event_of(holding(place, value)), DocumentOptions()))
    assert json.loads(found.pop(REST)) == other
    assert found == field


def test_dots_in_a_key_cost_no_object_beside_it() -> None:
    value = {"a.b": "x", "a": "y", "c.d": "z", "c": {}}
    assert kept("device", document(event_of(holding("device", value)), DocumentOptions())) == {
        "a.b": "x",
        "a": "y",
        "c.d": "z",
    }


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_of_very_many_keys_the_first_are_kept_and_the_others_are_one_text(place: str) -> None:
    many = {f"k{number}": "v" for number in range(5_000)}
    found = kept(place, document(event_of(holding(place, many)), DocumentOptions()))
    assert len(found) <= MAX_KEYS + 1
    assert found["k0"] == "v"
    assert json.loads(found.pop(REST)) == {key: "v" for key in many if key not in found}


def test_very_many_keys_of_inner_objects_are_counted_too() -> None:
    tree = {f"k{one}": {f"j{two}": "v" for two in range(60)} for one in range(60)}
    made = document(event_of(bare(debugContext={"debugData": {"x": tree, "last": "z"}})), DocumentOptions())
    flattened = made["okta"]["debug_context"]["debug_data"]["flattened"]
    assert flattened["last"] == "z"
    assert len([key for key in all_keys(flattened) if key != REST]) <= MAX_KEYS


@pytest.mark.parametrize("key", ["k" * 3_000, "a.b.c", "\U0001f512" * 1_000])
def test_a_path_of_odd_keys_stays_within_the_limits_of_an_index(key: str) -> None:
    value: Any = "v"
    for _ in range(40):
        value = {key: value}
    made = document(event_of(bare(debugContext={"debugData": {"x": value}})), DocumentOptions())
    path, inner = "", made["okta"]
    while isinstance(inner, dict):
        name, inner = list(inner.items())[-1]
        path += f".{name}"
    assert path.count(".") <= 19
    assert len(path.encode()) < 30_000
