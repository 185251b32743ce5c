import json
import time
from typing import Any

import pytest

from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.value_readers import MAX_KEYS, REST
from tests.unit.ecs.okta_events import bare, event_of


def debug(data: Any, **options: Any) -> Any:
    """`okta.debug_context.debug_data` of an event with this `debugData`."""
    made = document(event_of(bare(debugContext={"debugData": data})), DocumentOptions(**options))
    return made["okta"].get("debug_context", {}).get("debug_data")


def test_the_whole_is_kept_under_oktas_names_and_what_rules_read_stands_beside_it() -> None:
    assert debug({"dtHash": "d", "grantType": "g", "empty": "", "nothing": None, "other": {"a": []}}) == {
        "dt_hash": "d",
        "grant_type": "g",
        "flattened": {"dtHash": "d", "grantType": "g"},
    }


@pytest.mark.parametrize("nothing", [None, {}, {"a": None}, [], "x", {"a": {"b": [{}]}}])
def test_nothing_to_keep_gives_no_field(nothing: object) -> None:
    assert debug(nothing) is None


def test_behaviors_become_an_object_and_the_unusual_ones_a_list() -> None:
    made = debug({"behaviors": "{New Geo-Location=NEGATIVE, New Device=POSITIVE, Velocity=POSITIVE}"})
    assert made["flattened"]["behaviors"] == {
        "New Geo-Location": "NEGATIVE",
        "New Device": "POSITIVE",
        "Velocity": "POSITIVE",
    }
    assert made["risk_behaviors"] == ["New Device", "Velocity"]


@pytest.mark.parametrize("odd", ["New Device", "{New Device}", "{A=POSITIVE, B}", "{", "}", "x, y", ", "])
def test_odd_behaviors_stay_what_they_were(odd: str) -> None:
    assert debug({"behaviors": odd}) == {"flattened": {"behaviors": odd}}


def test_empty_behaviors_and_an_empty_risk_are_nothing() -> None:
    assert debug({"behaviors": "{}", "risk": "{}"}) is None
    assert debug({"behaviors": "{}", "risk": "{}", "url": "u"}) == {"url": "u", "flattened": {"url": "u"}}


@pytest.mark.parametrize(
    ("risk", "level", "reasons", "commas"),
    [
        ("{level=LOW}", "LOW", None, False),
        (
            "{reasons=Anomalous Device, Anomalous Location, level=HIGH}",
            "HIGH",
            ["Anomalous Device", "Anomalous Location"],
            True,
        ),
        ("{level=HIGH, reasons=Anomalous Device}", "HIGH", ["Anomalous Device"], False),
        ("{level=HIGH, reasons=Anomalous Device, New IP}", "HIGH", ["Anomalous Device", "New IP"], True),
        ("level=HIGH", "HIGH", None, False),
    ],
)
def test_level_and_reasons_of_the_risk_are_found_in_any_order(
    risk: str, level: str, reasons: list[str] | None, *, commas: bool
) -> None:
    made = debug({"risk": risk})
    assert made["risk_level"] == level
    assert made.get("risk_reasons") == reasons
    assert made["flattened"]["risk"]["level"] == level
    assert made["flattened"].get("risk_object") == (risk if commas else None)


@pytest.mark.parametrize(
    "risk",
    [
        "{reasons=Anomalous Device, New IP, level=HIGH} ",
        " {reasons=Anomalous Device, New IP, level=HIGH}",
        "{ reasons=Anomalous Device, New IP, level=HIGH }",
        "\t{ level = HIGH , reasons = Anomalous Device, New IP }\n",
        "{reasons=Anomalous Device, New IP,   level=HIGH}",
        " reasons=Anomalous Device, New IP, level=HIGH ",
        "{reasons=Anomalous Device, New IP,level=HIGH}",
        "{level=HIGH ,reasons=Anomalous Device, New IP}",
        '{ "reasons": "Anomalous Device, New IP", "level": "HIGH" }',
        '\n{\n  "reasons": "Anomalous Device, New IP",\n  "level": "HIGH"\n}',
    ],
)
def test_blanks_around_a_risk_and_its_parts_change_nothing(risk: str) -> None:
    made = debug({"risk": risk})
    assert (made["risk_level"], made["risk_reasons"]) == ("HIGH", ["Anomalous Device", "New IP"])
    assert made["flattened"]["risk"] == {"level": "HIGH", "reasons": "Anomalous Device, New IP"}


@pytest.mark.parametrize(
    "behaviors",
    [
        "{New IP=POSITIVE, New City=NEGATIVE} ",
        "{ New IP=POSITIVE,  New City=NEGATIVE }",
        " { New IP = POSITIVE, New City=NEGATIVE\n}",
        "{New IP=POSITIVE,New City=NEGATIVE}",
        "{New IP=POSITIVE,\tNew City=NEGATIVE}",
        "{New IP=POSITIVE,\n New City=NEGATIVE}",
        '{ "New IP": "POSITIVE", "New City": "NEGATIVE" }',
    ],
)
def test_blanks_around_behaviors_and_their_parts_change_nothing(behaviors: str) -> None:
    made = debug({"behaviors": behaviors})
    assert made["risk_behaviors"] == ["New IP"]
    assert made["flattened"]["behaviors"] == {"New IP": "POSITIVE", "New City": "NEGATIVE"}


