"""Each guard: the actions that it stops, those that it does not stop, and the texts."""

from ipaddress import ip_network
from typing import Any

import pytest

from forwarder.core.action import ASKS, KINDS, Action, ActionState, ActionTarget, EffectKind, Outcome, Reason, Waits
from forwarder.core.time import SECOND
from forwarder.react.guards.judgement import Decision
from forwarder.react.ports import Answer, Seen
from forwarder.react.settings.guards import GuardSettings, Limit
from forwarder.react.settings.limits import ProtectSettings
from tests.fakes.actions import USER, action
from tests.fakes.clock import NOON
from tests.unit.react.guard_scene import BREAK_GLASS, SETTINGS, Scene, by_rule, change

GO = (Decision.GO, None)
GROUP = {"group": "00gstepup", "for": 3600}
NOT_OK = Answer(503, text="Okta is in read-only mode")
CALLS = [name for name in KINDS if name not in ASKS]


def refused(reason: Reason) -> tuple[Decision, Reason]:
    return Decision.REFUSE, reason


@pytest.mark.parametrize("name", CALLS)
async def test_an_action_that_no_guard_stops_goes(name: str) -> None:
    scene = Scene()
    found = await scene.judge(action(name))
    assert (found.verdict, found.reason) == GO
    if name != "prompt":
        assert found.before == {"status": "ACTIVE"}


# off, paused


@pytest.mark.parametrize(
    ("ceiling", "rule", "planned", "mode"),
    [
        ("enforce", "enforce", "enforce", "enforce"),
        ("shadow", "enforce", "enforce", "shadow"),
        ("enforce", "shadow", "enforce", "shadow"),
        ("enforce", "enforce", "shadow", "shadow"),
        ("off", "enforce", "shadow", "off"),
        ("enforce", "off", "shadow", "off"),
        ("shadow", "off", "enforce", "off"),
    ],
)
async def test_the_weakest_mode_applies(ceiling: str, rule: str, planned: str, mode: str) -> None:
    scene = Scene(mode=ceiling, mode_of=by_rule({"push_fatigue": rule}))
    found = await scene.verdict(action("revoke_sessions", mode=planned))
    said = {"enforce": GO, "shadow": (Decision.SHADOW, Reason.SHADOW), "off": refused(Reason.OFF)}
    assert found == said[mode]


@pytest.mark.parametrize("name", CALLS)
async def test_mode_off_stops_everything(name: str) -> None:
    assert await Scene(mode="off").verdict(action(name)) == refused(Reason.OFF)


@pytest.mark.parametrize(("scope", "stops"), [("", True), ("push_fatigue", True), ("notify", True), ("suspend", False)])
async def test_a_pause_stops_the_named_actions_with_its_reason(scope: str, *, stops: bool) -> None:
    scene = Scene()
    scene.pauses = scene.pauses.pause(scope, "a test of the pager", scene.now)
    found = await scene.judge(action("notify"))
    assert (found.verdict, found.reason) == (refused(Reason.PAUSED) if stops else GO)
    if stops:
        assert "a test of the pager" in found.detail
        assert f"forwarder reactions resume {scope}".strip() in found.detail


async def test_a_pause_during_the_look_ups_stops_the_action_too() -> None:
    scene = Scene()

    def pause(path: str) -> None:
        if path.endswith("/roles"):
            scene.pauses = scene.pauses.pause("", "stop", scene.now)

    scene.okta.spoil = pause
    assert await scene.verdict(action("revoke_sessions")) == refused(Reason.PAUSED)


# late


@pytest.mark.parametrize("name", CALLS)
async def test_only_quiet_actions_follow_a_late_event(name: str) -> None:
    late = GO if KINDS[name] is EffectKind.QUIET else refused(Reason.LATE)
    assert await Scene().verdict(action(name, published=NOON - 601 * SECOND)) == late
    assert await Scene().verdict(action(name, published=NOON - 600 * SECOND)) == GO
    assert await Scene().verdict(action(name, late=True)) == late


async def test_an_event_becomes_late_while_its_action_waits() -> None:
    scene = Scene()
    row = change(action("revoke_sessions"), state=ActionState.WAITING, waits_for=Waits.RETRY)
    assert await scene.verdict(row) == GO
    await scene.clock.advance(601)
    assert await scene.verdict(row) == refused(Reason.LATE)


