import ipaddress
import json
from collections import Counter
from functools import cache
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.event import Source, read_event
from forwarder.core.time import Micros
from forwarder.emulator.events.generator import GeneratedEvent, Generator

ELIGIBLE = sorted(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags)
DOCUMENTATION = [
    ipaddress.ip_network(net) for net in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "2001:db8::/32")
]
NOW: Micros = 1_790_000_000_123_456
GREGORIAN = 0x01B21DD213814000


def generator(seed: int = 7, **shares: Any) -> Generator:
    return Generator(Random(seed), origin="https://org.example.com", **shares)


@cache
def sample(count: int = 600, **shares: float) -> list[GeneratedEvent]:
    made = generator(7, **shares)
    return [made.event(made.event_type(), NOW) for _ in range(count)]


@cache
def hooks(count: int = 600, **shares: float) -> list[dict[str, Any]]:
    """The sample in the hook's shape, decoded once for all tests: change none of them."""
    return [msgspec.json.decode(event.hook) for event in sample(count, **shares)]


def both(event: GeneratedEvent) -> tuple[dict[str, Any], dict[str, Any]]:
    return msgspec.json.decode(event.hook), msgspec.json.decode(event.log)


def known(value: Any) -> Any:
    """`value` with every null taken out, at any depth."""
    if isinstance(value, dict):
        return {key: known(item) for key, item in value.items() if item is not None}
    return [known(item) for item in value] if isinstance(value, list) else value


def test_there_are_as_many_eligible_types_as_okta_documents() -> None:
    assert len(ELIGIBLE) == 264


@pytest.mark.long
@pytest.mark.parametrize("odd", [0.0, 1.0])
def test_an_event_of_every_type_of_the_catalogue_is_read_as_that_event(odd: float) -> None:
    made = generator(edge_case_share=odd)
    for event_type in EVENT_TYPES:
        event = made.event(event_type, NOW)
        for body, source in ((event.hook, Source.HOOK), (event.log, Source.LOG)):
            read = read_event(body, org="acme", source=source, received_at=0)
            assert (read.uuid, read.event_type) == (event.uuid, event_type)
            assert read.published // 1000 == event.published // 1000


def test_a_type_that_okta_adds_later_is_generated_too() -> None:
    hook, _ = both(generator().event("user.teleport.start", NOW))
    assert hook["eventType"] == "user.teleport.start"


@pytest.mark.long
@given(seed=st.integers(), odd=st.sampled_from([0.0, 0.5, 1.0]))
def test_the_same_seed_makes_the_same_events(seed: int, odd: float) -> None:
    first, second = generator(seed, edge_case_share=odd), generator(seed, edge_case_share=odd)
    for _ in range(5):
        assert first.event(first.event_type(), NOW) == second.event(second.event_type(), NOW)


def test_another_seed_makes_other_events() -> None:
    assert generator(1).event("user.session.start", NOW) != generator(2).event("user.session.start", NOW)


@pytest.mark.long
@given(event_type=st.sampled_from(sorted(EVENT_TYPES)), seed=st.integers(), odd=st.sampled_from([0.0, 1.0]))
def test_both_shapes_differ_only_by_nulls_and_the_place_of_the_ip_chain(event_type: str, seed: int, odd: float) -> None:
    hook, log = both(generator(seed, edge_case_share=odd).event(event_type, NOW))
    assert "request" not in hook
    assert "ipChain" not in log["client"]
    chain = hook["client"].pop("ipChain")
    assert known(chain) == known(log.pop("request")["ipChain"])
    assert known(hook) == known(log)


@pytest.mark.long
def test_a_hook_event_has_no_nulls_but_in_change_details_and_a_log_event_spells_them_out() -> None:
    for event in sample(1500):
        hook, log = both(event)
        for target in hook.get("target", ()):
            target.pop("changeDetails", None)
        assert hook == known(hook)
        assert {"id", "zone", "ipAddress"} <= log["client"].keys()
        assert {"device", "target", "insertionTimestamp"} <= log.keys()


@pytest.mark.long
@given(published=st.integers(min_value=0, max_value=4_000_000_000_000_000), seed=st.integers())
def test_the_uuid_is_of_version_1_and_holds_the_time_of_the_event(published: Micros, seed: int) -> None:
    event = generator(seed).event("user.session.start", published)
    uuid = UUID(event.uuid)
    assert uuid.version == 1
    assert (uuid.time - GREGORIAN) // 10_000 == published // 1000


@pytest.mark.long
def test_no_two_events_share_a_uuid() -> None:
    events = sample(6000)
    assert len({event.uuid for event in events}) == len(events)


def test_an_event_names_the_hooks_that_should_deliver_it() -> None:
    for body in both(generator().event("group.user_membership.add", NOW, ["who1", "who2"])):
        assert body["debugContext"]["debugData"]["targetEventHookIds"] == "who1,who2"
    for body in both(generator().event("group.user_membership.add", NOW)):
        assert "targetEventHookIds" not in body["debugContext"]["debugData"]