def test_blanks_within_the_values_of_a_json_risk_change_nothing_that_rules_read() -> None:
    made = debug({"risk": '{"level": " HIGH ", "reasons": [" A ", "B"]}', "behaviors": '{"New IP": " POSITIVE"}'})
    assert (made["risk_level"], made["risk_reasons"], made["risk_behaviors"]) == ("HIGH", ["A", "B"], ["New IP"])


def test_a_comma_in_the_name_of_a_behavior_is_part_of_the_name() -> None:
    made = debug({"behaviors": "{New IP=POSITIVE, VPN,Tor=POSITIVE}"})
    assert made["risk_behaviors"] == ["New IP", "VPN,Tor"]


@pytest.mark.parametrize("empty", ["{}", "{ }", " {} ", "\n{\t}"])
def test_empty_behaviors_and_an_empty_risk_with_blanks_are_nothing(empty: str) -> None:
    assert debug({"behaviors": empty, "risk": empty}) is None


@pytest.mark.long
@pytest.mark.parametrize(
    "unit", ["a, ", ", ", ",", "a=b, ", " ", "{", "}", "=", "a ", ",  ", "a=b,", "\t", ", a ", "{a=b}, "], ids=repr
)
@pytest.mark.parametrize("key", ["risk", "behaviors", "logOnlySecurityData", "tunnels"])
def test_reading_a_string_takes_time_in_step_with_its_length(key: str, unit: str) -> None:
    def seconds(length: int) -> float:
        written = (unit * length)[:length]
        event = event_of(bare(debugContext={"debugData": {key: "{" + written}}))
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            document(event, DocumentOptions())
            best = min(best, time.process_time() - began)
        return best

    seconds(1_000)
    assert seconds(90_000) < 1  # in step it takes 0.05 s at most, by the square a minute


@pytest.mark.parametrize("odd", ["HIGH", "{HIGH}", "Anomalous Device, Anomalous Location"])
def test_an_odd_risk_is_kept_as_it_was(odd: str) -> None:
    made = debug({"risk": odd})
    assert made["flattened"]["risk"] == odd
    assert "risk_level" not in made


@pytest.mark.parametrize(
    ("key", "written", "kept"),
    [
        ("risk", "{level=HIGH, cause={level=LOW, reasons=x}}", {"level": "HIGH", "cause": "{level=LOW, reasons=x}"}),
        ("risk", "{cause={a={b=1,  c=2}, d=3}, level=HIGH} ", {"cause": "{a={b=1,  c=2}, d=3}", "level": "HIGH"}),
        ("behaviors", "{Old={x=1, New IP=POSITIVE}, New City=POSITIVE}", {"Old": "{x=1, New IP=POSITIVE}", "New City": "POSITIVE"}),
        ("risk", "{cause={x=1, level=HIGH}", {"cause": "{x=1", "level": "HIGH"}),
        ("risk", "{cause=}x, level=HIGH}", {"cause": "}x", "level": "HIGH"}),
    ],
)  # fmt: skip
def test_an_object_within_a_risk_or_behaviors_is_a_text_and_changes_no_neighbour(
    key: str, written: str, kept: dict[str, str]
) -> None:
    made = debug({key: written})
    assert made["flattened"][key] == kept
    assert made.get("risk_level", "HIGH") == "HIGH"
    assert made.get("risk_behaviors", ["New City"]) == ["New City"]


def test_a_risk_that_is_an_object_already_is_read_too() -> None:
    made = debug({"risk": {"level": "HIGH", "reasons": ["A", "B"]}, "behaviors": {"New IP": "POSITIVE"}})
    assert (made["risk_level"], made["risk_reasons"], made["risk_behaviors"]) == ("HIGH", ["A", "B"], ["New IP"])


def test_a_risk_and_behaviors_written_as_json_are_read_too() -> None:
    made = debug({"risk": ' {"level": "HIGH", "reasons": "A, B"}', "behaviors": '{"New IP": "POSITIVE"}\n'})
    assert (made["risk_level"], made["risk_reasons"]) == ("HIGH", ["A", "B"])
    assert made["risk_behaviors"] == ["New IP"]
    assert made["flattened"]["risk"] == {"level": "HIGH", "reasons": "A, B"}
    assert debug({"risk": '{"level": "HIGH"'})["flattened"]["risk"] == '{"level": "HIGH"'


