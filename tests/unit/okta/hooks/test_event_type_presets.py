import pytest

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.okta.hooks.event_type_presets import MAX_TYPES, event_type_problems, resolve

ELIGIBLE = frozenset(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags)


def test_all_eligible_is_every_type_that_hooks_carry_by_the_catalogue() -> None:
    assert resolve("all-eligible") == ELIGIBLE
    assert resolve("all-eligible", catalogue={"a.b": (HOOK_ELIGIBLE,), "c.d": ()}) == {"a.b"}


def test_one_hook_can_carry_all_types_of_security() -> None:
    chosen = resolve("security")
    assert {"user.session.start", "user.mfa.factor.reset_all", "system.log_stream.lifecycle.delete"} <= chosen
    assert len(chosen) == 49
    assert event_type_problems(chosen) == []


def test_security_has_only_types_that_hooks_carry_by_the_catalogue() -> None:
    catalogue = {**EVENT_TYPES, "user.session.start": ("user",)}
    assert resolve("security", catalogue=catalogue) == resolve("security") - {"user.session.start"}


def test_the_preset_rules_stands_for_the_types_that_the_rules_need() -> None:
    assert resolve("rules", ["user.account.lock"]) == {"user.account.lock"}


def test_a_list_may_have_presets_and_types() -> None:
    assert resolve(["security", "group.lifecycle.create"]) == resolve("security") | {"group.lifecycle.create"}
    assert resolve(["user.account.lock", "user.account.lock"]) == {"user.account.lock"}


def test_types_that_okta_accepts_have_no_problem() -> None:
    assert event_type_problems(ELIGIBLE, ["user.session.start"]) == []


@pytest.mark.parametrize(
    ("types", "filters", "words"),
    [
        (["user.sesion.start"], (), "did you mean user.session.start?"),
        (["zone.create"], (), "hooks do not carry zone.create, only the System Log does"),
        ([], (), "no event type is selected"),
        (["user.account.lock"], ["user.session.start"], "filter for user.session.start"),
    ],
)
def test_types_that_okta_would_refuse_are_problems(types: list[str], filters: list[str], words: str) -> None:
    assert len(found := event_type_problems(types, filters)) == 1
    assert words in found[0]


def test_only_more_types_than_okta_allows_are_a_problem() -> None:
    catalogue = {f"a.type{n}": (HOOK_ELIGIBLE,) for n in range(MAX_TYPES + 1)}
    assert event_type_problems(list(catalogue)[1:], catalogue=catalogue) == []
    assert event_type_problems(catalogue, catalogue=catalogue) == [
        "301 event types are too many for one hook; Okta allows 300"
    ]


def test_all_problems_are_reported_together() -> None:
    assert len(event_type_problems(["zone.create", "zone.delete", "no.such.type"], ["user.session.start"])) == 4