@pytest.mark.long
def test_common_types_are_frequent_and_rare_ones_occur() -> None:
    seen = Counter(event.event_type for event in sample(6000))
    assert seen["user.authentication.sso"] > 600
    assert seen["user.authentication.sso"] > seen["user.account.lock"] > 0
    assert len(seen) > 150
    assert seen.keys() <= set(ELIGIBLE)


@pytest.mark.long
def test_log_only_share_is_the_share_of_types_that_hooks_cannot_carry() -> None:
    unhooked = sum(event.event_type not in ELIGIBLE for event in sample(2000, log_only_share=0.75))
    assert 1400 < unhooked < 1600


@pytest.mark.long
def test_only_addresses_for_documentation_occur_of_both_kinds() -> None:
    kinds = set()
    for hook in hooks():
        for hop in hook["client"]["ipChain"]:
            address = ipaddress.ip_address(hop["ip"])
            assert any(address in network for network in DOCUMENTATION)
            assert hop["version"] == f"V{address.version}"
            assert hop["ip"] == hook["client"]["ipAddress"]
            kinds.add(address.version)
    assert kinds == {4, 6}


def test_a_job_has_the_system_as_actor_and_almost_no_client() -> None:
    jobs = [hook for hook in hooks() if hook["transaction"]["type"] == "JOB"]
    assert jobs
    for job in jobs:
        assert job["actor"]["type"] == "SystemPrincipal"
        assert job["client"] == {"ipChain": []}
        assert job["securityContext"] == {}


@pytest.mark.long
def test_types_that_declare_change_details_have_them_and_no_others() -> None:
    made = generator()
    for event_type in EVENT_TYPES:
        hook, _ = both(made.event(event_type, NOW))
        changed = [target["changeDetails"] for target in hook.get("target", ()) if "changeDetails" in target]
        assert bool(changed) == ("changeDetails" in EVENT_TYPES[event_type]), event_type
        assert all({"from", "to"} == details.keys() for details in changed)


def test_what_an_admin_changed_keeps_its_nulls_in_both_shapes() -> None:
    event_type = next(name for name in ELIGIBLE if "changeDetails" in EVENT_TYPES[name])
    hook, log = both(generator().event(event_type, NOW))
    (changed,) = (target["changeDetails"] for target in hook["target"] if "changeDetails" in target)
    (twin,) = (target["changeDetails"] for target in log["target"] if "changeDetails" in target)
    assert changed == twin
    assert changed["from"]["zones"] == {"include": None, "exclude": None}


def test_a_failure_has_a_reason() -> None:
    failed = [hook for hook in hooks() if hook["outcome"]["result"] == "FAILURE"]
    assert {"INVALID_CREDENTIALS", "LOCKED_OUT"} <= {hook["outcome"].get("reason") for hook in failed}
    succeeded = [hook for hook in hooks() if hook["outcome"]["result"] == "SUCCESS"]
    assert all("reason" not in hook["outcome"] for hook in succeeded)


def test_the_risk_of_a_sign_in_is_in_oktas_string_formats() -> None:
    hook, _ = both(generator().event("user.session.start", NOW))
    debug = hook["debugContext"]["debugData"]
    assert debug["behaviors"].startswith("{New Geo-Location=")
    assert debug["risk"].endswith("}")
    assert "level=" in debug["risk"]
    assert set(json.loads(debug["logOnlySecurityData"])) == {"risk", "behaviors"}
    assert hook["client"]["zone"] == "null"


def test_there_are_no_edge_cases_by_default() -> None:
    for hook in hooks():
        assert hook["version"] == "0"
        assert len(hook["published"]) == len("2026-01-01T00:00:00.000Z")
        assert hook["displayMessage"]


@pytest.mark.long
def test_without_odd_types_every_event_fits_the_models_of_okta() -> None:
    for hook in hooks(500, edge_case_share=1.0, odd_types=False):
        assert isinstance(hook["version"], str)
        place = hook["client"].get("geographicalContext") or {}
        assert not isinstance(place.get("postalCode"), int)
        assert hook["outcome"]["result"] != "PARTIAL"


@pytest.mark.long
def test_every_edge_case_occurs() -> None:
    bodies = hooks(500, edge_case_share=1.0)
    seen = {
        "microseconds": any(len(body["published"]) == 27 for body in bodies),
        "no address": any(body["client"].get("ipAddress") == "unknown" for body in bodies),
        "number as version": any(body["version"] == 0 for body in bodies),
        "number as postal code": any(
            isinstance((body["client"].get("geographicalContext") or {}).get("postalCode"), int) for body in bodies
        ),
        "unknown key": any("futureContext" in body for body in bodies),
        "later step": any(body["authenticationContext"]["authenticationStep"] for body in bodies),
        "unknown result": any(body["outcome"]["result"] == "PARTIAL" for body in bodies),
        "huge": any(len(json.dumps(body)) > 25_000 for body in bodies),
        "nested debug data": any("OriginalPrincipal" in body["debugContext"]["debugData"] for body in bodies),
        "blank message": any(body["displayMessage"] == "" for body in bodies),
        "no actor": any(not body.get("actor") for body in bodies),
        "explicit nulls": any("insertionTimestamp" in body for body in bodies),
        "no nulls": any("insertionTimestamp" not in body for body in bodies),
    }
    assert all(seen.values()), seen