async def test_an_event_of_the_future_is_refused_because_a_clock_is_wrong() -> None:
    found = await Scene().judge(action("revoke_sessions", published=NOON + 61 * SECOND))
    assert (found.verdict, found.reason) == refused(Reason.LATE)
    assert "61s ahead of this machine's clock" in found.detail
    assert await Scene().verdict(action("revoke_sessions", published=NOON + 60 * SECOND)) == GO


# own


@pytest.mark.parametrize("made_by", ["0oaforwarder", "00Tforwarder", "req-7"])
@pytest.mark.parametrize("name", CALLS)
async def test_an_event_with_our_own_credential_is_refused(name: str, made_by: str) -> None:
    scene = Scene()
    scene.memory.put(change(action("revoke_sessions", 50), state=ActionState.ENDED, request_id="req-7", due=None))
    assert await scene.verdict(action(name, made_by=("00uadmin", made_by))) == refused(Reason.OWN)


async def test_what_the_admin_who_made_our_token_does_is_not_our_own() -> None:
    scene = Scene()
    scene.okta.users["00uadmin"] = "admin@corp.example"
    assert await scene.verdict(action("revoke_sessions", made_by=("00uadmin", "00Tanother", "req-8"))) == GO


async def test_a_credential_of_one_org_says_nothing_about_another() -> None:
    scene = Scene()
    assert await scene.verdict(action("revoke_sessions", org="other", made_by=("0oaforwarder",))) == GO


@pytest.mark.parametrize("trigger", ["user.risk.change", "user.risk.detect", "policy.entity_risk.evaluate"])
@pytest.mark.parametrize("name", ["risk_event", "user_risk"])
@pytest.mark.parametrize("report", ["risk_event", "user_risk"])
async def test_a_risk_that_follows_our_report_is_not_reported_again(report: str, name: str, trigger: str) -> None:
    def change_of_risk(after: int, **more: Any) -> Action:
        return action(name, 1, trigger=trigger, published=NOON + after * SECOND, made_by=("okta",), **more)

    scene = Scene()
    scene.okta.users["00uother"] = "other@corp.example"
    assert await scene.verdict(change_of_risk(1)) == GO
    scene.done(action(report, made_by=()))
    for after in (-60, 0, 1, 600):
        assert await scene.verdict(change_of_risk(after)) == refused(Reason.OWN)
    for after in (-61, 601):
        assert await scene.verdict(change_of_risk(after)) == GO
    assert await scene.verdict(change_of_risk(1, target=ActionTarget("user", "00uother"))) == GO
    assert await scene.verdict(change(change_of_risk(1), trigger="user.session.start")) == GO
    assert "echo" in (await scene.judge(change_of_risk(1))).detail


@pytest.mark.parametrize("name", ["revoke_sessions", "notify", "suspend"])
async def test_a_risk_of_oktas_own_after_our_report_still_leads_to_other_actions(name: str) -> None:
    scene = Scene()
    scene.store.polled = {"event-1"}
    scene.done(action("risk_event"))
    assert (await scene.judge(action(name, 1, trigger="user.risk.change"))).reason is not Reason.OWN


async def test_a_report_in_shadow_has_no_echo() -> None:
    scene = Scene()
    scene.memory.put(change(action("risk_event"), state=ActionState.ENDED, outcome=Outcome.SHADOW, due=None))
    assert await scene.verdict(action("risk_event", 1, trigger="user.risk.change")) == GO


# protected


@pytest.mark.parametrize("name", [name for name in CALLS if name != "notify"])
async def test_every_action_on_a_protected_user_except_notify_is_refused(name: str) -> None:
    target = ActionTarget("user", BREAK_GLASS, "breakglass@corp.example")
    found = await Scene().judge(action(name, target=target))
    assert (found.verdict, found.reason) == refused(Reason.PROTECTED)
    assert found.detail == "reactions.protect.users names the user"


async def test_a_protected_user_may_be_named_by_id() -> None:
    scene = Scene(protect=ProtectSettings(users=(USER.id,), admins=False))
    assert await scene.verdict(action("revoke_sessions")) == refused(Reason.PROTECTED)


