import json
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, Source, read_event
from forwarder.core.time import to_datetime, to_micros
from forwarder.ecs.attributes import log_view
from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.document_for_elastic_pipeline import raw_document
from tests import shared_data
from tests.examples import examples
from tests.shared_data import flat
from tests.unit.ecs.okta_events import RECEIVED, Json, bare, event_of, free, log_events, sign_in


def mapped(raw: Json | bytes, **options: Any) -> dict[str, Any]:
    """The document's fields by dotted name."""
    return flat(document(event_of(raw), DocumentOptions(**options)))


def test_the_least_event_gives_all_constants() -> None:
    assert document(event_of(bare()), DocumentOptions(namespace="acme")) == {
        "@timestamp": "2026-08-21T09:15:33.679Z",
        "ecs": {"version": "8.11.0"},
        "data_stream": {"type": "logs", "dataset": "okta.system", "namespace": "acme"},
        "event": {
            "kind": "event",
            "module": "okta",
            "dataset": "okta.system",
            "outcome": "unknown",
            "id": "dd0583fa-9d40-11f1-803d-5907b4615b10",
            "action": "user.session.start",
            "created": "2026-08-21T09:15:44.913Z",
            "category": ["authentication", "session"],
            "type": ["info", "start"],
        },
        "okta": {"uuid": "dd0583fa-9d40-11f1-803d-5907b4615b10", "event_type": "user.session.start"},
        "tags": ["forwarded", "okta-system", "end-user-visible", "event-hook-eligible", "session", "user"],
    }


def test_a_full_event_fills_every_group() -> None:
    fields = mapped(sign_in())
    assert fields["user.name"] == fields["client.user.name"] == fields["source.user.name"] == "jane.doe@example.com"
    assert fields["user.email"] == fields["client.user.email"] == fields["source.user.email"] == fields["user.name"]
    assert fields["client.user.id"] == fields["source.user.id"] == fields["okta.actor.id"] == "00u1"
    assert "user.id" not in fields
    assert fields["client.ip"] == fields["source.ip"] == fields["okta.client.ip"] == "203.0.113.10"
    assert fields["client.geo.location.lat"] == 43.6567
    assert fields["client.as.organization.name"] == "example isp"
    assert fields["client.domain"] == fields["source.domain"] == "example.net"
    assert fields["user_agent.original"] == "Mozilla/5.0 (X11)"
    assert fields["related.user"] == ["Jane Doe", "jane.doe@example.com"]
    assert fields["related.ip"] == ["203.0.113.10"]
    assert fields["okta.authentication_context.issuer.id"] == "0oa9"
    assert fields["okta.transaction.detail.request_api_token_id"] == "00T1"
    assert fields["okta.device.managed"] is False
    assert fields["okta.request.ip_chain"][0]["geographical_context"]["postal_code"] == "M4M"
    assert not [name for name in fields if name.startswith(("source.geo", "source.as", "event.original"))]


def test_the_interface_leaves_the_provider_alone() -> None:
    fields = mapped(sign_in())
    assert fields["okta.authentication_context.authentication_provider"] == "OKTA_AUTHENTICATION_PROVIDER"
    assert fields["okta.authentication_context.interface"] == "Outlook"


def test_a_device_in_camel_case_gives_the_same_document_as_in_snake_case() -> None:
    snake = {
        "id": "guo1",
        "name": "laptop",
        "os_platform": "OSX",
        "os_version": "12.6.6",
        "managed": False,
        "registered": True,
        "jailbreak": False,
        "secure_hardware_present": "true",
        "disk_encryption_type": "ALL_INTERNAL_VOLUMES",
        "screen_lock_type": "PASSCODE",
        "device_integrator": '{"WSC":{}}',
    }
    camel = {re.sub("_([a-z])", lambda found: found[1].upper(), key): value for key, value in snake.items()}
    for platform in ("platform", "osPlatform"):
        newer = {platform if key == "osPlatform" else key: value for key, value in camel.items()}
        assert _device_of(newer) == _device_of(snake)
    assert _device_of({"deviceIntegrator": {"a": 1}})["device_integrator"] == {"a": 1}
    both = {"os_version": "12", "osVersion": "13", "platform": None, "os_platform": "OSX"}
    assert _device_of(both) == {"os_version": "12", "os_platform": "OSX"}


def _device_of(device: Json) -> Any:
    return document(event_of(bare(device=device)), DocumentOptions())["okta"]["device"]


