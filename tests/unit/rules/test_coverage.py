"""Whether hooks or the System Log deliver the events of a rule."""

import json
from pathlib import Path

import pytest

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.rules import legacy_event_types
from forwarder.rules.conditions.condition import TypeIs
from forwarder.rules.conditions.patterns import exactly, wildcard
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.coverage import FedBy, counts, coverage
from forwarder.rules.legacy_event_types import became
from tests import shared_data
from tests.unit.rules.helpers import judge, read, types

CATALOGUE = {
    "user.session.start": ("event-hook-eligible",),
    "user.session.end": ("session", "event-hook-eligible"),
    "user.account.lock": (),
    "zone.delete": (),
}


def rule(*names: str, okta: bool | None = True) -> Rule:
    return Rule("r", "kuery", tuple(TypeIs(wildcard(name)) for name in names), okta=okta)


@pytest.mark.parametrize(
    ("names", "fed_by"),
    [
        (("user.session.*",), FedBy.HOOKS),
        (("user.*",), FedBy.PARTLY),
        (("zone.delete", "user.account.lock"), FedBy.SYSTEM_LOG),
        ((), FedBy.UNKNOWN),
        (("user.nap.start",), FedBy.NO_SUCH_TYPE),
        (("user.session.start", "user.nap.start"), FedBy.HOOKS),
    ],
)
def test_where_the_events_of_a_rule_come_from_depends_on_the_existing_types(
    names: tuple[str, ...], fed_by: FedBy
) -> None:
    needs = coverage(rule(*names), CATALOGUE)
    assert needs is not None
    assert needs.fed_by == fed_by
    assert counts([needs]) == {kind: int(kind == fed_by) for kind in FedBy}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("user.session.started", "user.session.start"),
        ("User.Session.Start", "user.session.start"),
        ("users.session.*", "user.session.end"),
        ("ConsoleLogin", None),
    ],
)
def test_a_type_that_does_not_exist_is_named_with_the_nearest(name: str, near: str | None) -> None:
    needs = coverage(rule(name), CATALOGUE)
    assert needs is not None
    assert needs.unknown == {name: near}


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("core.user_auth.login_failed", "user.session.start"),
        ("core.user_auth.login_success", "user.session.start"),
        ("Core.User_Auth.Account_Locked", "user.account.lock"),
        ("core.user.factor.attempt_fail", "user.authentication.auth_via_mfa"),
        ("core.user_auth.idp.social.login_success", "user.authentication.auth_via_social"),
        ("core.user_auth.self_service.password_reset.unknown_user", "user.account.reset_password"),
        ("app.auth.sso", "user.authentication.sso"),
        ("app.oauth2.as.token.grant_failure", "app.oauth2.as.token.grant"),
        ("api.token.create", "system.api_token.create"),
        ("policy.created", "policy.lifecycle.create"),
        ("core.user_auth.no_such_name", None),
        ("core.user.factor.*", None),
        ("app.user.session.start", None),
        ("cvd.user.account.lock", None),
    ],
)
def test_a_name_of_the_events_api_gets_the_type_that_it_became_or_no_hint(name: str, now: str | None) -> None:
    needs = coverage(rule(name))
    assert needs is not None
    assert needs.unknown == {name: now}


def test_every_type_that_replaced_an_old_name_exists() -> None:
    assert {became(name) for name in legacy_event_types.NAMES} <= EVENT_TYPES.keys()
    assert not legacy_event_types.NAMES & EVENT_TYPES.keys()


def test_a_type_in_another_case_is_the_type_where_the_language_says_so() -> None:
    needs = coverage(Rule("r", "sigma", (TypeIs(exactly("User.Session.START", any_case=True)),)), CATALOGUE)
    assert needs is not None
    assert needs.by_hooks == ("user.session.start",)


@pytest.mark.parametrize(
    ("okta", "name", "counted"),
    [(True, "other", True), (False, "zone.delete", False), (None, "zone.delete", True), (None, "other", False)],
)
def test_only_rules_about_okta_count(okta: bool | None, name: str, counted: bool) -> None:  # noqa: FBT001
    assert (coverage(rule(name, okta=okta), CATALOGUE) is not None) == counted


def test_an_excluded_name_is_not_an_unknown_type(tmp_path: Path) -> None:
    other = "(data_stream.dataset: aws.cloudtrail and event.action: (ConsoleLogin or Console*))"
    needs = judge(tmp_path, "kuery", f"{other} or event.action: user.session.start")
    assert (needs.fed_by, needs.unknown) == (FedBy.HOOKS, {})


@pytest.mark.long
@shared_data.needs(shared_data.RULES)
def test_the_public_rules_are_judged_as_by_hand() -> None:
    expected = json.loads(shared_data.RULES.read_text(encoding="utf-8"))
    rules, problems = read(shared_data.RULES)
    found = [needs for each in rules if (needs := coverage(each))]
    words = {"all": FedBy.HOOKS, "some": FedBy.PARTLY, "none": FedBy.SYSTEM_LOG, "n/a": FedBy.UNKNOWN}
    assert problems == []
    assert [
        (needs.rule.name, needs.fed_by, sorted(needs.by_hooks), sorted(needs.only_system_log), needs.unknown)
        for needs in found
    ] == [
        (
            each["name"],
            words[each["event_hook_coverage"]],
            sorted(each["event_hook_eligible"]),
            sorted(each["not_event_hook_eligible"]),
            {},
        )
        for each in expected
    ]
    assert list(counts(found).values()) == [20, 17, 11, 13, 0]


@pytest.mark.parametrize(
    ("language", "query", "found"),
    [
        ("filter", 'legacyEventType eq "core.user_auth.login_failed"', {"user.session.start"}),
        ("filter", 'legacyEventType in ["api.token.create", "app.auth.sso"]', {"system.api_token.create", "user.authentication.sso"}),
        ("filter", 'eventType eq "zone.create" and not legacyEventType eq "app.auth.sso"', {"zone.create"}),
        ("filter", 'legacyEventType eq "core.nothing.known"', set()),
        ("kuery", "okta.legacy_event_type: core.user_auth.login_failed", {"user.session.start"}),
        ("esql", 'from logs-okta* | where okta.legacyEventType == "api.token.revoke"', {"system.api_token.revoke"}),
    ],
)  # fmt: skip
def test_an_old_name_in_the_field_of_old_names_is_the_type_that_it_became(
    language: str, query: str, found: set[str], tmp_path: Path
) -> None:
    needs = judge(tmp_path, language, query)
    assert (types(needs), needs.unknown) == (found, {})