async def test_members_of_a_protected_group_are_protected_on_every_page_of_the_list() -> None:
    scene = Scene()
    for number in range(5):
        scene.okta.groups[f"00g{number}"] = f"Group {number}"
        scene.okta.members[f"00g{number}"] = {USER.id}
    scene.okta.groups["00gzlast"] = "break-GLASS"
    assert await scene.verdict(action("revoke_sessions")) == GO
    scene.okta.members["00gzlast"] = {USER.id}
    await scene.clock.advance(61)
    found = await scene.judge(action("revoke_sessions", 1))
    assert (found.verdict, found.reason) == refused(Reason.PROTECTED)
    assert "'break-GLASS'" in found.detail


async def test_a_protected_group_may_be_named_by_id() -> None:
    scene = Scene(protect=ProtectSettings(groups=("00gops",), admins=False))
    scene.okta.members["00gops"] = {USER.id}
    assert await scene.verdict(action("revoke_sessions")) == refused(Reason.PROTECTED)


@pytest.mark.parametrize("by_group", [False, True])
async def test_holders_of_an_admin_role_are_protected_also_by_a_group(*, by_group: bool) -> None:
    scene = Scene(protect=ProtectSettings(admins=True))
    scene.okta.members["00gops"] = {USER.id}
    if by_group:
        scene.okta.group_roles["00gops"] = ["HELP_DESK_ADMIN"]
    else:
        scene.okta.user_roles[USER.id] = ["HELP_DESK_ADMIN"]
    found = await scene.judge(action("revoke_sessions"))
    assert (found.verdict, found.reason) == refused(Reason.PROTECTED)
    assert "HELP_DESK_ADMIN" in found.detail
    scene.reload(change(SETTINGS, protect=ProtectSettings(users=("another@corp.example",), admins=False)))
    assert await scene.verdict(action("revoke_sessions", 1)) == GO


async def test_without_anything_to_protect_nobody_is_looked_up() -> None:
    scene = Scene(protect=ProtectSettings(admins=False))
    assert await scene.verdict(action("revoke_sessions")) == GO
    assert scene.okta.calls == []


@pytest.mark.parametrize("failing", ["", "/groups", "/roles"])
@pytest.mark.parametrize("status", [400, 401, 403, 410, 418])
async def test_a_look_up_that_okta_refuses_refuses_the_action(failing: str, status: int) -> None:
    scene = Scene()
    answer = Answer(status, text="needs the scope okta.roles.read")
    scene.okta.spoil = lambda path: answer if path.endswith(failing or USER.id) else None
    found = await scene.judge(action("revoke_sessions"))
    assert (found.verdict, found.reason) == refused(Reason.PROTECTED)
    assert "needs the scope okta.roles.read" in found.detail


@pytest.mark.parametrize("status", [0, 408, 500, 503])
async def test_a_failed_look_up_is_repeated_for_30_seconds(status: int) -> None:
    scene = Scene()
    scene.okta.spoil = lambda _: Answer(status, text="no answer")
    row = action("revoke_sessions")
    for _ in range(6):
        found = await scene.judge(row)
        assert (found.verdict, found.reason, found.waits_for) == (Decision.WAIT, Reason.PROTECTED, Waits.RETRY)
        assert found.until == scene.now + 5 * SECOND
        row = scene.waits(row, found)
        await scene.clock.advance(5)
    assert await scene.verdict(row) == refused(Reason.PROTECTED)


async def test_a_look_up_that_succeeds_again_in_time_lets_the_action_go() -> None:
    scene = Scene()
    scene.okta.spoil = lambda _: NOT_OK
    row = scene.waits(action("revoke_sessions"), await scene.judge(action("revoke_sessions")))
    scene.okta.spoil = lambda _: None
    await scene.clock.advance(5)
    assert await scene.verdict(row) == GO


async def test_a_rate_limited_look_up_waits_for_its_reset_until_the_event_is_late() -> None:
    scene = Scene()
    scene.okta.spoil = lambda _: Answer(429, text="too many", retry_at=scene.now + 40 * SECOND)
    row = action("revoke_sessions")
    for _ in range(15):
        found = await scene.judge(row)
        assert (found.waits_for, found.until) == (Waits.RETRY, scene.now + 40 * SECOND)
        row = scene.waits(row, found)
        await scene.clock.advance(40)
    await scene.clock.advance(1)
    assert await scene.verdict(row) == refused(Reason.LATE)


