"""Declared zones are created, updated and activated as safely as Okta allows."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from forwarder.clock import SystemClock
from forwarder.config.types import Secret
from forwarder.core.errors import OktaError, OktaRefusedError, OktaUnreachableError
from forwarder.okta.api.client import OktaClient
from forwarder.okta.settings import ApiSettings
from forwarder.okta.zones.admin import ZoneAdmin
from forwarder.okta.zones.forwarder_addresses import Egress
from tests.fakes.okta_client import passing
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.okta_zones import refusal
from tests.integration.okta.zones.scene import EGRESS, PROTECTED, Scene

EMBARGO = {"embargo": {"countries": ["IR", "KP"]}}
HOSTS = {"hosts": {"ips": ["203.0.113.7", "203.0.113.8/30"]}}


@pytest.fixture
def there(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.org.exempt(EGRESS, PROTECTED)
    return scene


async def test_a_new_zone_never_blocks_before_it_is_activated(there: Scene) -> None:
    blocking: list[str] = []

    def watch(_method: str, _path: str) -> None:
        blocking.extend(
            zone["name"]
            for zone in there.org.zones.values()
            if zone["usage"] == "BLOCKLIST" and zone["status"] == "ACTIVE"
        )

    there.org.after = watch
    (applied,) = await there.sync(EMBARGO)
    assert blocking == []
    assert [(method, what) for method, what in there.org.changes] == [("POST", "zone"), ("PUT", "zone")]
    zone = there.org.named("embargo")
    assert (zone["status"], zone["usage"], applied.left, applied.zone.blocks) == ("INACTIVE", "BLOCKLIST", (), False)
    (applied,) = await there.sync(EMBARGO, activate=True)
    assert (applied.zone.blocks, blocking) == (True, ["embargo"])
    assert there.org.changes[2:] == [("POST", "/activate")]
    assert (await there.look(EMBARGO)).plan.is_empty


async def test_one_command_can_create_and_activate(there: Scene) -> None:
    (applied,) = await there.sync(HOSTS, activate=True)
    assert applied.zone.blocks
    assert there.org.changes == [("POST", "zone"), ("PUT", "zone"), ("POST", "/activate")]
    assert there.org.named("hosts")["gateways"] == [
        {"type": "RANGE", "value": "203.0.113.7-203.0.113.7"},
        {"type": "CIDR", "value": "203.0.113.8/30"},
    ]


@pytest.mark.long
async def test_a_large_address_zone_is_created_although_a_policy_zone_holds_only_150(there: Scene) -> None:
    many = {"hosts": {"ips": [f"203.0.{n // 250}.{n % 250}" for n in range(1000)]}}
    (applied,) = await there.sync(many)
    assert (len(there.org.named("hosts")["gateways"]), applied.left) == (1000, ())


async def test_an_active_blocklist_is_updated_in_place_and_stays_active(there: Scene) -> None:
    await there.sync(EMBARGO, activate=True)
    (applied,) = await there.sync({"embargo": {"countries": ["IR", "SY"]}})
    assert (applied.zone.blocks, applied.left) == (True, ())
    assert {each["country"] for each in there.org.named("embargo")["locations"]} == {"IR", "SY"}
    assert there.org.changes[3:] == [("PUT", "zone")]


async def test_an_inactive_zone_is_updated_and_stays_inactive(there: Scene) -> None:
    await there.sync(EMBARGO)
    (applied,) = await there.sync({"embargo": {"countries": ["IR"]}})
    assert (applied.zone.status, applied.left) == ("INACTIVE", ())


async def test_nothing_may_be_written_unless_egress_and_protected_addresses_are_exempt(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert "the org has no zone DefaultExemptIpZone" in (await scene.look(EMBARGO)).problems[0]
    scene.org.exempt("198.51.100.0/25")
    assert [problem.partition(" is ")[0] for problem in (await scene.look(EMBARGO)).problems] == [
        f"{EGRESS} (orgs.acme.egress)",
        f"{PROTECTED} (reactions.protect.ips)",
    ]


async def test_a_zone_is_not_activated_if_okta_sees_us_elsewhere_than_we_say(there: Scene) -> None:
    there.org.ip = "9.9.9.9"
    (applied,) = await there.sync(EMBARGO, activate=True)
    assert (applied.zone.status, there.org.named("embargo")["status"]) == ("INACTIVE", "INACTIVE")
    (problem,) = applied.problems
    assert problem.startswith(
        "9.9.9.9 (Okta saw our call zone.update at 2026-11-28T12:00:00.000Z from there) is not in"
    )
    assert (await there.look(EMBARGO)).problems == [problem]


async def test_a_zone_of_others_is_not_touched_until_it_is_adopted(there: Scene) -> None:
    theirs = there.org.add("embargo", type="DYNAMIC", locations=[{"country": "CU", "region": None}], status="INACTIVE")
    assert await there.sync(EMBARGO, activate=True) == []
    assert there.org.changes == []
    (applied,) = await there.sync(EMBARGO, adopt=["embargo"])
    assert (applied.zone.id, applied.zone.status, applied.left) == (theirs["id"], "INACTIVE", ())
    assert (await there.look({"embargo": {"countries": ["IR"]}})).plan.steps[0].action == "update"


async def test_a_zone_that_differs_after_the_write_is_reported(there: Scene) -> None:
    await there.sync(EMBARGO)

    def lose(_method: str, _path: str) -> None:
        there.org.named("embargo")["locations"] = [{"country": "IR", "region": None}]

    there.org.after = lose
    (applied,) = await there.sync({"embargo": {"countries": ["IR", "SY"]}}, activate=True)
    assert [(each.what, each.wants) for each in applied.left] == [("places", ("SY",))]
    assert not applied.zone.blocks  # what is not as declared is not activated


async def test_a_zone_that_okta_activated_by_itself_is_reported(there: Scene) -> None:
    there.org.after = lambda method, _: method == "PUT" and there.org.named("embargo").update(status="ACTIVE")
    (applied,) = await there.sync(EMBARGO)
    assert [(each.what, each.has) for each in applied.left] == [("status", ("ACTIVE",))]


async def test_a_zone_that_others_change_between_plan_and_write_is_left_alone(there: Scene) -> None:
    await there.sync(EMBARGO)
    writer = there.writer
    async with writer.writing():
        found = await there.look({"embargo": {"countries": ["SY"]}})
        there.org.named("embargo")["locations"] = [{"country": "CU", "region": None}]
        with pytest.raises(OktaError, match="someone else changed the zone"):
            await writer.apply(found.plan.steps[0])
    assert there.org.named("embargo")["locations"] == [{"country": "CU", "region": None}]


async def test_a_zone_that_another_command_makes_between_plan_and_write_stays_its_own(there: Scene) -> None:
    found = await there.look(EMBARGO)
    await there.sync(EMBARGO, activate=True)
    with pytest.raises(OktaError, match="someone else created the zone"):
        await there.writer.apply(found.plan.steps[0])
    assert (await there.look(EMBARGO)).plan.steps[0].action == "none"


async def test_an_interrupted_creation_is_finished_by_the_next_command(there: Scene) -> None:
    def lost(method: str, _path: str) -> None:
        if method == "POST":
            raise OktaUnreachableError("the answer was lost")

    there.org.after = lost
    with pytest.raises(OktaUnreachableError):
        await there.sync(EMBARGO)
    assert (there.org.named("embargo")["usage"], there.org.named("embargo")["status"]) == ("POLICY", "ACTIVE")
    there.org.after = lambda *_: None
    (applied,) = await there.sync(EMBARGO)
    assert (applied.zone.usage, applied.zone.status) == ("BLOCKLIST", "INACTIVE")


async def test_a_refused_creation_does_not_make_a_later_zone_of_others_ours(there: Scene) -> None:
    def refuse(_method: str, _path: str) -> None:
        raise refusal(400)

    there.org.before = refuse
    with pytest.raises(OktaRefusedError):
        await there.sync(EMBARGO)
    there.org.before = lambda *_: None
    there.org.add("embargo", type="DYNAMIC", locations=[])
    assert (await there.look(EMBARGO)).plan.steps[0].action == "refuse"


async def test_a_zone_that_is_not_declared_any_more_is_reported_and_stays(there: Scene) -> None:
    await there.sync(EMBARGO | HOSTS, activate=True)
    found = await there.look(HOSTS)
    assert [zone.name for zone in found.plan.undeclared] == ["embargo"]
    assert await there.sync(HOSTS) == []
    assert there.org.named("embargo")["status"] == "ACTIVE"


async def test_all_pages_of_the_list_are_read(there: Scene) -> None:
    for number in range(7):
        there.org.add(f"theirs {number}")
    await there.sync(EMBARGO)
    there.org.page = 3
    found = await there.look(EMBARGO)
    assert (len(found.zones), found.plan.is_empty) == (9, True)


@pytest.mark.long
async def test_a_second_process_waits_for_the_first_and_then_gives_up(there: Scene) -> None:
    writer = there.writer
    async with writer.writing():
        other = there.writer.writing()
        with pytest.raises(OktaError, match="another process has been changing network zones for more than 30 s"):
            await passing(there.clock, other.__aenter__())
    async with there.writer.writing():
        pass


async def test_a_damaged_record_is_an_error_and_changes_nothing(there: Scene) -> None:
    there.record.path.write_text("{")
    with pytest.raises(OktaError, match="is damaged; move it away"):
        await there.sync(EMBARGO)
    assert there.org.changes == []


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_whatever_call_fails_nothing_blocks_too_early_and_the_next_command_ends_the_same(
    tmp_path: Path, number: int, moment: str
) -> None:
    there = Scene(tmp_path)
    there.org.exempt(EGRESS, PROTECTED)
    left = [number]

    def fail(_method: str, _path: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OktaUnreachableError("no response")

    setattr(there.org, moment, fail)
    for _ in range(3):
        with suppress(OktaUnreachableError):
            await there.sync(EMBARGO | HOSTS)
    declared = [there.org.named(name) for name in ("embargo", "hosts")]
    assert [(zone["usage"], zone["status"]) for zone in declared] == [("BLOCKLIST", "INACTIVE")] * 2
    assert len(there.org.zones) == 3
    left[0] = number
    for _ in range(3):
        with suppress(OktaUnreachableError):
            await there.sync(EMBARGO | HOSTS, activate=True)
    assert (await there.look(EMBARGO | HOSTS)).plan.is_empty
    assert [zone["status"] for zone in declared] == ["ACTIVE"] * 2


async def test_the_log_of_an_org_accepts_the_queries_about_our_calls() -> None:
    async with okta_org() as emulator:
        settings = ApiSettings(token=Secret(TOKEN))
        api = OktaClient(emulator.settings.url, settings, 1.0, SystemClock())
        try:
            for client_id in (None, "0oa1exampleexample01"):
                egress = Egress(api, "https://acme.okta.com", SystemClock(), client_id=client_id)
                assert await egress.addresses(["nzo1"]) == []
            made = await ZoneAdmin(api).create({"type": "IP", "name": "x", "usage": "POLICY"})
            events = json.loads((await api.call("GET", "/api/v1/logs")).content)
            assert [event["target"][0]["id"] for event in events if event["eventType"] == "zone.create"] == [made]
        finally:
            await api.close()
