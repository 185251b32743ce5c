"""Single addresses in the zone of the action `block_ip`."""

import asyncio
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from forwarder.core.action import ActionState, ActionTarget
from forwarder.core.errors import OktaError, OktaUnreachableError
from forwarder.okta.zones.blocklist import Listed, ZoneFullError, ZoneRefusedError
from forwarder.reaction_runner.zone_action import BlockIp
from tests.fakes.actions import action
from tests.fakes.okta_client import passing
from tests.fakes.okta_zones import refusal
from tests.integration.okta.zones.scene import EGRESS, PROTECTED, Scene

NAME = "forwarder-blocklist"
BAD, WORSE = "203.0.113.7", "2001:db8::7"


@pytest.fixture
def there(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.org.exempt(EGRESS, PROTECTED)
    return scene


def values(scene: Scene) -> list[str]:
    return [entry["value"] for entry in scene.org.named(NAME)["gateways"]]


async def test_an_address_is_added_to_a_new_inactive_zone_and_removed(there: Scene) -> None:
    blocklist = there.blocklist()
    assert not (await blocklist.look(BAD)).listed
    change = await blocklist.add(BAD)
    assert change.left == ()
    assert (values(there), there.org.named(NAME)["status"]) == ([f"{BAD}-{BAD}"], "INACTIVE")
    assert (await blocklist.look(BAD)).listed
    await blocklist.add(WORSE)
    await blocklist.remove(BAD)
    assert values(there) == [f"{WORSE}-{WORSE}"]
    assert not (await blocklist.look(BAD)).listed


async def test_the_zone_is_activated_when_it_is_created_if_the_operator_says_so(there: Scene) -> None:
    blocklist = there.blocklist(activate=True)
    await blocklist.add(BAD)
    assert there.org.named(NAME)["status"] == "ACTIVE"
    there.org.named(NAME)["status"] = "INACTIVE"  # by an admin
    await blocklist.add(WORSE)
    assert there.org.named(NAME)["status"] == "INACTIVE"


async def test_sync_activates_the_zone_of_the_action_too(there: Scene) -> None:
    await there.blocklist().add(BAD)
    (applied,) = await there.sync({}, activate=True)
    assert applied.zone.blocks
    await there.blocklist().add(WORSE)
    assert there.org.named(NAME)["status"] == "ACTIVE"


async def test_the_same_change_again_writes_nothing(there: Scene) -> None:
    blocklist = there.blocklist()
    await blocklist.add(BAD)
    before = len(there.org.changes)
    await blocklist.add(BAD)
    await blocklist.remove(WORSE)
    assert len(there.org.changes) == before


async def test_removing_from_an_org_without_the_zone_is_no_error(there: Scene) -> None:
    await there.blocklist().remove(BAD)
    assert there.org.changes == []


async def test_an_address_within_a_larger_entry_is_there_already_and_stays_when_removed(there: Scene) -> None:
    await there.blocklist().add(WORSE)
    there.org.named(NAME)["gateways"].append({"type": "CIDR", "value": "203.0.113.0/24"})
    assert (await there.blocklist().look(BAD)).listed
    before = len(there.org.changes)
    await there.blocklist().add(BAD)
    await there.blocklist().remove(BAD)
    assert len(there.org.changes) == before


async def test_a_removal_names_the_entries_that_still_block_the_address(there: Scene) -> None:
    blocklist = there.blocklist(activate=True)
    block = BlockIp(lambda _: blocklist)
    row = action("block_ip", target=ActionTarget("ip", BAD), state=ActionState.LIVE)
    assert (await block.call(row, block.request(row, await block.look(row)))).text == ""
    there.org.named(NAME)["gateways"].append({"type": "CIDR", "value": "203.0.113.0/24"})
    theirs = {"gateways": [{"type": "RANGE", "value": f"{BAD}-{BAD}"}], "id": "nzo7", "name": "By hand"}
    there.org.zones["nzo7"] = there.org.named(NAME) | theirs
    seen = await block.look(row)
    assert block.is_ours(row, seen)
    answer = await block.call(row, block.undo_request(row, seen))
    assert answer.ok
    assert set(answer.text.removeprefix("Okta still blocks the address, by ").split(", and by ")) == {
        f"203.0.113.0/24 of the zone {NAME}",
        f"{BAD} of the zone By hand",
    }
    there.org.named(NAME)["status"] = "INACTIVE"
    there.org.named("By hand")["status"] = "INACTIVE"
    assert (await blocklist.remove(BAD)).still == ()


async def test_an_entry_that_became_a_larger_one_is_not_ours(there: Scene) -> None:
    blocklist = there.blocklist(activate=True)
    block = BlockIp(lambda _: blocklist)
    row = action("block_ip", target=ActionTarget("ip", BAD), state=ActionState.LIVE)
    await blocklist.add(BAD)
    there.org.named(NAME)["gateways"] = [{"type": "CIDR", "value": "203.0.113.0/24"}]
    seen = await block.look(row)
    assert (seen.is_there, block.is_ours(row, seen)) == (True, False)
    assert seen.text == "the zone lists 203.0.113.0/24, which contains the address"
    # An undo that was interrupted had removed the entry itself.
    assert block.is_ours(replace(row, state=ActionState.UNDOING), seen)


async def test_entries_that_an_admin_added_survive_as_they_are(there: Scene) -> None:
    await there.blocklist().add(BAD)
    theirs = {"type": "CIDR", "value": "192.0.2.77/28"}
    there.org.named(NAME)["gateways"].append(theirs)
    await there.blocklist().add(WORSE)
    await there.blocklist().remove(BAD)
    assert there.org.named(NAME)["gateways"] == [theirs, {"type": "RANGE", "value": f"{WORSE}-{WORSE}"}]


async def test_the_last_entry_is_replaced_by_an_unused_address_if_okta_takes_no_empty_zone(there: Scene) -> None:
    blocklist = there.blocklist(activate=True)
    await blocklist.add(BAD)
    bodies = there.org.calls

    def no_empty_zone(method: str, _path: str) -> None:
        if method == "PUT" and bodies[-1][2]["gateways"] == []:
            raise refusal(400, text="gateways: must not be empty")

    there.org.before = no_empty_zone
    await blocklist.remove(BAD)
    assert (values(there), there.org.named(NAME)["status"]) == (["192.0.2.1-192.0.2.1"], "ACTIVE")
    await blocklist.add(WORSE)
    assert values(there) == [f"{WORSE}-{WORSE}"]


async def test_a_full_zone_is_refused_before_anything_is_written(there: Scene) -> None:
    await there.blocklist().add(BAD)
    zone = there.org.named(NAME)
    zone["gateways"] = [{"type": "CIDR", "value": f"203.0.{n // 250}.{n % 250}/32"} for n in range(1000)]
    before = len(there.org.changes)
    with pytest.raises(ZoneFullError, match="has 1,000 entries, which is Okta's limit"):
        await there.blocklist().add(WORSE)
    assert len(there.org.changes) == before


async def test_nothing_is_blocked_unless_egress_and_protected_addresses_are_exempt(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.org.exempt(EGRESS)
    with pytest.raises(ZoneRefusedError, match=r"reactions\.protect\.ips"):
        await scene.blocklist().add(BAD)
    assert scene.org.changes == []


@pytest.mark.parametrize("address", [EGRESS, "198.51.100.77"])
async def test_our_own_and_protected_addresses_are_never_added(there: Scene, address: str) -> None:
    with pytest.raises(ZoneRefusedError, match=re.escape(f"{address} would block")):
        await there.blocklist().add(address)
    assert there.org.changes == []


@pytest.mark.parametrize("wrong", ["", "203.0.113.0/24", "203.0.113.1-203.0.113.9", "evil.example"])
async def test_only_one_address_at_a_time_is_taken(there: Scene, wrong: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        await there.blocklist().add(wrong)


async def test_a_zone_of_this_name_that_others_made_is_not_used(there: Scene) -> None:
    there.org.add(NAME, gateways=[{"type": "CIDR", "value": f"{BAD}/32"}])
    for change in (there.blocklist().add(WORSE), there.blocklist().add(BAD), there.blocklist().remove(BAD)):
        with pytest.raises(ZoneRefusedError, match="no record of having made it"):
            await change
    assert there.org.changes == []


async def test_removing_needs_no_exemption_because_it_unblocks(there: Scene) -> None:
    await there.blocklist().add(BAD)
    for zone in there.org.zones.values():
        if zone["system"]:
            zone["gateways"] = None
    await there.blocklist().remove(BAD)
    assert values(there) == []


async def test_many_changes_at_once_lose_none(there: Scene) -> None:
    addresses = [f"203.0.113.{n}" for n in range(12)]
    changes = asyncio.gather(*(there.blocklist().add(address) for address in addresses))
    await passing(there.clock, changes)
    assert sorted(values(there)) == sorted(f"{address}-{address}" for address in addresses)


async def test_a_write_that_others_undo_is_repeated_and_then_is_an_error(there: Scene) -> None:
    await there.blocklist().add(BAD)
    lost: list[str] = []

    def overwrite(method: str, _path: str) -> None:
        if method == "PUT" and len(lost) < 1:
            lost.append("once")
            there.org.named(NAME)["gateways"].pop()

    there.org.after = overwrite
    assert (await there.blocklist().add(WORSE)).left == ()
    assert (await there.blocklist().look(WORSE)).listed

    there.org.after = lambda method, _: method == "PUT" and there.org.named(NAME)["gateways"].pop()
    with pytest.raises(OktaError, match=r"no longer has 203\.0\.113\.99, which was just added"):
        await there.blocklist().add("203.0.113.99")


async def test_the_state_has_the_room_and_the_problems(there: Scene) -> None:
    blocklist = there.blocklist(activate=True)
    empty = await blocklist.state()
    assert (empty.zone_id, empty.blocks, empty.entries, empty.room, empty.problems) == ("", False, 0, 1000, ())
    await blocklist.add(BAD)
    full = await blocklist.state()
    assert (full.blocks, full.entries, full.room, full.problems) == (True, 1, 999, ())
    there.record.path.unlink()
    for zone in there.org.zones.values():
        if zone["system"]:
            zone["gateways"] = None
    lost = await blocklist.state()
    assert ["is not in the zone" in problem for problem in lost.problems] == [True, True, False]
    assert "no record of having made it" in lost.problems[-1]


async def test_an_ipv4_address_in_the_form_of_ipv6_is_the_same_address(there: Scene) -> None:
    await there.blocklist().add(f"::ffff:{BAD}")
    assert values(there) == [f"{BAD}-{BAD}"]
    assert (await there.blocklist().look(BAD)).listed


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_repeated_change_has_the_same_end_whichever_call_failed(
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
    for change in ("add", "add", "add", "remove", "remove"):
        try:
            await getattr(there.blocklist(activate=True), change)(WORSE if change == "remove" else BAD)
            if change == "add":
                await there.blocklist().add(WORSE)
        except OktaUnreachableError:
            continue
    assert values(there) == [f"{BAD}-{BAD}"]
    assert [zone["name"] for zone in there.org.zones.values()] == ["DefaultExemptIpZone", NAME]


async def test_an_address_in_a_zone_whose_making_was_interrupted_is_not_done_yet(there: Scene) -> None:
    blocklist = there.blocklist(activate=True)
    await blocklist.add(BAD)
    zone = there.org.named(NAME)
    assert (await blocklist.look(BAD)) == Listed(listed=True, blocks=True, is_done=True)
    zone["status"] = "INACTIVE"
    assert (await blocklist.look(BAD)) == Listed(listed=True)
    assert (await there.blocklist().look(BAD)) == Listed(listed=True, is_done=True)
    zone["status"], zone["usage"] = "ACTIVE", "POLICY"
    assert (await there.blocklist().look(BAD)) == Listed(listed=True)
    assert (await blocklist.look(WORSE)) == Listed()


async def test_the_action_block_ip_is_done_only_where_the_zone_is_as_configured(there: Scene) -> None:
    block, row = BlockIp(lambda _: there.blocklist()), action("block_ip", target=ActionTarget("ip", BAD))
    assert (await block.call(row, block.request(row, await block.look(row)))).ok
    idle = await block.look(row)
    assert (idle.is_so, idle.is_there) == (True, True)
    assert "blocks nothing yet" in idle.text
    there.org.named(NAME)["usage"] = "POLICY"
    half = await block.look(row)
    assert (half.is_so, half.is_there, block.is_ours(row, half)) == (False, True, True)
    there.org.named(NAME).update(usage="BLOCKLIST", status="ACTIVE")
    assert (await block.look(row)).text == ""