async def test_in_an_org_without_api_every_action_on_a_user_is_refused() -> None:
    scene = Scene()
    scene.okta.has_api = False
    found = await scene.judge(action("revoke_sessions"))
    assert (found.verdict, found.reason) == refused(Reason.PROTECTED)
    assert "set orgs.acme.api" in found.detail


async def test_an_action_on_a_deleted_user_is_refused() -> None:
    scene = Scene()
    del scene.okta.users[USER.id]
    assert await scene.verdict(action("revoke_sessions")) == refused(Reason.TARGET)


# address


@pytest.mark.long
@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:93.184.216.34",
        "::93.184.216.34",
        "64:ff9b::5db8:d822",
        "2002:5db8:d822::1",
        "2001:0:1::1",
        "93.184.216.0/24",
        "93.184.216.34/32",
        "93.184.216.1-93.184.216.9",
        "93.184.216.34, 8.8.8.8",
        "093.184.216.034",
        "\uff19\uff13.184.216.34",
        "93.184.216.34\n",
        " 93.184.216.34",
        "0x5db8d822",
        "1572395042",
        "",
        "%",
        "unknown",
        "host.example",
    ],
)
async def test_only_one_public_address_can_be_blocked(address: str) -> None:
    found = await Scene().verdict(action("block_ip", target=ActionTarget("ip", address), settings={"approve": False}))
    assert found == refused(Reason.ADDRESS)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "2606:4700:0::1"])
async def test_a_public_address_may_be_blocked(address: str) -> None:
    assert (
        await Scene().verdict(action("block_ip", target=ActionTarget("ip", address), settings={"approve": False})) == GO
    )


@pytest.mark.parametrize(
    ("address", "why"), [("5.5.5.77", "reactions.protect.ips"), ("9.9.9.9", "the forwarder itself")]
)
async def test_a_protected_address_and_our_own_are_never_blocked(address: str, why: str) -> None:
    found = await Scene().judge(action("block_ip", target=ActionTarget("ip", address)))
    assert (found.verdict, found.reason) == refused(Reason.ADDRESS)
    assert why in found.detail


async def test_an_address_that_five_users_came_from_is_never_blocked() -> None:
    scene = Scene()
    scene.store.users = 5
    assert await scene.verdict(action("block_ip")) == refused(Reason.ADDRESS)
    scene.store.users = 4
    assert await scene.verdict(action("block_ip", 1, settings={"approve": False})) == GO


# state, live, hold


async def test_an_effect_that_is_there_already_is_a_no_op() -> None:
    scene = Scene()
    scene.looks.seen = Seen(Answer(200), {"status": "SUSPENDED"}, is_so=True)
    found = await scene.judge(action("suspend"))
    assert (found.verdict, found.reason) == (Decision.NO_OP, Reason.STATE)
    assert (found.before, found.moves) == ({"status": "SUSPENDED"}, "")


async def test_a_repeated_call_whose_effect_is_there_is_no_no_op() -> None:
    """The effect may come from our call whose response was lost, so it must be undone in time."""
    scene = Scene()
    scene.looks.seen = Seen(Answer(200), {"status": "SUSPENDED"}, is_so=True)
    row = change(action("suspend"), state=ActionState.WAITING, waits_for=Waits.RETRY, called_at=NOON)
    assert await scene.verdict(row) == GO


async def test_an_action_on_a_target_that_okta_does_not_know_is_refused() -> None:
    scene = Scene()
    scene.looks.seen = Seen(Answer(404, text="Not found: 00gstepup (UserGroup)"))
    found = await scene.judge(action("add_to_group", settings=GROUP))
    assert (found.verdict, found.reason) == refused(Reason.TARGET)
    assert "00gstepup" in found.detail


async def test_a_look_at_the_target_is_repeated_until_the_event_is_late() -> None:
    scene = Scene()
    scene.looks.seen = Seen(NOT_OK)
    found = await scene.judge(action("add_to_group", settings=GROUP))
    assert (found.verdict, found.reason, found.waits_for) == (Decision.WAIT, Reason.STATE, Waits.RETRY)
    scene.looks.seen = Seen(Answer(403, text="no permission"))
    assert await scene.verdict(action("add_to_group", 1, settings=GROUP)) == refused(Reason.STATE)