def test_how_an_authenticator_was_bound_and_checked_is_kept() -> None:
    context = {"bindingMethod": "LOOPBACK", "binaryIdentifier": "com.okta.verify", "validationStatus": "VALID"}
    made = document(event_of(bare(authenticationContext={"authenticatorContext": context})), DocumentOptions())
    assert made["okta"]["authentication_context"]["authenticator_context"] == {
        "binding_method": "LOOPBACK",
        "binary_identifier": "com.okta.verify",
        "validation_status": "VALID",
    }


def test_okta_words_are_taken_literally() -> None:
    raw = sign_in() | {"outcome": {"result": "Success", "reason": "INVALID_CREDENTIALS"}}
    raw["client"] |= {"device": "unknown", "zone": "null"}
    raw["debugContext"]["debugData"] |= {"dtHash": "-", "threatSuspected": "true"}
    fields = mapped(raw)
    assert fields["okta.outcome.result"] == "Success"
    assert fields["okta.outcome.reason"] == "INVALID_CREDENTIALS"
    assert fields["okta.client.device"] == "unknown"
    assert fields["okta.client.zone"] == "null"
    assert fields["okta.debug_context.debug_data.dt_hash"] == "-"
    assert fields["okta.debug_context.debug_data.threat_suspected"] == "true"


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ("SUCCESS", "success"),
        ("Success", "success"),
        ("ALLOW", "success"),
        ("FAILURE", "failure"),
        ("DENY", "failure"),
        ("SKIPPED", "unknown"),
        ("CHALLENGE", "unknown"),
        ("UNKNOWN", "unknown"),
        (None, "unknown"),
        (7, "unknown"),
    ],
)
def test_an_outcome_is_one_of_three(result: object, outcome: str) -> None:
    assert mapped(bare(outcome={"result": result}))["event.outcome"] == outcome


@pytest.mark.parametrize("address", ["null", "", "203.0.113.999", "1.2.3.4 ", "01.2.3.4", "fe80::1%eth0", 7, {"a": 1}])
def test_what_is_no_ip_is_left_out_everywhere(address: object) -> None:
    fields = mapped(bare(client={"ipAddress": address}))
    assert not {"client.ip", "source.ip", "okta.client.ip", "related.ip"} & fields.keys()


@pytest.mark.parametrize("address", ["0.0.0.0", "255.255.255.255", "2001:db8::42", "::ffff:1.2.3.4"])
def test_both_kinds_of_ip_are_kept(address: str) -> None:
    assert mapped(bare(client={"ipAddress": address}))["source.ip"] == address


@pytest.mark.parametrize(("login", "email"), [("a@b", "a@b"), ("@b", None), ("ab", None), ("0oar95", None)])
def test_only_a_login_that_is_an_address_is_an_email(login: str, email: str | None) -> None:
    fields = mapped(bare(actor={"alternateId": login}))
    assert fields["user.name"] == login
    assert fields.get("user.email") == email


@pytest.mark.parametrize(
    ("written", "stamp"),
    [
        ("2026-08-21T09:15:33.679Z", "2026-08-21T09:15:33.679Z"),
        ("2026-08-21T09:15:33Z", "2026-08-21T09:15:33Z"),
        ("2026-08-21T09:15:33.123456Z", "2026-08-21T09:15:33.123456Z"),
        ("2026-08-21T11:15:33.679+02:00", "2026-08-21T09:15:33.679Z"),
        ("2026-08-21T09:15:33.679", "2026-08-21T09:15:33.679Z"),
    ],
)
def test_the_time_is_oktas_own_text_where_that_is_utc(written: str, stamp: str) -> None:
    assert mapped(bare(published=written))["@timestamp"] == stamp


def test_related_users_are_the_actor_and_the_user_that_it_was_done_to_each_once() -> None:
    actor = {"displayName": "Ann", "alternateId": "ann@x.y"}
    assert mapped(bare(actor=actor, target=[{"type": "User", "displayName": "Bob"}]))["related.user"] == [
        "Ann",
        "Bob",
        "ann@x.y",
    ]
    assert mapped(bare(actor=actor | {"alternateId": "Ann"}))["related.user"] == ["Ann"]


def test_options_are_heeded() -> None:
    raw = sign_in()
    event = event_of(raw)
    fields = mapped(raw, preserve_original_event=True, tags=("prod", "forwarded"))
    assert fields["event.original"] == event.body.decode()
    assert fields["tags"][-2:] == ["preserve_original_event", "prod"]
    assert fields["tags"].count("forwarded") == 1


