import pytest

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.okta.hooks.event_type_presets import MAX_TYPES, event_type_problems, resolve

ELIGIBLE = frozenset(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags)


def test_all_eligible_is_whatever_the_catalogue_says_that_hooks_carry() -> None:
    assert resolve("all-eligible") == ELIGIBLE
    assert resolve("all-eligible", catalogue={"a.b": (HOOK_ELIGIBLE,), "c.d": ()}) == {"a.b"}


def test_security_is_a_choice_that_a_hook_can_carry_whole() -> None:
    chosen = resolve("security")
    assert {"user.session.start", "user.mfa.factor.reset_all", "system.log_stream.lifecycle.delete"} <= chosen
    assert len(chosen) == 49
    assert event_type_problems(chosen) == []


def test_security_leaves_out_what_the_catalogue_no_longer_has_for_hooks() -> None:
    catalogue = {**EVENT_TYPES, "user.session.start": ("user",)}
    assert resolve("security", catalogue=catalogue) == resolve("security") - {"user.session.start"}


def test_rules_stands_for_what_they_need() -> None:
    assert resolve("rules", ["user.account.lock"]) == {"user.account.lock"}


def test_presets_and_types_can_stand_side_by_side() -> None:
    assert resolve(["security", "group.lifecycle.create"]) == resolve("security") | {"group.lifecycle.create"}
    assert resolve(["user.account.lock", "user.account.lock"]) == {"user.account.lock"}


def test_all_that_okta_takes_has_no_fault() -> None:
    assert event_type_problems(ELIGIBLE, ["user.session.start"]) == []


@pytest.mark.parametrize(
    ("types", "filters", "words"),
    [
        (["user.sesion.start"], (), "did you mean user.session.start?"),
        (["zone.create"], (), "hooks do not carry zone.create, only the System Log does"),
        ([], (), "no event type is left"),
        (["user.account.lock"], ["user.session.start"], "filter is set for user.session.start"),
    ],
)
def test_what_okta_would_refuse_is_told_before(types: list[str], filters: list[str], words: str) -> None:
    assert len(found := event_type_problems(types, filters)) == 1
    assert words in found[0]


def test_too_many_types_are_told_and_as_many_as_okta_takes_are_not() -> None:
    catalogue = {f"a.type{n}": (HOOK_ELIGIBLE,) for n in range(MAX_TYPES + 1)}
    assert event_type_problems(list(catalogue)[1:], catalogue=catalogue) == []
    assert event_type_problems(catalogue, catalogue=catalogue) == [
        "301 event types are too many for one hook; Okta allows 300"
    ]


def test_all_faults_are_told_at_once() -> None:
    assert (
        len(event_type_problems(["zone.create", "zone.delete", "no.such.type"], ["user.session.start"])) == 4
    )