async def test_a_second_effect_moves_the_end_of_the_first() -> None:
    scene = Scene()
    first = action("add_to_group", settings=GROUP)
    assert await scene.carry_out(first)
    scene.looks.seen = Seen(Answer(200), True, is_so=True)
    found = await scene.judge(action("add_to_group", 1, settings=GROUP))
    assert (found.verdict, found.reason, found.moves) == (Decision.NO_OP, Reason.LIVE, first.key)


async def test_a_shadow_moves_nothing() -> None:
    scene = Scene()
    assert await scene.carry_out(action("add_to_group", settings=GROUP))
    scene.looks.seen = Seen(Answer(200), True, is_so=True)
    found = await scene.judge(action("add_to_group", 1, settings=GROUP, mode="shadow"))
    assert (found.verdict, found.reason, found.moves) == (Decision.NO_OP, Reason.LIVE, "")


async def test_a_second_effect_waits_while_the_first_is_being_made_or_undone() -> None:
    scene = Scene()
    first = action("add_to_group", settings=GROUP)
    assert (await scene.judge(first)).verdict is Decision.GO
    second = action("add_to_group", 1, settings=GROUP)
    waiting = (Decision.WAIT, Reason.LIVE)
    assert await scene.verdict(second) == waiting  # claimed
    for state in (ActionState.CALLING, ActionState.UNDOING):
        scene.memory.put(change(first, state=state, called_at=scene.now))
        assert await scene.verdict(second) == waiting
    live = scene.done(first)
    scene.memory.put(change(live, undo_due=scene.now))  # to be undone right now
    assert await scene.verdict(second) == waiting
    scene.memory.put(change(live, state=ActionState.ENDED, due=None))
    assert await scene.verdict(second) == GO


async def test_a_live_effect_that_others_undid_is_not_made_again() -> None:
    scene = Scene()
    assert await scene.carry_out(action("add_to_group", settings=GROUP))
    scene.looks.seen = Seen(Answer(200), False, is_so=False)
    assert await scene.verdict(action("add_to_group", 1, settings=GROUP)) == refused(Reason.HOLD)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "notify"])
async def test_a_target_is_held_for_a_day_after_a_human_undid_an_effect_on_it(name: str) -> None:
    scene = Scene(fresh=7 * 86400)
    undone = change(
        scene.done(action("suspend", 100)), state=ActionState.ENDED, due=None, undone_at=scene.now, undone_by="hand:ada"
    )
    scene.memory.put(undone)
    await scene.clock.advance(2 * 3600)  # so that no limit speaks
    assert await scene.verdict(action(name)) == refused(Reason.HOLD)
    await scene.clock.advance(22 * 3600)
    assert await scene.verdict(action(name, 1)) == GO


# unconfirmed


@pytest.mark.parametrize("name", CALLS)
async def test_timed_actions_and_prompts_wait_until_the_system_log_has_the_event(name: str) -> None:
    scene = Scene()
    scene.okta.log.clear()
    row = action(name)
    found = await scene.judge(row)
    if KINDS[name] not in {EffectKind.TIMED, EffectKind.PROMPT}:
        assert (found.verdict, found.reason) == GO
        return
    assert (found.verdict, found.reason) == (Decision.WAIT, Reason.UNCONFIRMED)
    assert (found.waits_for, found.until) == (Waits.CONFIRMATION, scene.now + 5 * SECOND)
    row = scene.waits(row, found)
    scene.okta.log.add("event-0")
    await scene.clock.advance(5)
    assert await scene.verdict(row) == GO


async def test_a_polled_event_needs_no_query() -> None:
    scene = Scene()
    scene.store.polled = {"event-0"}
    assert await scene.verdict(action("add_to_group", settings=GROUP)) == GO
    assert "/api/v1/logs" not in scene.okta.calls


async def test_every_event_of_an_alert_must_be_in_the_log() -> None:
    """Four forged events and a real event would make an alert of five events."""
    scene = Scene()
    scene.okta.log = {"real"}
    row = action("add_to_group", settings=GROUP, events=("forged-1", "forged-2", "real"))
    assert await scene.verdict(row) == (Decision.WAIT, Reason.UNCONFIRMED)
    scene.okta.log |= {"forged-1"}
    scene.store.polled = {"forged-2"}
    assert await scene.verdict(row) == GO


