"""The plan of an alert: the actions and their targets, which come only from the alert and the configuration."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.action import KINDS, Action, ActionState, EffectKind, Outcome, Reason
from forwarder.core.alert import to_event
from forwarder.core.event import Event
from forwarder.react.approval_notifications import approval_notifications
from forwarder.react.plan import Plans
from forwarder.react.ports import KnownRule
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.types import Mode
from tests.fakes.alert import SPRAY, alert, trigger
from tests.fakes.clock import NOON

GROUP = {"add_to_group": {"group": "Step-up", "for": "24h"}}
HOOK = {"url": "https://soc.example", "secret": "s"}
JANE = {"id": "00u1", "type": "User", "alternateId": "jane@corp.example", "displayName": "Jane"}
RAVI = {"id": "00u2", "type": "User", "alternateId": "ravi@corp.example"}
SYSTEM = {"id": "sys", "type": "SystemPrincipal", "alternateId": "system@okta.com"}


def plans(*on: dict[str, Any], mode: str = "enforce", name: str = "spray") -> Plans:
    settings = ReactionsSettings.model_validate(
        {
            "mode": mode,
            "webhooks": {"soc": HOOK, "it": HOOK},
            "receivers": {"risk": {"url": "https://r.example", "audience": "r"}},
            "on": list(on),
        }
    )
    return Plans(settings, [KnownRule(SPRAY.id, SPRAY.title, SPRAY.level, name, SPRAY.tags)])


def on(*do: Any, **more: Any) -> dict[str, Any]:
    return {"rule": "spray", "do": list(do)} | more


def event(*, late: bool = False, **more: Any) -> Event:
    return to_event(alert(late=late), trigger(**more), NOON)


def planned(*do: Any, about: Event | None = None) -> list[Action]:
    return plans(on(*do)).plan(about or event(), NOON)


def test_an_action_is_planned_about_the_actor_and_due_at_once() -> None:
    about = event(transaction={"id": "tx1", "detail": {"requestApiTokenId": "00T1"}})
    (action,) = planned({"add_to_group": {"group": "Step-up", "for": "24h"}}, about=about)
    assert (action.name, action.kind, action.state, action.mode) == (
        "add_to_group",
        EffectKind.TIMED,
        ActionState.PLANNED,
        "enforce",
    )
    assert (action.target.kind, action.target.id, action.target.name) == ("user", "00u1", "jane@corp.example")
    assert action.settings == {"for": 86_400, "group": "Step-up"}
    assert (action.due, action.planned_at, action.published) == (NOON, NOON, about.published)
    assert (action.org, action.rule, action.title, action.alert) == ("acme", SPRAY.id, SPRAY.title, about.uuid)
    assert action.events == ["uuid-1", "uuid-2"]
    assert action.made_by == ["00u1", "00T1", "tx1"]
    assert action.trigger == "user.session.start"
    assert action.subject == about.body
    assert not action.late


def test_a_late_alert_is_noted_in_its_actions() -> None:
    assert [action.late for action in planned("revoke_sessions", about=event(late=True))] == [True]


@pytest.mark.parametrize(
    "choice", [{"rule": "spray"}, {"rule": SPRAY.id}, {"tag": "attack.T1110.003"}, {"level": "high"}]
)
def test_an_entry_chooses_alerts_by_name_id_tag_or_level(choice: dict[str, str]) -> None:
    assert len(plans(choice | {"do": ["revoke_sessions"]}).plan(event(), NOON)) == 1


@pytest.mark.parametrize(
    "choice", [{"rule": "other"}, {"rule": SPRAY.title}, {"tag": "attack.t1110"}, {"level": "critical"}]
)
def test_an_entry_does_not_apply_to_other_alerts(choice: dict[str, str]) -> None:
    assert plans(choice | {"do": ["revoke_sessions"]}).plan(event(), NOON) == []


def test_an_entry_may_be_about_some_orgs_only() -> None:
    assert len(plans(on("revoke_sessions", orgs=["acme"])).plan(event(), NOON)) == 1
    assert plans(on("revoke_sessions", orgs=["beta"])).plan(event(), NOON) == []


def test_an_entry_in_mode_off_plans_nothing() -> None:
    assert plans(on("revoke_sessions"), mode="off").plan(event(), NOON) == []
    assert plans(on("revoke_sessions", mode="off")).plan(event(), NOON) == []


@pytest.mark.parametrize(
    ("actor", "target", "user", "expected"),
    [
        (JANE, [RAVI], None, "00u1"),
        (SYSTEM, [RAVI], None, "00u2"),
        (SYSTEM, [{"id": "app", "type": "AppInstance"}, RAVI, RAVI | {"alternateId": "x"}], None, "00u2"),
        (JANE, [RAVI], "target", "00u2"),
        (JANE, [RAVI], "actor", "00u1"),
        (JANE | {"id": "unknown"}, [RAVI], None, "00u2"),
        (None, [RAVI], None, "00u2"),
    ],
)
def test_the_user_is_the_actor_or_the_one_target(actor: Any, target: Any, user: str | None, expected: str) -> None:
    do: dict[str, Any] = {"revoke_sessions": {}} | ({"user": user} if user else {})
    (action,) = planned(do, about=event(actor=actor, target=target))
    assert action.target.id == expected


@pytest.mark.parametrize(
    ("actor", "target", "user", "detail"),
    [
        (SYSTEM, None, None, "the alert has no user, neither as actor nor as target"),
        (SYSTEM, [JANE, RAVI], None, "the alert has 2 users as target (jane@corp.example, ravi@corp.example)"),
        (JANE, [], "target", "the alert has no user as target"),
        (SYSTEM, [RAVI], "actor", "the alert has no user as actor"),
        (JANE | {"id": "../groups/00g1"}, [], None, "the id of the actor does not look like an id of Okta"),
        (JANE | {"id": 17}, [], None, "the id of the actor does not look like an id of Okta"),
        ("jane", "ravi", None, "the alert has no user"),
        (SYSTEM, [RAVI, RAVI | {"id": "a/b"}], None, "the alert has 2 users as target"),
    ],
)
def test_without_one_target_the_action_is_refused(actor: Any, target: Any, user: str | None, detail: str) -> None:
    do: dict[str, Any] = {"revoke_sessions": {}} | ({"user": user} if user else {})
    (action,) = planned(do, about=event(actor=actor, target=target))
    assert (action.state, action.outcome, action.reason) == (ActionState.ENDED, Outcome.REFUSED, Reason.TARGET)
    assert action.detail.startswith(detail)
    assert action.due is None
    assert action.target.id == ""


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("fe80::1%eth0", ""),
        ("203.0.113.9, 198.51.100.1", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_the_address_is_that_of_the_client(written: Any, expected: str) -> None:
    (action,) = planned({"block_ip": {"for": "1h"}}, about=event(client={"ipAddress": written}))
    assert (action.target.kind, action.target.id) == ("ip", expected)
    assert (action.reason is None) == bool(expected)


def test_a_notification_is_about_the_alert_and_needs_no_user() -> None:
    about = event(actor=SYSTEM)
    (action,) = planned({"notify": "soc"}, about=about)
    assert (action.target.kind, action.target.id) == ("alert", about.uuid)
    assert action.settings == {"to": "soc"}


def test_a_receiver_may_be_left_out_if_there_is_only_one() -> None:
    (action,) = planned("risk_event")
    assert action.settings == {"to": "risk", "level": "high"}


def test_the_approval_setting_of_an_entry_is_kept() -> None:
    found = planned(
        {"suspend": {"for": "1h"}},
        {"block_ip": {"for": "1h"}, "approve": False},
        {"expire_password": {}, "approve": {"within": "5m"}},
        {"revoke_sessions": {}, "approve": True},
    )
    assert [action.settings.get("approve") for action in found] == [None, False, {"within": 300}, {}]


def test_the_same_action_of_several_entries_is_planned_once_with_the_longer_time() -> None:
    found = plans(
        on({"suspend": {"for": "1h"}, "approve": False}, {"user_risk": "low"}, {"notify": "soc"}),
        {"level": "high", "do": [{"suspend": {"for": "4h"}}, "user_risk", {"notify": "it"}]},
    ).plan(event(), NOON)
    assert [(action.name, action.settings) for action in found] == [
        ("suspend", {"for": 14_400}),  # one of them asks
        ("user_risk", {"level": "high"}),
        ("notify", {"to": "soc"}),
        ("notify", {"to": "it"}),
    ]


def test_a_stronger_entry_is_not_changed_by_a_weaker_one() -> None:
    found = plans(
        on({"suspend": {"for": "1h"}, "approve": False}),
        {"level": "high", "mode": "shadow", "do": [{"suspend": {"for": "4h"}}, "revoke_sessions"]},
    ).plan(event(), NOON)
    assert [(action.name, action.mode, action.settings) for action in found] == [
        ("suspend", "enforce", {"for": 3600, "approve": False}),
        ("revoke_sessions", "shadow", {}),
    ]


PROMPT = {
    "prompt": {
        "by": "push",
        "then": {
            "denied": [
                {"suspend": {"for": "4h"}, "approve": False},
                {"revoke_sessions": {}, "user": "target"},
                {"block_ip": {"for": "1h"}},
            ],
            "timeout": [{"notify": "soc"}],
            "approved": [{"notify": "soc"}],
        },
    }
}


def test_an_answer_leads_to_its_actions() -> None:
    found = plans(on(PROMPT))
    (prompt,) = found.plan(event(target=[RAVI]), NOON)
    assert prompt.kind is EffectKind.PROMPT
    denied = found.answered(prompt, "denied", NOON + 1)
    assert [(action.name, action.target.id, action.settings) for action in denied] == [
        ("suspend", "00u1", {"for": 14_400, "approve": False}),
        ("revoke_sessions", "00u2", {}),
        ("block_ip", "203.0.113.9", {"for": 3600}),
    ]
    assert {action.parent for action in denied} == {prompt.key}
    assert {action.planned_at for action in denied} == {NOON + 1}
    assert {action.published for action in denied} == {prompt.published}
    (timeout,) = found.answered(prompt, "timeout", NOON)
    (approved,) = found.answered(prompt, "approved", NOON)
    assert timeout.name == approved.name == "notify"
    assert timeout.key != approved.key
    assert found.answered(prompt, "unreachable", NOON) == []


def test_the_actions_after_a_prompt_are_about_the_user_who_was_asked() -> None:
    found = plans(on(PROMPT | {"user": "target"}))
    (prompt,) = found.plan(event(target=[RAVI]), NOON)
    assert found.answered(prompt, "denied", NOON)[0].target.id == "00u2"


def test_no_action_follows_about_a_user_who_was_never_asked() -> None:
    found = plans(on(PROMPT))
    (prompt,) = found.plan(event(actor=SYSTEM), NOON)
    follows = found.answered(prompt, "denied", NOON)
    assert [action.reason for action in follows if action.target.kind == "user"] == [Reason.TARGET] * 2


def test_an_approval_by_the_user_does_nothing_but_notify_whatever_the_row_says() -> None:
    found = plans(on(PROMPT))
    (prompt,) = found.plan(event(), NOON)
    forged = {"approved": [{"do": "revoke_sessions"}, {"do": "notify", "to": "soc"}]}
    prompt = msgspec.structs.replace(prompt, settings={"then": forged})
    assert [action.name for action in found.answered(prompt, "approved", NOON)] == ["notify"]


def test_a_stored_prompt_keeps_the_actions_that_follow_it() -> None:
    found = plans(on(PROMPT))
    (prompt,) = found.plan(event(), NOON)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(prompt), type=Action)
    assert found.answered(stored, "denied", NOON) == found.answered(prompt, "denied", NOON)


def test_the_mode_of_an_action_is_the_strongest_of_the_entries_that_list_it() -> None:
    (revoke,) = planned("revoke_sessions")
    assert plans(on("revoke_sessions", mode="shadow")).mode_of(revoke) == "shadow"
    assert plans(on("revoke_sessions"), on("revoke_sessions", mode="shadow")).mode_of(revoke) == "enforce"
    assert plans(on("revoke_sessions", mode="shadow"), on("user_risk")).mode_of(revoke) == "shadow"


@pytest.mark.parametrize(
    "now",
    [
        {"level": "low", "do": ["revoke_sessions", GROUP]},
        on("user_risk", "revoke_sessions", {"add_to_group": {"group": "Another", "for": "24h"}}),
        on(GROUP, orgs=["another"]),
        on(GROUP, mode="off"),
    ],
)
def test_an_action_that_no_entry_lists_any_more_is_off(now: dict[str, Any]) -> None:
    (add,) = planned(GROUP)
    assert plans(on(GROUP)).mode_of(add) == "enforce"
    assert plans(now).mode_of(add) == "off"


def test_an_action_after_an_answer_is_off_when_no_prompt_lists_it_any_more() -> None:
    before = plans(on(PROMPT))
    (prompt,) = before.plan(event(), NOON)
    (follows, *_) = before.answered(prompt, "denied", NOON)
    assert before.mode_of(follows) == "enforce"
    assert plans(on("user_risk")).mode_of(follows) == "off"


def test_a_request_for_approval_is_sent_as_long_as_its_rule_has_reactions() -> None:
    (revoke,) = planned("revoke_sessions")
    (request,) = approval_notifications(revoke, ["soc"], lambda _: "https://fw.example", NOON)
    assert plans(on("revoke_sessions")).mode_of(request) == "enforce"
    assert plans({"level": "low", "do": ["revoke_sessions"]}).mode_of(request) == "off"


# Laws

_ids = st.sampled_from(["00u1", "00u2", "unknown", "", "../x", None, 5])
_users = st.fixed_dictionaries(
    {"id": _ids, "type": st.sampled_from(["User", "AppUser", "SystemPrincipal", None])},
    optional={"alternateId": st.text(max_size=5)},
)
_alerts = st.builds(
    lambda actor, target, ip, late: event(late=late, actor=actor, target=target, client={"ipAddress": ip}),
    st.none() | _users,
    st.none() | st.lists(_users, max_size=3),
    st.none() | st.ip_addresses().map(str) | st.text(max_size=5),
    st.booleans(),
)
_simple = st.sampled_from(
    [
        "revoke_sessions",
        "universal_logout",
        "expire_password",
        {"user_risk": "low"},
        {"notify": "soc"},
        {"risk_event": "risk"},
        {"suspend": {"for": "1h"}},
        {"suspend": {"for": "2h"}, "approve": False},
        {"block_ip": {"for": "1h"}},
        {"add_to_group": {"group": "denied", "for": "1h"}},
        {"add_to_group": {"group": "soc", "for": "2h"}},
        {"revoke_sessions": {}, "user": "target"},
        PROMPT,
    ]
)
_entries = st.lists(
    st.builds(
        lambda do, mode, choice: choice | {"do": do} | ({"mode": mode} if mode else {}),
        st.lists(_simple, min_size=1, max_size=5),
        st.sampled_from([None, "off", "shadow", "enforce"]),
        st.sampled_from([{"rule": "spray"}, {"level": "high"}, {"tag": "attack.t1110.003"}]),
    ),
    max_size=3,
)
_modes = st.sampled_from(["off", "shadow", "enforce"])


def _everything(found: Plans, about: Event) -> list[Action]:
    rows = found.plan(about, NOON)
    for row in list(rows):
        if row.kind is EffectKind.PROMPT:
            for answer in ("approved", "denied", "timeout", "unreachable", "unknown"):
                rows += found.answered(row, answer, NOON)
    return rows


@pytest.mark.long
@given(_entries, _alerts, _modes)
def test_the_same_alert_has_the_same_keys_each_once(entries: list[dict[str, Any]], about: Event, mode: str) -> None:
    once = _everything(plans(*entries, mode=mode), about)
    again = _everything(plans(*entries, mode=mode), about)
    assert once == again
    assert len({row.key for row in once}) == len(once)


@pytest.mark.long
@given(_entries, _alerts, _modes)
def test_no_plan_goes_beyond_its_alert(entries: list[dict[str, Any]], about: Event, mode: str) -> None:
    raw = msgspec.json.decode(about.body)
    targets = raw.get("target") or []
    known = {user.get("id") for user in [raw.get("actor") or {}, *targets] if user.get("type") == "User"}
    for row in _everything(plans(*entries, mode=mode), about):
        assert row.name in KINDS
        if row.target.kind == "user":
            assert row.target.id in known - {"unknown"} or (not row.target.id and row.state is ActionState.ENDED)
        if row.target.kind == "alert":
            assert row.target.id == about.uuid


@pytest.mark.long
@given(_entries, _alerts, _modes)
def test_no_action_is_stronger_than_the_ceiling(entries: list[dict[str, Any]], about: Event, mode: str) -> None:
    for row in _everything(plans(*entries, mode=mode), about):
        assert row.mode in {"shadow", "enforce"}
        assert Mode(row.mode).strength <= Mode(mode).strength


@pytest.mark.long
@given(_entries, _alerts, _modes)
def test_a_planned_action_keeps_its_mode_as_long_as_nothing_is_reloaded(
    entries: list[dict[str, Any]], about: Event, mode: str
) -> None:
    found = plans(*entries, mode=mode)
    for row in _everything(found, about):
        assert found.mode_of(row).strength >= Mode(row.mode).strength


def test_a_notification_after_an_answer_says_which_answer_it_was() -> None:
    then = {"denied": [{"notify": "soc"}], "timeout": [{"notify": "soc"}]}
    (prompt,) = planned({"prompt": {"by": "push", "then": then}})
    for answer in then:
        (told,) = plans(on({"prompt": {"by": "push", "then": then}})).answered(prompt, answer, NOON)
        assert told.settings["about"] == {"prompt": {"id": prompt.id, "by": "push", "answer": answer}}
