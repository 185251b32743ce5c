"""Attacks that make the forwarder act on protected users, or keep it from acting."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.action import Action, ActionState, ActionTarget, Claim, EffectKind, Reason, Waits
from forwarder.core.event import digest_of
from forwarder.core.time import SECOND
from forwarder.react.guards.directory import folded
from forwarder.react.guards.judgement import Decision
from forwarder.react.ports import Answer, Seen
from forwarder.react.settings.guards import Limit
from forwarder.react.settings.limits import ProtectSettings
from tests.fakes.actions import USER, action
from tests.unit.react.guard_scene import BREAK_GLASS, Scene, change

GROUP = {"group": "00gstepup", "for": 3600}
STOPPED = {Decision.REFUSE, Decision.WAIT}


@pytest.mark.parametrize(
    "login",
    [
        "breakglass@corp.example",
        "BreakGlass@Corp.Example",
        "BREAKGLASS@CORP.EXAMPLE",
        "\uff42\uff52\uff45\uff41\uff4b\uff47\uff4c\uff41\uff53\uff53@corp.example",  # full width
        "\U0001d41b\U0001d42b\U0001d41e\U0001d41a\U0001d424glass@corp.example",  # mathematical bold
        "breakgla\u017fs@corp.example",  # long s
        "brea\u212aglass@corp.example",  # the Kelvin sign
        "break\u00adglass@corp.example",  # a soft hyphen
        "break\u200bglass@corp.example",  # a space of no width
        "break\x00glass@corp.example",
        "\ufeffbreakglass@corp.example",
        " breakglass@corp.example\n",
        "breakglass\uff20corp.example",
    ],
)
async def test_a_protected_login_is_known_in_every_case_and_form(login: str) -> None:
    scene = Scene(protect=ProtectSettings(users=(login,), admins=False))
    target = ActionTarget("user", BREAK_GLASS, "somebody@else.example")
    assert await scene.verdict(action("revoke_sessions", target=target)) == (Decision.REFUSE, Reason.PROTECTED)
    scene = Scene()
    scene.okta.users[BREAK_GLASS] = login
    assert await scene.verdict(action("revoke_sessions", target=target)) == (Decision.REFUSE, Reason.PROTECTED)


@pytest.mark.long
@given(st.text(min_size=1), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_all_forms_of_a_name_fold_to_one(name: str, form: str) -> None:
    assert folded(unicodedata.normalize(form, name)) == folded(name)  # type: ignore[arg-type]
    assert folded(folded(name)) == folded(name)


async def test_the_login_in_the_event_is_never_believed() -> None:
    """The login in the event is not the login of the user with this id."""
    target = ActionTarget("user", BREAK_GLASS, "jane@corp.example")
    assert await Scene().verdict(action("revoke_sessions", target=target)) == (Decision.REFUSE, Reason.PROTECTED)


@pytest.mark.parametrize(
    "target",
    [
        "me",
        "jane",
        "jane@corp.example",
        "breakglass@corp.example",
        "BREAKGLASS@corp.example",
        "..",
        "../groups/00gglass",
        f"{USER.id}/../{BREAK_GLASS}",
        f"{USER.id}%2f..%2f{BREAK_GLASS}",
        f"{USER.id}?expand=x",
        f"{USER.id}#",
        f"{USER.id}\n",
        f"{USER.id}\x00",
        "%",
        "%s%n",
        "",
        " ",
        "\x1b[31m",
        "\u202e",
        "x" * 5000,
    ],
)
async def test_a_target_that_is_not_a_user_id_is_refused(target: str) -> None:
    scene = Scene()
    scene.okta.users["00uowner"] = "me"
    found = await scene.judge(action("revoke_sessions", target=ActionTarget("user", target, "jane@corp.example")))
    assert (found.verdict, found.reason) == (Decision.REFUSE, Reason.TARGET)
    assert found.detail.isprintable()
    assert all(path.isprintable() and ".." not in path and "%" not in path for path in scene.okta.calls)


@pytest.mark.parametrize("name", ["100%", "a%00b", "x\x00y", "tab\there", "\x1b[2J", "line\nbreak", "%n%s", "\u202e"])
async def test_odd_characters_in_the_names_of_groups_and_logins_change_nothing(name: str) -> None:
    scene = Scene(protect=ProtectSettings(groups=(name,), admins=False))
    scene.okta.groups["00godd"] = name
    scene.okta.users[USER.id] = f"{name}@corp.example"
    assert await scene.verdict(action("revoke_sessions")) == (Decision.GO, None)
    scene.okta.members["00godd"] = {USER.id}
    await scene.clock.advance(61)
    found = await scene.judge(action("revoke_sessions", 1))
    assert (found.verdict, found.reason) == (Decision.REFUSE, Reason.PROTECTED)
    assert found.detail.isprintable()


@pytest.mark.parametrize("decided_after", [0, 1, 9, 59, 600])
@pytest.mark.parametrize("way", ["role", "group role", "protected group", "renamed to a protected login"])
async def test_an_action_on_a_user_who_becomes_an_admin_during_the_approval_is_refused(
    way: str, decided_after: int
) -> None:
    scene = Scene()
    scene.okta.members["00gops"] = {USER.id}
    row = scene.waits(action("suspend"), await scene.judge(action("suspend")))
    assert row.waits_for is Waits.APPROVAL
    if way == "role":
        scene.okta.user_roles[USER.id] = ["APP_ADMIN"]
    elif way == "group role":
        scene.okta.group_roles["00gops"] = ["APP_ADMIN"]
    elif way == "protected group":
        scene.okta.members["00gglass"] = {USER.id}
    else:
        scene.okta.users[USER.id] = "breakglass@corp.example"
    await scene.clock.advance(decided_after)
    assert await scene.verdict(scene.approve(row)) == (Decision.REFUSE, Reason.PROTECTED)


@pytest.mark.parametrize("waits_for", [Waits.CONFIRMATION, Waits.RETRY])
async def test_a_new_admin_is_protected_from_a_waiting_action_after_ten_seconds(waits_for: Waits) -> None:
    scene = Scene()
    row = action("add_to_group", settings=GROUP)
    assert await scene.verdict(row) == (Decision.GO, None)
    scene.okta.user_roles[USER.id] = ["APP_ADMIN"]
    await scene.clock.advance(11)
    waiting = change(row, state=ActionState.WAITING, waits_for=waits_for)
    assert await scene.verdict(waiting) == (Decision.REFUSE, Reason.PROTECTED)


async def test_a_look_up_is_used_for_a_minute_at_most() -> None:
    scene = Scene()
    assert await scene.verdict(action("revoke_sessions")) == (Decision.GO, None)
    scene.okta.user_roles[USER.id] = ["APP_ADMIN"]
    await scene.clock.advance(60)
    assert await scene.verdict(action("revoke_sessions", 1)) == (Decision.GO, None)
    await scene.clock.advance(1)
    assert await scene.verdict(action("revoke_sessions", 2)) == (Decision.REFUSE, Reason.PROTECTED)


@pytest.mark.long
async def test_a_flood_uses_up_the_limit_of_one_kind_and_sessions_are_still_revoked() -> None:
    scene = Scene()
    scene.store.polled = {f"event-{number}" for number in range(1000)}
    for number in range(500):
        user = ActionTarget("user", f"00uflood{number:012}")
        scene.okta.users[user.id] = f"user{number}@corp.example"
        await scene.carry_out(action("add_to_group", number, settings=GROUP, target=user, rule="cheap"))
        await scene.carry_out(action("notify", number, rule="cheap"))
    flooded = action("add_to_group", 900, settings=GROUP)
    found = await scene.judge(flooded)
    assert found.approval is not None
    assert (found.reason, found.approval.limit) == (Reason.LIMIT, "timed")
    assert await scene.verdict(action("revoke_sessions", 901)) == (Decision.GO, None)
    assert await scene.verdict(action("prompt", 902)) == (Decision.GO, None)


@pytest.mark.long
async def test_a_flood_over_a_limit_needs_few_calls_and_no_protected_user_is_touched() -> None:
    scene = Scene(limits={"per_rule": Limit(1, 3600)})
    rows = []
    for number in range(300):
        user = ActionTarget("user", f"00uflood{number:012}")
        scene.okta.users[user.id] = "breakglass@corp.example" if number == 299 else f"user{number}@corp.example"
        row = action("revoke_sessions", number, target=user, rule="cheap")
        found = await scene.judge(row)
        if found.verdict is Decision.GO:
            scene.done(row)
        else:
            rows.append(scene.waits(row, found))
    assert len(scene.okta.calls) <= 3 * 21
    assert {row.reason for row in rows} == {Reason.LIMIT}
    assert await scene.verdict(scene.approve(rows[-1])) == (Decision.REFUSE, Reason.PROTECTED)
    assert await scene.verdict(scene.approve(rows[0])) == (Decision.GO, None)
    assert await scene.verdict(action("revoke_sessions", 900)) == (Decision.GO, None)


async def test_a_flood_on_one_rule_does_not_use_up_the_limits_of_other_rules() -> None:
    scene = Scene(limits={"per_rule": Limit(20, 3600)})
    for number in range(50):
        user = ActionTarget("user", f"00uflood{number:012}")
        scene.okta.users[user.id] = f"user{number}@corp.example"
        await scene.carry_out(action("revoke_sessions", number, target=user, rule="cheap"))
    assert (await scene.judge(action("revoke_sessions", 90, rule="cheap"))).reason is Reason.LIMIT
    assert await scene.verdict(action("revoke_sessions", 91)) == (Decision.GO, None)


@pytest.mark.long
async def test_a_flood_of_forged_events_changes_no_user_and_needs_few_calls() -> None:
    scene = Scene()
    scene.okta.log.clear()
    rows = [action("add_to_group", number, settings=GROUP) for number in range(300)]
    for _ in range(12):
        for index, row in enumerate(rows):
            found = await scene.judge(row)
            assert found.verdict is Decision.WAIT
            rows[index] = scene.waits(row, found)
        await scene.clock.advance(5)
    assert scene.okta.calls.count("/api/v1/logs") <= 20
    assert len(scene.okta.calls) < 100


REAL = {
    "uuid": "event-0",
    "eventType": "user.session.start",
    "published": "2026-01-01T12:00:00.000Z",
    "actor": {"id": "00umallory", "type": "User"},
    "outcome": {"result": "SUCCESS"},
}
FORGED = [
    REAL | {"actor": {"id": USER.id, "type": "User"}},
    REAL | {"eventType": "security.breached_credential.detected"},
    REAL | {"target": [{"id": USER.id, "type": "User"}]},
    REAL | {"published": "2026-01-01T12:00:01.000Z"},
    REAL | {"outcome": {"result": "FAILURE"}},
    REAL | {"client": {"ipAddress": "203.0.113.9"}},
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("name", ["add_to_group", "prompt"])
async def test_a_forged_event_under_the_uuid_of_a_real_one_is_refused_once_the_log_is_asked(
    forged: dict[str, Any], name: str
) -> None:
    scene = Scene()
    scene.okta.events["event-0"] = REAL
    scene.store.claimed["event-0"] = Claim(digest_of(forged))
    found = await scene.judge(action(name, settings=GROUP, events=("event-0",)))
    assert (found.verdict, found.reason) == (Decision.REFUSE, Reason.UNCONFIRMED)
    assert "event-0" in found.detail
    assert "forged or edited" in found.detail
    scene.store.claimed["event-0"] = Claim(digest_of(REAL))
    scene.reload(scene.settings)
    assert await scene.verdict(action(name, 1, settings=GROUP, events=("event-0",))) == (Decision.GO, None)


async def test_a_forged_event_under_the_uuid_of_a_real_one_is_refused_once_a_poll_shows_it() -> None:
    scene = Scene()
    scene.store.claimed["event-0"] = Claim(b"forged", logged=False)
    found = await scene.judge(action("add_to_group", settings=GROUP, events=("event-1", "event-0")))
    assert (found.verdict, found.reason) == (Decision.REFUSE, Reason.UNCONFIRMED)
    assert await scene.verdict(action("revoke_sessions", events=("event-0",))) == (Decision.GO, None)


async def test_a_forged_event_does_not_extend_an_effect() -> None:
    scene = Scene()
    assert await scene.carry_out(action("add_to_group", settings=GROUP))
    scene.looks.seen = Seen(Answer(200), "member", is_so=True)
    found = await scene.judge(action("add_to_group", 1, settings=GROUP, events=("forged",)))
    assert (found.verdict, found.reason, found.moves) == (Decision.WAIT, Reason.UNCONFIRMED, "")


async def test_a_malformed_uuid_is_not_put_into_a_filter() -> None:
    scene = Scene()
    row = action("add_to_group", settings=GROUP, events=('x" or eventType pr or uuid eq "x',))
    assert (await scene.judge(row)).reason is Reason.UNCONFIRMED
    assert "/api/v1/logs" not in scene.okta.calls


async def test_our_own_change_of_a_group_feeds_no_rule() -> None:
    scene = Scene()
    ours = change(scene.done(action("add_to_group", settings=GROUP)), request_id="req-1")
    scene.memory.put(ours)
    for made_by in (("0oaforwarder", "t-1"), ("00uadmin", "00Tforwarder", "t-2"), ("00uadmin", "req-1")):
        row = action("revoke_sessions", 1, rule="group_changed", made_by=made_by)
        assert await scene.verdict(row) == (Decision.REFUSE, Reason.OWN)


# Whatever Okta answers


def malformed() -> st.SearchStrategy[Answer]:
    bodies: st.SearchStrategy[Any] = st.sampled_from(
        [
            None,
            {},
            "text",
            7,
            [1],
            [None],
            [{}],
            [{"id": "00g1"}],
            [{"profile": {"name": "x"}}],
            [{"id": 5, "profile": {"name": "x"}}],
            [{"id": "00g1", "profile": None}],
            {"id": USER.id},
            {"id": USER.id, "profile": {}},
            {"id": USER.id, "profile": {"login": ""}},
            {"id": USER.id, "profile": {"login": 5}},
            {"id": "00uanother", "profile": {"login": "x@corp.example"}},
        ]
    )
    failures = st.sampled_from([0, 301, 400, 401, 403, 404, 408, 429, 500, 503])
    return st.one_of(bodies.map(lambda body: Answer(200, body)), failures.map(Answer))


def protections() -> st.SearchStrategy[set[str]]:
    return st.sets(st.sampled_from(["login", "group", "role", "group role"]), min_size=1)


def protect(scene: Scene, ways: set[str], groups: int) -> None:
    for number in range(groups):
        scene.okta.groups[f"00g{number}"] = f"Group {number}"
        scene.okta.members[f"00g{number}"] = {USER.id}
    if "login" in ways:
        scene.okta.users[USER.id] = "BreakGlass@corp.example"
    if "group" in ways:
        scene.okta.members["00gglass"] = {USER.id}
    if "role" in ways:
        scene.okta.user_roles[USER.id] = ["SUPER_ADMIN"]
    if "group role" in ways:
        scene.okta.members["00gops"] = {USER.id}
        scene.okta.group_roles["00gops"] = ["SUPER_ADMIN"]


@pytest.mark.long
@given(
    ways=protections(),
    groups=st.integers(0, 6),
    spoiled=st.lists(st.none() | malformed(), max_size=30),
    pauses=st.lists(st.sampled_from([0, 1, 5, 11, 61]), min_size=1, max_size=6),
    name=st.sampled_from(["revoke_sessions", "user_risk", "add_to_group", "prompt", "expire_password"]),
    mode=st.sampled_from(["enforce", "shadow"]),
)
async def test_no_sequence_of_answers_lets_a_protected_target_through(  # all that is drawn
    ways: set[str], groups: int, spoiled: list[Answer | None], pauses: list[int], name: str, mode: str
) -> None:
    scene = Scene()
    protect(scene, ways, groups)
    answers = iter(spoiled)
    scene.okta.spoil = lambda path: next(answers, None) if path != "/api/v1/logs" else None
    row: Action = action(name, settings={**GROUP, "approve": False}, mode=mode)
    for pause in pauses:
        found = await scene.judge(row)
        assert found.verdict in STOPPED
        assert found.reason in {Reason.PROTECTED, Reason.TARGET}
        if found.verdict is Decision.REFUSE:
            break
        row = scene.waits(row, found)
        await scene.clock.advance(pause)


@pytest.mark.long
@given(
    spoiled=st.lists(st.none() | malformed(), min_size=1, max_size=12),
    name=st.sampled_from(["revoke_sessions", "add_to_group"]),
)
async def test_an_action_goes_only_if_each_look_up_of_its_user_succeeded(
    spoiled: list[Answer | None], name: str
) -> None:
    scene = Scene()
    scene.okta.members["00gops"] = {USER.id}
    answers = iter(spoiled)
    given_away: list[Answer | None] = []

    def spoil(path: str) -> Answer | None:
        if path == "/api/v1/logs":
            return None
        given_away.append(next(answers, None))
        return given_away[-1]

    scene.okta.spoil = spoil
    found = await scene.judge(action(name, settings=GROUP))
    assert (found.verdict is Decision.GO) == all(answer is None for answer in given_away)


@pytest.mark.long
@given(
    order=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 900)), max_size=40),
    limits=st.fixed_dictionaries(
        {"per_user": st.integers(1, 3), "per_rule": st.integers(1, 5), "mending": st.integers(1, 6)}
    ),
)
async def test_no_sequence_of_alerts_exceeds_a_limit(order: list[tuple[int, int, int]], limits: dict[str, int]) -> None:
    scene = Scene(limits={name: Limit(count, 1800) for name, count in limits.items()}, fresh=1e9)
    done: list[Action] = []
    for number, (user, rule, pause) in enumerate(order):
        target = ActionTarget("user", f"00uuser{user}")
        scene.okta.users[target.id] = f"user{user}@corp.example"
        name = ("revoke_sessions", "expire_password")[number % 2]
        settings = {"approve": False}
        row = action(name, number // 2, target=target, rule=f"rule-{rule}", settings=settings)
        if await scene.carry_out(row):
            done.append(change(row, called_at=scene.now))
        await scene.clock.advance(pause)
    for row in done:
        assert row.called_at is not None
        window = [one for one in done if row.called_at - 1800 * SECOND < (one.called_at or 0) <= row.called_at]
        users = {one.alert for one in window if one.target == row.target}
        rules = {one.alert for one in window if one.rule == row.rule}
        actions = {one.key for one in window if one.kind is EffectKind.MENDING}
        assert len(users) <= limits["per_user"]
        assert len(rules) <= limits["per_rule"]
        assert len(actions) <= limits["mending"]


@pytest.mark.long
async def test_a_flood_of_forged_users_costs_few_look_ups_and_lets_a_genuine_alert_through() -> None:
    scene = Scene()
    for number in range(600):
        forged = ActionTarget("user", f"00uforged{number}")
        for name in ("revoke_sessions", "suspend"):
            one = action(name, alert=f"forged-{number}", target=forged, events=(f"never-{number}",))
            assert await scene.verdict(one) in {(verdict, reason) for verdict in STOPPED for reason in Reason}
    asked = [path for path in scene.okta.calls if path.startswith("/api/v1/users/")]
    assert len(asked) < 30
    genuine = action("revoke_sessions", alert="genuine", events=("event-1",))
    scene.store.polled.add("event-1")
    assert (await scene.judge(genuine)).verdict is Decision.GO
    await scene.clock.advance(61)
    await scene.verdict(action("revoke_sessions", alert="later", target=ActionTarget("user", "00uforged1")))
    assert len([path for path in scene.okta.calls if path.startswith("/api/v1/users/")]) > len(asked)