async def test_an_alert_of_a_hundred_events_is_confirmed_in_few_questions() -> None:
    scene = Scene()
    row = action("add_to_group", settings=GROUP, events=tuple(f"event-{number}" for number in range(100)))
    asked = 0
    while (await scene.judge(row)).verdict is not Decision.GO:
        asked += 1
        assert asked < 6
    assert scene.okta.calls.count("/api/v1/logs") <= 5


async def test_an_event_that_never_comes_to_the_log_refuses_the_action_when_it_is_late() -> None:
    scene = Scene()
    scene.okta.log.clear()
    row = action("add_to_group", settings=GROUP)
    for _ in range(100):
        found = await scene.judge(row)
        if found.verdict is not Decision.WAIT:
            break
        row = scene.waits(row, found)
        assert found.until is not None
        assert found.until <= NOON + 600 * SECOND or scene.now >= NOON + 600 * SECOND
        await scene.clock.advance((found.until - scene.now) / SECOND)
    assert (found.verdict, found.reason) == refused(Reason.UNCONFIRMED)
    assert "forged" in found.detail
    assert NOON + 600 * SECOND < scene.now <= NOON + 660 * SECOND


async def test_a_rule_may_confirm_more_kinds() -> None:
    scene = Scene(confirm=frozenset(EffectKind))
    scene.okta.log.clear()
    assert await scene.verdict(action("notify")) == (Decision.WAIT, Reason.UNCONFIRMED)


# limit, approval


@pytest.mark.parametrize("limit", ["per_user", "per_rule", "mending"])
async def test_what_is_over_a_limit_waits_for_a_human(limit: str) -> None:
    scene = Scene(limits={limit: Limit(2, 3600)})
    for number in range(2):
        assert await scene.carry_out(action("revoke_sessions", number))
    third = action("revoke_sessions", 2)
    found = await scene.judge(third)
    assert (found.verdict, found.reason, found.waits_for) == (Decision.WAIT, Reason.LIMIT, Waits.APPROVAL)
    assert found.approval is not None
    assert (found.approval.why, found.approval.until) == (limit, scene.now + 900 * SECOND)
    assert f"more than 2 in 1h (reactions.limits.{limit})" in found.detail
    assert f"forwarder reactions approve {third.id}" in found.detail
    row = scene.approve(scene.waits(third, found))
    assert await scene.verdict(row) == GO


async def test_no_limit_applies_to_quiet_actions() -> None:
    scene = Scene(limits={"per_user": Limit(1, 3600), "per_rule": Limit(1, 3600)})
    assert await scene.carry_out(action("revoke_sessions"))
    for number in range(1, 5):
        assert await scene.carry_out(action("user_risk", number))


async def test_an_approval_that_is_pending_does_not_end_when_the_limit_has_room_again() -> None:
    scene = Scene(limits={"timed": Limit(1, 60)})
    assert await scene.carry_out(action("add_to_group", settings=GROUP))
    second = action("add_to_group", 1, settings={"group": "00gother"})
    row = scene.waits(second, await scene.judge(second))
    await scene.clock.advance(61)
    found = await scene.judge(row)
    assert (found.verdict, found.waits_for) == (Decision.WAIT, Waits.APPROVAL)
    assert found.approval == row.approval


@pytest.mark.parametrize(("name", "settings", "asks"), [
    ("suspend", {}, True),
    ("block_ip", {}, True),
    ("expire_password", {}, True),
    ("revoke_sessions", {}, False),
    ("suspend", {"approve": False}, False),
    ("suspend", {"approve": True}, True),
    ("revoke_sessions", {"approve": True}, True),
    ("revoke_sessions", {"approve": {"within": 60}}, True),
])  # fmt: skip
async def test_a_human_approves_actions_that_ask_unless_the_rule_says_otherwise(
    name: str, settings: dict[str, Any], *, asks: bool
) -> None:
    scene = Scene()
    found = await scene.judge(action(name, settings=settings))
    if not asks:
        assert (found.verdict, found.reason) == GO
        return
    assert (found.verdict, found.reason) == (Decision.WAIT, Reason.APPROVAL)
    assert found.approval is not None
    within = 60 if isinstance(settings.get("approve"), dict) else 900
    assert (found.approval.why, found.approval.until) == ("asks", scene.now + within * SECOND)
    assert found.until == found.approval.until