def test_oktas_own_geography_stands_in_for_a_missing_database_when_asked() -> None:
    fields = mapped(sign_in(), okta_geo=True)
    assert fields["source.geo.city_name"] == "Toronto"
    assert fields["source.geo.location.lon"] == -79.34
    assert fields["source.as.number"] == 64496
    assert fields["source.as.organization.name"] == "example isp"


def test_a_type_that_is_not_in_the_catalogue_is_mapped_as_any_other() -> None:
    fields = mapped(bare(eventType="user.hologram.create"))
    assert fields["event.category"] == ["iam"]
    assert fields["event.action"] == "user.hologram.create"
    assert fields["tags"] == ["forwarded", "okta-system"]


@pytest.mark.parametrize("key", sorted(set(sign_in()) - set(bare())))
@pytest.mark.parametrize("junk", ["x", 7, True, [], [1, "x", None], {}, [[{}]], {"a": {"b": [None]}}])
def test_a_value_of_the_wrong_type_costs_its_own_fields_only(key: str, junk: object) -> None:
    whole, damaged = mapped(sign_in()), mapped(sign_in() | {key: junk})
    absent = mapped({k: v for k, v in sign_in().items() if k != key})
    own = {name for name in whole if name not in absent}
    changed = {name for name in whole if damaged.get(name) != whole[name]}
    assert changed <= own | {"related.user", "event.outcome"}


@pytest.mark.parametrize("step", [2**31, -(2**31) - 1, 2**63 - 1, "2147483648"])
def test_a_step_that_elastics_mapping_cannot_hold_is_left_out(step: object) -> None:
    assert "okta.authentication_context.authentication_step" not in mapped(
        bare(authenticationContext={"authenticationStep": step})
    )
    assert mapped(bare(securityContext={"asNumber": step}))["okta.security_context.as.number"] == int(str(step))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(deep for key, inner in value.items() for deep in _paths(inner, (*path, key)))]
    if isinstance(value, list):
        return [path, *(deep for place, inner in enumerate(value) for deep in _paths(inner, (*path, place)))]
    return [path]


def _replaced(raw: Json, path: tuple[Any, ...], junk: Any) -> Json:
    changed = deepcopy(raw)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    return changed


@st.composite
def damaged_events(draw: st.DrawFn) -> Json:
    """A full event in which some values were replaced by any JSON."""
    raw = sign_in()
    for _ in range(draw(st.integers(1, 3))):
        places = [path for path in _paths(raw) if path and path[0] not in ("uuid", "eventType", "published")]
        raw = _replaced(raw, draw(st.sampled_from(places)), draw(free()))
    return raw


_FITS: dict[str, Any] = {
    "keyword": lambda value: isinstance(value, str) or (value and all(isinstance(item, str) for item in value)),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "long": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "flattened": lambda value: isinstance(value, dict) or (value and all(isinstance(item, dict) for item in value)),
    "geo_point": lambda value: value.keys() == {"lat", "lon"},
}


def _unfit(value: dict[str, Any], types: dict[str, str], path: str = "") -> list[str]:
    found = []
    for key, inner in value.items():
        fits = _FITS.get(types.get(path + key, ""))
        if fits:
            found += [] if fits(inner) else [f"{path}{key}: {inner!r}"]
        elif isinstance(inner, dict):
            found += _unfit(inner, types, f"{path}{key}.")
    return found


@pytest.mark.long
@shared_data.needs(shared_data.FIELDS)
@given(damaged_events() | log_events())
@examples(50)
def test_whatever_okta_sends_every_field_fits_elastics_mapping(raw: Json) -> None:
    types = {entry["field"]: entry["type"] for entry in json.loads(shared_data.FIELDS.read_text(encoding="utf-8"))}
    made = document(event_of(raw), DocumentOptions(okta_geo=True))
    types["okta.security_context.as.number"] = "long"  # ours: numbers of networks may have 32 bits without a sign
    assert _unfit(made, types) == []


@pytest.mark.long
@given(damaged_events() | log_events(), st.sampled_from([True, False]))
@examples(50)
def test_whatever_okta_sends_the_document_can_be_written_and_holds_nothing_empty(raw: Json, single: object) -> None:
    made = document(event_of(raw), DocumentOptions(remove_flattened_debug=bool(single)))
    assert msgspec.json.decode(msgspec.json.encode(made)) == made
    assert not [
        name
        for name, value in flat(made).items()
        if value in (None, "", [], {}) and "debug" not in name and "integrator" not in name
    ]


