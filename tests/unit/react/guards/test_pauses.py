"""Pauses: what they stop, and how they end."""

from forwarder.react.guards.pauses import Pauses
from tests.fakes.actions import HOUR, action
from tests.fakes.clock import NOON


def test_a_pause_stops_all_reactions_or_one_rule_or_one_action() -> None:
    suspend = action("suspend")
    assert Pauses().find(suspend, NOON) is None
    for scope, stops in {"": True, "push_fatigue": True, "suspend": True, "other": False, "block_ip": False}.items():
        found = Pauses().pause(scope, "a test", NOON).find(suspend, NOON)
        assert (found is not None) is stops, scope


def test_a_pause_names_the_rule_by_its_title() -> None:
    pauses = Pauses().pause("", "a test", NOON).pause("suspend", "a test", NOON)
    pauses = pauses.pause("6f3e", "a test", NOON, title="Push fatigue").pause("8a1c", "a test", NOON)
    assert [one.text for one in pauses.on(NOON)] == [
        "all reactions are paused",
        "the action suspend is paused",
        "reactions to the rule Push fatigue are paused",
        "reactions to the rule 8a1c are paused",  # by a version that did not keep the title
    ]
    assert Pauses.load(pauses.dump(), NOON) == pauses


def test_a_pause_ends_by_itself() -> None:
    pauses = Pauses().pause("suspend", "maintenance", NOON, seconds=3600, by="ada")
    assert pauses.find(action(), NOON + HOUR - 1) is not None
    assert pauses.find(action(), NOON + HOUR) is None
    assert pauses.on(NOON + HOUR) == []


def test_a_pause_of_prompts_stops_actions_after_an_answer_but_no_notification_about_an_approval() -> None:
    pauses = Pauses().pause("prompt", "maintenance", NOON)
    assert pauses.find(action("suspend"), NOON) is None
    assert pauses.find(action("suspend", parent="prompt 1"), NOON) is not None
    about = {"to": "soc", "about": {"approve": {}}}
    assert pauses.find(action("notify", parent="suspend 1", settings=about), NOON) is None
    answer = {"about": {"prompt": {"id": "prompt 1", "by": "push", "answer": "denied"}}}
    assert pauses.find(action("notify", parent="prompt 1", settings=answer), NOON) is not None


def test_a_pause_without_a_time_ends_by_resume_only() -> None:
    pauses = Pauses().pause("suspend", "maintenance", NOON)
    assert pauses.find(action(), NOON + 9999 * HOUR) is not None
    assert pauses.resume("suspend", NOON).find(action(), NOON) is None


def test_a_later_pause_of_the_same_scope_replaces_the_earlier_pause() -> None:
    pauses = Pauses().pause("suspend", "one", NOON).pause("suspend", "two", NOON, seconds=60)
    assert [one.why for one in pauses.on(NOON)] == ["two"]


def test_resume_ends_one_pause_or_all() -> None:
    pauses = Pauses().pause("", "all", NOON).pause("suspend", "one", NOON).pause("block_ip", "other", NOON)
    assert [one.scope for one in pauses.resume("suspend", NOON).on(NOON)] == ["", "block_ip"]
    assert [one.scope for one in pauses.resume("", NOON).on(NOON)] == ["suspend", "block_ip"]
    assert pauses.resume(None, NOON).on(NOON) == []


def test_pauses_outlive_a_restart() -> None:
    pauses = Pauses().pause("", 'why: "it" broke\n', NOON, seconds=5, by="ada").pause("suspend", "x", NOON)
    assert Pauses.load(pauses.dump(), NOON) == pauses
    assert Pauses.load(None, NOON) == Pauses()


def test_pauses_that_cannot_be_read_pause_everything() -> None:
    pauses = Pauses.load('[{"scope": 1', NOON)
    found = pauses.find(action(), NOON)
    assert found is not None
    assert "forwarder reactions resume" in found.why
