"""The step for each zone, and the reasons not to change a zone."""

from typing import Any

import pytest

from forwarder.okta.zones.plan import ZonePlan, ZoneStep, plan
from forwarder.okta.zones.settings import ZoneSettings
from forwarder.okta.zones.zone import Zone, desired_zone
from forwarder.okta.zones.zone_record import Made

EMBARGO = ZoneSettings(countries=("IR", "KP"))
HOSTS = ZoneSettings(ips=("203.0.113.7",))


def zone(name: str = "embargo", **changes: Any) -> Zone:
    raw = {
        "type": "DYNAMIC",
        "id": f"nzo-{name}",
        "name": name,
        "status": "ACTIVE",
        "usage": "BLOCKLIST",
        "system": False,
        "locations": [{"country": "KP", "region": None}, {"country": "IR", "region": None}],
    }
    return Zone.read(raw | changes)


def planned(*zones: Zone, made: dict[str, str] | None = None, **changes: Any) -> ZonePlan:
    record = Made({"embargo": "nzo-embargo"} if made is None else made)
    return plan([desired_zone("embargo", EMBARGO)], zones, record, **changes)


def step(*zones: Zone, **changes: Any) -> ZoneStep:
    (only,) = planned(*zones, **changes).steps
    return only


def test_a_missing_zone_is_created_and_an_equal_one_left() -> None:
    assert (step().action, planned().is_empty) == ("create", False)
    assert {each.what: each.wants for each in step().differences} == {"places": ("IR", "KP"), "usage": ("BLOCKLIST",)}
    assert (step(zone()).action, planned(zone()).is_empty) == ("none", True)


def test_only_what_differs_is_shown_and_an_active_blocklist_stays_active() -> None:
    old = zone(locations=[{"country": "IR"}, {"country": "SY"}])
    found = step(old)
    assert found.action == "update"
    assert [(each.what, each.has, each.wants) for each in found.differences] == [("places", ("SY",), ("KP",))]
    assert found.stays_active


def test_a_zone_is_activated_only_on_request() -> None:
    idle = zone(status="INACTIVE")
    assert (step(idle).action, step(idle, activate=True).action) == ("none", "activate")
    half_made = zone(usage="POLICY")
    assert (step(half_made).action, step(half_made).stays_active) == ("update", False)
    assert step(zone(), activate=True).action == "none"


def test_a_zone_that_others_made_is_left_alone_until_it_is_adopted() -> None:
    foreign = step(zone(), made={})
    assert foreign.action == "refuse"
    assert "no record of having made it" in foreign.problem
    assert "forwarder zones sync --adopt 'embargo'" in foreign.problem
    assert step(zone(), made={}, adopt=["embargo"]).action == "none"


def test_a_zone_that_policies_may_use_is_not_even_adopted() -> None:
    assert "policies may use it" in step(zone(usage="POLICY"), made={}, adopt=["embargo"]).problem


def test_a_zone_whose_making_was_interrupted_is_ours() -> None:
    assert step(zone(usage="POLICY"), made={"embargo": ""}).action == "update"


def test_a_zone_of_the_same_name_that_replaced_ours_is_not_ours() -> None:
    assert step(zone(id="nzo-other")).action == "refuse"


def test_a_system_zone_another_type_and_two_of_one_name_are_left_alone() -> None:
    assert "Okta made this zone itself" in step(zone(system=True), adopt=["embargo"]).problem
    assert "cannot change a zone's type" in step(zone(type="DYNAMIC_V2", locations=None)).problem
    assert "2 zones have this name" in step(zone(), zone(id="nzo-2")).problem


def test_a_zone_that_is_not_declared_any_more_is_named_and_one_of_others_is_not() -> None:
    old, foreign, kept = zone("old"), zone("theirs"), zone("forwarder-blocklist")
    made = {"embargo": "nzo-embargo", "old": "nzo-old", "forwarder-blocklist": "nzo-forwarder-blocklist"}
    found = planned(zone(), old, foreign, kept, made=made, kept=["forwarder-blocklist"])
    assert [each.name for each in found.undeclared] == ["old"]
    assert [each.desired.name for each in found.steps] == ["embargo"]


def test_the_limit_of_zones_in_an_org_is_kept_and_system_zones_do_not_count() -> None:
    full = [zone(f"z{n}") for n in range(100)]
    assert "the org has 100 zones already" in step(*full).problem
    system = zone("BlockedIpZone", system=True)
    assert step(*full[:99], system).action == "create"
    assert step(*full[:99], zone()).action == "none"


@pytest.mark.long
def test_the_limit_of_blocked_entries_in_an_org_is_kept() -> None:
    gateways = [{"type": "CIDR", "value": "203.0.113.0/24"}] * 1000
    full = [zone(f"z{n}", type="IP", gateways=gateways, locations=None) for n in range(25)]
    (found,) = plan([desired_zone("hosts", HOSTS)], full, Made({})).steps
    assert "would hold 25,001 entries, and Okta allows 25,000" in found.problem
    policy = zone("p", type="IP", usage="POLICY", gateways=gateways, locations=None)
    (found,) = plan([desired_zone("hosts", HOSTS)], [*full[:24], policy], Made({})).steps
    assert found.action == "create"
