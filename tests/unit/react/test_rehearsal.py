"""A rehearsal: what mode enforce would have done, with the plans and guards of the live reactions."""

import json
from pathlib import Path
from typing import Any

from forwarder.core.alert import to_event
from forwarder.core.event import Event, Source
from forwarder.core.time import SECOND, Micros
from forwarder.react.rehearsal import Rehearsal, RehearsedAction
from forwarder.reaction_runner.guard_settings import rehearsal
from forwarder.rules.conditions.condition import TypeIs
from forwarder.rules.conditions.patterns import exactly
from forwarder.rules.evaluation.ruleset import DetectionRule, Ruleset
from forwarder.settings import read
from tests.fakes.alert import SPRAY, alert, trigger
from tests.fakes.clock import NOON

_IS_SPRAY = TypeIs(exactly("user.session.start"))
RULES = Ruleset(
    [
        DetectionRule(
            id=SPRAY.id,
            title=SPRAY.title,
            level=SPRAY.level,
            tags=tuple(SPRAY.tags),
            file=Path("spray.yml"),
            line=1,
            language="filter",
            condition=_IS_SPRAY,
            test=lambda _: True,
        )
    ]
)

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def rehearsed(*do: Any, reactions: dict[str, Any] | None = None, **entry: Any) -> Rehearsal:
    settings = read(
        {
            "orgs": {"acme": {"url": "https://acme.okta.com", "api": {"token": "t0ken", "token_id": "00T1"}}},
            "sinks": {"archive": {"kind": "file", "path": "/tmp/x.ndjson"}},
            "reactions": {
                "protect": {"users": ["breakglass@corp.example"], "ips": ["198.51.100.0/24"]},
                "webhooks": {"soc": {"url": "https://soc.example", "secret": "s"}},
                "on": [{"level": SPRAY.level, "do": list(do)} | entry],
            }
            | (reactions or {}),
        },
        files=False,
    )
    return rehearsal(settings, RULES)


def about(
    user: str = "00u1", at: Micros = NOON, *, first: str = "e1", login: str = "", late: bool = False, **more: Any
) -> Event:
    actor = {"id": user, "type": "User", "alternateId": login or f"{user}@corp.example"}
    window = alert().window
    found = alert(first=first, late=late, window=type(window)(at, at, 0), group={"actor.id": user}, events=(first,))
    return to_event(found, trigger(actor=actor, **more), at)


def outcomes(found: list[RehearsedAction]) -> list[tuple[str, str, str]]:
    return [(one.action, one.verdict, one.reason) for one in found]


def test_actions_are_called_and_those_that_ask_wait_for_a_human() -> None:
    run = rehearsed("revoke_sessions", {"suspend": {"for": "4h"}}, {"notify": "soc"}, {"block_ip": {"for": "1h"}})
    found = run.alert(about(client={"ipAddress": "8.8.8.8"}), NOON + SECOND)
    assert outcomes(found) == [
        ("revoke_sessions", "call", ""),
        ("suspend", "ask", "approval"),
        ("notify", "call", ""),
        ("block_ip", "ask", "approval"),
    ]
    assert [one.target for one in found[:2]] == ["00u1", "00u1"]
    assert {one.at for one in found} == {NOON + SECOND}


def test_a_shadow_entry_is_rehearsed_as_enforced_and_one_that_is_off_is_not() -> None:
    assert outcomes(rehearsed("revoke_sessions", mode="shadow").alert(about(), NOON)) == [
        ("revoke_sessions", "call", "")
    ]
    assert rehearsed("revoke_sessions", mode="off").alert(about(), NOON) == []


def test_refused_actions_have_their_reason() -> None:
    run = rehearsed("revoke_sessions", {"notify": "soc"})
    assert outcomes(run.alert(about(first="e1", late=True), NOON)) == [
        ("revoke_sessions", "refuse", "late"),
        ("notify", "call", ""),
    ]
    run = rehearsed("revoke_sessions")
    assert outcomes(run.alert(about(first="e2"), NOON + 11 * MINUTE)) == [("revoke_sessions", "refuse", "late")]
    protected = about("00u7", NOON + 11 * MINUTE, first="e3", login="BreakGlass@corp.example")
    assert outcomes(run.alert(protected, NOON + 11 * MINUTE)) == [("revoke_sessions", "refuse", "protected")]
    own = about("00u8", NOON + 12 * MINUTE, first="e4", transaction={"detail": {"requestApiTokenId": "00T1"}})
    assert outcomes(run.alert(own, NOON + 12 * MINUTE)) == [("revoke_sessions", "refuse", "own")]
    nobody = about("unknown", NOON + 13 * MINUTE, first="e5")
    assert outcomes(run.alert(nobody, NOON + 13 * MINUTE)) == [("revoke_sessions", "refuse", "target")]