async def test_an_action_that_no_human_approves_in_time_is_refused() -> None:
    scene = Scene()
    row = scene.waits(action(), await scene.judge(action()))
    await scene.clock.advance(899)
    assert await scene.verdict(row) == (Decision.WAIT, Reason.APPROVAL)
    await scene.clock.advance(1)
    found = await scene.judge(row)
    assert (found.verdict, found.reason) == refused(Reason.APPROVAL)
    assert found.detail == "no human approved the action in time"


async def test_the_time_to_approve_ends_even_while_okta_cannot_be_asked() -> None:
    scene = Scene()
    row = scene.waits(action(), await scene.judge(action()))
    scene.okta.spoil = lambda _: NOT_OK
    await scene.clock.advance(900)
    assert await scene.verdict(row) == refused(Reason.APPROVAL)


async def test_an_action_that_a_human_refuses_is_refused() -> None:
    scene = Scene()
    row = scene.waits(action(), await scene.judge(action()))
    found = await scene.judge(scene.approve(row, given=False))
    assert (found.verdict, found.reason, found.detail) == (*refused(Reason.APPROVAL), "refused by ada")


async def test_a_request_made_in_time_may_be_approved_though_the_event_is_late() -> None:
    scene = Scene()
    row = scene.waits(action(), await scene.judge(action()))
    await scene.clock.advance(899)  # `fresh` is 10 minutes
    approved = scene.approve(row)
    assert await scene.verdict(approved) == GO
    await scene.clock.advance(601)  # it could not be called all that time
    assert await scene.verdict(approved) == refused(Reason.LATE)


async def test_an_approval_after_its_time_approves_nothing() -> None:
    scene = Scene()
    row = scene.waits(action(), await scene.judge(action()))
    await scene.clock.advance(901)
    assert await scene.verdict(scene.approve(row)) == refused(Reason.APPROVAL)


async def test_a_repeated_call_is_neither_limited_nor_asked_about_again() -> None:
    scene = Scene(limits={"per_user": Limit(1, 3600)})
    scene.done(action("revoke_sessions", 1))
    row = change(action("suspend"), state=ActionState.WAITING, waits_for=Waits.RETRY, called_at=NOON)
    assert await scene.verdict(row) == GO


# shadow


async def test_shadow_does_everything_except_the_call() -> None:
    scene = Scene()
    found = await scene.judge(action("revoke_sessions", mode="shadow"))
    assert (found.verdict, found.reason) == (Decision.SHADOW, Reason.SHADOW)
    assert found.before == {"status": "ACTIVE"}


async def test_an_action_in_shadow_never_waits_for_a_human_and_says_that_enforce_would() -> None:
    scene = Scene(limits={"per_user": Limit(1, 3600)})
    found = await scene.judge(action("suspend", mode="shadow"))
    assert (found.verdict, found.reason) == (Decision.SHADOW, Reason.APPROVAL)
    shadow = change(action("revoke_sessions", 1, mode="shadow"), state=ActionState.ENDED, outcome=Outcome.SHADOW)
    scene.memory.put(change(shadow, reason=Reason.SHADOW, due=None))
    over = await scene.judge(action("revoke_sessions", 2, mode="shadow"))
    assert (over.verdict, over.reason) == (Decision.SHADOW, Reason.LIMIT)
    assert "(reactions.limits.per_user); in mode enforce, the action would wait for approval" in over.detail


async def test_actions_in_shadow_do_not_count_for_the_limits_of_enforce() -> None:
    scene = Scene(limits={"per_user": Limit(1, 3600)})
    assert (await scene.judge(action("revoke_sessions", mode="shadow"))).verdict is Decision.SHADOW
    assert await scene.verdict(action("revoke_sessions", 1)) == GO


async def test_actions_in_shadow_wait_for_the_system_log_too() -> None:
    scene = Scene()
    scene.okta.log.clear()
    found = await scene.verdict(action("suspend", mode="shadow"))
    assert found == (Decision.WAIT, Reason.UNCONFIRMED)


# prompts


def asked(number: int, target: ActionTarget = USER, **more: Any) -> Any:
    fields = {"state": ActionState.PROMPTING, "called_at": NOON, **more}
    return change(action("prompt", number, target=target), **fields)


async def test_a_user_gets_one_prompt_at_a_time() -> None:
    scene = Scene()
    scene.memory.put(asked(1))
    found = await scene.judge(action("prompt"))
    assert (found.verdict, found.reason, found.moves) == (Decision.NO_OP, Reason.LIVE, "")