def test_what_okta_only_logs_wins_over_what_it_acted_on() -> None:
    logged = json.dumps({"risk": {"level": "MEDIUM", "reasons": "X,Y"}, "behaviors": {"New IP": "POSITIVE"}})
    made = debug({"logOnlySecurityData": logged, "risk": "{level=HIGH, reasons=Z}"})
    assert (made["risk_level"], made["risk_reasons"]) == ("MEDIUM", ["X", "Y"])
    assert "risk_behaviors" not in made
    assert made["flattened"]["logOnlySecurityData"]["behaviors"] == {"New IP": "POSITIVE"}


@pytest.mark.parametrize("key", ["logOnlySecurityData", "tunnels"])
@pytest.mark.parametrize("odd", ["{", "[1", "no JSON", '{"a":1}x'])
def test_a_string_that_is_no_json_is_kept_as_it_was(key: str, odd: str) -> None:
    assert debug({key: odd}) == {"flattened": {key: odd}}


def test_tunnels_are_read() -> None:
    made = debug({"tunnels": '[{"anonymous":true,"operator":"VPN"}]'})
    assert made["flattened"]["tunnels"] == [{"anonymous": True, "operator": "VPN"}]


def test_without_the_flattened_form_every_key_is_a_field_without_spaces_and_dashes() -> None:
    data = {
        "behaviors": "{New Geo-Location=POSITIVE}",
        "clientSecret": "s",
        "dtHash": "d",
        "promptingPolicyTypes": "[X]",
        "a.": "b",
    }
    assert debug(data, remove_flattened_debug=True) == {
        "behaviors": {"New_Geo_Location": "POSITIVE"},
        "risk_behaviors": ["New Geo-Location"],
        "client_secret": "s",
        "dt_hash": "d",
        "promptingPolicyTypes": "[X]",
        "a_": "b",
    }


def test_the_limit_of_keys_holds_for_a_text_that_was_parsed_before() -> None:
    behaviors = {"behaviors": "{" + ", ".join(f"{number}=N" for number in range(110)) + "}"}
    for _ in range(2):
        assert len(debug(behaviors)["flattened"]["behaviors"]) == MAX_KEYS - 1 + 1  # and REST


MANY = {f"k{number}": "v" for number in range(150)}


@pytest.mark.parametrize(
    "odd",
    [
        {"big": MANY},
        MANY,
        {"tunnels": json.dumps([MANY])},
        {"logOnlySecurityData": json.dumps({"odd": MANY, "risk": {"level": "HIGH", "reasons": "x"}})},
        {"logOnlySecurityData": json.dumps({"odd": {"deeper": [MANY, MANY]}, "behaviors": {}})},
    ],
)
@pytest.mark.parametrize("flattened", [True, False])
def test_a_value_with_very_many_keys_costs_no_neighbour_that_rules_read(
    odd: dict[str, Any], *, flattened: bool
) -> None:
    read = {"behaviors": "{New IP=POSITIVE}", "risk": "{level=HIGH, reasons=x}"}
    for data in (odd | read, read | odd):
        made = debug(data, remove_flattened_debug=not flattened)
        found = (made["risk_level"], made["risk_reasons"], made["risk_behaviors"])
        assert found == ("HIGH", ["x"], ["New IP"])


def test_a_small_object_keeps_its_keys_beside_a_large_one() -> None:
    for data in ({"big": MANY, "small": {"a": "b"}}, {"small": {"a": "b"}, "big": MANY}):
        assert debug(data)["flattened"]["small"] == {"a": "b"}


@pytest.mark.parametrize(
    ("data", "kept", "others"),
    [
        ({"flattened": "v"}, {}, {"flattened": "v"}),
        (
            {"device-fingerprint": "fake", "deviceFingerprint": "real"},
            {"device_fingerprint": "real"},
            {"device-fingerprint": "fake"},
        ),
        ({"risk level": "LOW", "risk": "{level=HIGH}"}, {"risk_level": "HIGH"}, {"risk level": "LOW"}),
        ({"url": "u", "request uri": {"a": "b"}}, {"url": "u"}, {"request uri": {"a": "b"}}),
        ({"a b": "one", "a-b": "two"}, {"a_b": "one"}, {"a-b": "two"}),
        ({"a b": "one", "a_b": "two"}, {"a_b": "two"}, {"a b": "one"}),
    ],
)
def test_a_key_that_would_take_the_field_of_another_is_kept_apart(
    data: dict[str, Any], kept: dict[str, Any], others: dict[str, Any]
) -> None:
    made = debug(data, remove_flattened_debug=True)
    assert {name: made[name] for name in kept} == kept
    assert json.loads(made[REST]) == others
    nested = debug({"x": {"a b": "one", "a-b": "two", REST: "three"}}, remove_flattened_debug=True)["x"]
    assert nested["a_b"] == "one"
    assert json.loads(nested[REST]) == {"a-b": "two", REST: "three"}


def test_scopes_may_be_a_list() -> None:
    made = debug({"requestedScopes": ["a", "b"], "grantedScopes": "a"})
    assert (made["requested_scopes"], made["granted_scopes"]) == (["a", "b"], "a")