def test_an_action_over_a_limit_waits_for_a_human_until_the_period_has_passed() -> None:
    run = rehearsed("revoke_sessions", reactions={"limits": {"per_user": "2/1h"}})
    times = [0, 1, 2, 61, 62]
    found = [run.alert(about(at=NOON + n * MINUTE, first=f"e{n}"), NOON + n * MINUTE)[0] for n in times]
    assert [one.verdict for one in found] == ["call", "call", "ask", "call", "call"]
    assert found[2].reason == "limit"


def test_an_effect_lasts_until_its_end_which_a_later_alert_moves() -> None:
    run = rehearsed({"add_to_group": {"group": "Step-up", "for": "1h"}}, reactions={"limits": {"per_user": "9/1h"}})
    verdicts = []
    for minutes in (0, 30, 80, 141):  # the second one moves the end to 90, the third one to 140
        at = NOON + minutes * MINUTE
        (one,) = run.alert(about(at=at, first=f"e{minutes}"), at)
        verdicts.append((one.verdict, one.reason))
    assert verdicts == [("call", ""), ("no_op", "live"), ("no_op", "live"), ("call", "")]


def test_a_lasting_effect_is_not_made_again() -> None:
    run = rehearsed("user_risk", {"expire_password": {}, "approve": False})
    run.alert(about(), NOON)
    assert outcomes(run.alert(about(at=NOON + MINUTE, first="e2"), NOON + MINUTE)) == [
        ("user_risk", "no_op", "state"),
        ("expire_password", "no_op", "state"),
    ]


def test_a_prompt_has_no_answer_and_leads_to_what_follows_a_timeout() -> None:
    prompt = {"prompt": {"by": "push", "then": {"timeout": [{"notify": "soc"}], "denied": ["user_risk"]}}}
    run = rehearsed(prompt)
    assert outcomes(run.alert(about(), NOON)) == [("prompt", "call", "")]
    again = run.alert(about(at=NOON + 6 * MINUTE, first="e2"), NOON + 6 * MINUTE)
    assert outcomes(again) == [("notify", "call", ""), ("prompt", "ask", "limit")]
    assert run.finish(NOON + HOUR) == []


def test_how_often_a_user_is_asked_is_a_setting() -> None:
    limits = {"prompt_per_user": "2/1h", "per_user": "9/1h"}
    run = rehearsed({"prompt": {"by": "push"}}, reactions={"limits": limits})
    times = [NOON + minutes * MINUTE for minutes in (0, 10, 20, 61)]
    found = [run.alert(about(at=at, first=f"e{at}"), at)[0] for at in times]
    assert [one.verdict for one in found] == ["call", "call", "ask", "call"]


def test_how_many_users_are_asked_at_once_is_a_setting() -> None:
    run = rehearsed({"prompt": {"by": "push"}}, reactions={"limits": {"prompts_at_once": 2}})
    found = [run.alert(about(f"00u{n}", first=f"e{n}"), NOON) for n in range(3)]
    assert [len(each) for each in found] == [1, 1, 0]
    (last,) = run.finish(NOON + 6 * MINUTE)
    assert (last.target, last.verdict) == ("00u2", "call")


def test_an_address_of_many_users_or_of_ours_is_not_blocked() -> None:
    run = rehearsed({"block_ip": {"for": "1h"}, "approve": False})
    for n in range(5):
        raw = trigger(
            actor={"id": f"00u{n}", "type": "User"}, client={"ipAddress": "8.8.4.4"}, outcome={"result": "SUCCESS"}
        )
        run.event(Event("acme", f"x{n}", "t", NOON, NOON, Source.HOOK, "", json.dumps(raw).encode()), raw)
    shared = run.alert(about(first="e1", client={"ipAddress": "8.8.4.4"}), NOON)
    ours = run.alert(about(first="e2", client={"ipAddress": "198.51.100.7"}), NOON)
    other = run.alert(about(first="e3", client={"ipAddress": "8.8.8.8"}), NOON)
    assert [(one.verdict, one.reason) for one in (*shared, *ours, *other)] == [
        ("refuse", "address"),
        ("refuse", "address"),
        ("call", ""),
    ]