async def test_of_two_prompts_to_one_user_at_once_only_one_is_sent() -> None:
    scene = Scene()
    assert await scene.verdict(action("prompt")) == GO
    assert await scene.verdict(action("prompt", 1)) == (Decision.NO_OP, Reason.LIVE)


async def test_a_second_prompt_in_a_day_waits_for_a_human() -> None:
    scene = Scene()
    scene.memory.put(asked(1, state=ActionState.ENDED, outcome=Outcome.DONE, answer="denied", due=None))
    found = await scene.judge(action("prompt"))
    assert (found.verdict, found.reason, found.waits_for) == (Decision.WAIT, Reason.LIMIT, Waits.APPROVAL)


async def test_a_sixth_prompt_of_an_org_waits_until_one_is_answered() -> None:
    scene = Scene()
    for number in range(5):
        scene.memory.put(asked(number, ActionTarget("user", f"00u{number}")))
    found = await scene.judge(action("prompt", 9))
    assert (found.verdict, found.reason, found.waits_for) == (Decision.WAIT, Reason.LIMIT, Waits.RETRY)
    assert (await scene.judge(action("prompt", 9, mode="shadow"))).verdict is Decision.SHADOW


async def test_the_limits_of_prompts_are_the_settings() -> None:
    scene = Scene(limits={"prompt_per_user": Limit(2, 3600)}, prompts_at_once=1)
    scene.memory.put(asked(1, state=ActionState.ENDED, outcome=Outcome.DONE, answer="denied", due=None))
    assert await scene.verdict(action("prompt")) == (Decision.GO, None)
    scene.memory.put(asked(2, state=ActionState.ENDED, outcome=Outcome.DONE, answer="denied", due=None))
    found = await scene.judge(action("prompt"))
    assert found.approval is not None
    assert (found.reason, found.approval.limit) == (Reason.LIMIT, "prompt_per_user")
    await scene.clock.advance(3600)
    scene.memory.put(asked(3, ActionTarget("user", "00uanother")))
    found = await scene.judge(action("prompt", published=scene.now))
    assert (found.reason, found.waits_for) == (Reason.LIMIT, Waits.RETRY)


# What is protected by now


async def test_live_effects_on_a_newly_protected_user_or_address_are_found() -> None:
    scene = Scene(limits={}, fresh=9999)
    group, blocked = (action("add_to_group", settings=GROUP), action("block_ip", 1, settings={"approve": False}))
    assert await scene.carry_out(group)
    assert await scene.carry_out(blocked)
    assert await scene.guards.newly_protected() == []
    scene.okta.members["00gglass"] = {USER.id}
    await scene.clock.advance(61)
    assert [row.key for row in await scene.guards.newly_protected()] == [group.key]
    protect = ProtectSettings(ips=(*SETTINGS.protect.ips, ip_network("93.184.216.0/24")), admins=False)
    scene.reload(change(scene.settings, protect=protect))
    assert [row.key for row in await scene.guards.newly_protected()] == [blocked.key]


@pytest.mark.long
async def test_users_with_many_live_effects_are_looked_up_in_turns() -> None:
    scene = Scene(limits={})
    scene.store.polled = {f"event-{number}" for number in range(50)}
    rows = []
    for number in range(50):
        target = ActionTarget("user", f"00uuser{number}")
        scene.okta.users[target.id] = f"user{number}@corp.example"
        rows.append(action("add_to_group", number, settings=GROUP, target=target))
        assert await scene.carry_out(rows[-1])
    scene.okta.members["00gglass"] = {"00uuser49"}
    found = []
    for _ in range(3):
        await scene.clock.advance(61)
        before = len(scene.okta.calls)
        found += await scene.guards.newly_protected()
        assert len(scene.okta.calls) - before <= 80
    assert {row.key for row in found} == {rows[49].key}


async def test_an_effect_stays_while_okta_does_not_say_whether_its_user_is_protected() -> None:
    scene = Scene()
    assert await scene.carry_out(action("add_to_group", settings=GROUP))
    await scene.clock.advance(61)
    scene.okta.spoil = lambda _: NOT_OK
    assert await scene.guards.newly_protected() == []


def test_guards_without_settings_are_off() -> None:
    assert GuardSettings().ceiling(action()) == "off"