@pytest.mark.long
@given(st.sampled_from(sorted(EVENT_TYPES)))
def test_catalogue_tags_are_the_documents_tags(event_type: str) -> None:
    assert set(mapped(bare(eventType=event_type))["tags"]) == {"forwarded", "okta-system", *EVENT_TYPES[event_type]}


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    body = json.dumps(bare(displayMessage="a\ud800b", debugContext={"debugData": {"\udfff": "\U0001f600"}})).encode()
    fields = mapped(body)
    assert fields["okta.display_message"] == "a\ufffdb"
    assert fields["okta.debug_context.debug_data.flattened.\ufffd"] == "\U0001f600"


def test_a_number_that_nothing_can_hold_becomes_its_text() -> None:
    numbers = '{"huge":123456789012345678901234567890,"far":1e999,"big":9223372036854775808,"fine":1.5}'
    fields = mapped(json.dumps(bare())[:-1].encode() + b',"debugContext":{"debugData":' + numbers.encode() + b"}}")
    debug = {name.rpartition(".")[2]: value for name, value in fields.items() if "flattened" in name}
    assert debug == {
        "huge": "123456789012345678901234567890",
        "far": "1e999",
        "big": "9223372036854775808",
        "fine": 1.5,
    }


def unread(body: bytes) -> Event:
    """An event whose body was never looked at, as an older version may have stored it."""
    return Event("acme", "u1", "a.b", to_micros(to_datetime(RECEIVED)), RECEIVED, Source.HOOK, "", body)


@pytest.mark.parametrize("depth", [30, 300, 900, 100_000])
@pytest.mark.parametrize("key", ["debugContext", "target", "actor", "device", "x"])
@pytest.mark.parametrize("wrap", ['{"debugData":%s}', '{"id":%s}', '[{"id":%s}]', "%s"])
def test_an_event_nested_too_deeply_is_mapped_or_named_but_never_a_recursion_error(
    depth: int, key: str, wrap: str
) -> None:
    for left, right in (("[", "]"), ('{"a":', "}")):
        nest = wrap % (left * depth + "1" + right * depth)
        try:
            made = document(unread(b'{"' + key.encode() + b'":' + nest.encode() + b"}"), DocumentOptions())
        except UnmappableError:
            assert depth > 300
            continue
        msgspec.json.encode(made)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'"x"', b"{", b"\xff\xfe", b"null"])
def test_what_is_no_object_is_named(body: bytes) -> None:
    with pytest.raises(UnmappableError):
        document(unread(body), DocumentOptions())


@pytest.mark.long
@given(st.binary(max_size=200))
def test_any_bytes_are_mapped_or_named(body: bytes) -> None:
    try:
        made = document(unread(body), DocumentOptions())
    except UnmappableError:
        return
    assert isinstance(json.loads(body), dict)
    msgspec.json.encode(made)


@pytest.mark.parametrize("make", [document, raw_document, lambda event, _: log_view(event)])
def test_an_event_with_far_more_values_than_okta_sends_is_not_converted(
    make: Callable[[Event, DocumentOptions], Any],
) -> None:
    def with_targets(number: int) -> Event:
        return event_of(
            bare() | {"target": [{"id": f"t{at}", "type": "User", "alternateId": "a"} for at in range(number)]}
        )

    make(with_targets(20_000), DocumentOptions())
    with pytest.raises(UnmappableError, match="more than 100,000 values"):
        make(with_targets(40_000), DocumentOptions())


@pytest.mark.parametrize("more", ["", ',"half":"\\ud800"', ',"actor":{"id":5}', ',"large":1e400'])
@pytest.mark.parametrize("key", ["uuid", "\\u0075uid"])
def test_of_two_uuids_the_store_and_the_document_take_the_same(key: str, more: str) -> None:
    head = '"uuid":"first","eventType":"user.session.start","published":"2026-01-01T12:00:00Z"'
    body = f'{{{head},"{key}":"last"{more}}}'.encode()
    event = read_event(body, org="acme", source=Source.LOG, received_at=RECEIVED)
    made = document(event, DocumentOptions())
    assert {event.uuid, made["event"]["id"], made["okta"]["uuid"]} == {"last"}
