"""Sets of event types by name and pattern, and names that fit none."""

import time

import pytest

from forwarder.core.event_types import EventTypes, unknown_event_type


@pytest.mark.parametrize(
    ("name", "event_type", "fits"),
    [
        ("user.session.start", "user.session.start", True),
        ("user.session.start", "user.session.start.more", False),
        ("user.session.start", "userXsession.start", False),
        ("user.session.*", "user.session.start", True),
        ("user.session.*", "user.session.impersonation.grant", True),
        ("user.session.*", "user.sessions", False),
        ("*.lifecycle.*", "policy.lifecycle.update", True),
        ("*", "anything\nat all", True),
        ("[u]ser.?", "user.x", False),
    ],
)
def test_a_star_stands_for_any_part_of_a_name_and_nothing_else_is_special(
    name: str, event_type: str, *, fits: bool
) -> None:
    assert (event_type in EventTypes([name])) is fits


def test_a_set_has_what_any_of_its_names_fits() -> None:
    types = EventTypes(["user.session.*", "zone.create"])
    assert [name in types for name in ("zone.create", "user.session.end", "zone.delete")] == [True, True, False]
    assert "user.session.start" not in EventTypes([])


@pytest.mark.parametrize("name", ["user.session.start", "user.session.*", "*"])
def test_a_name_of_the_catalogue_is_known(name: str) -> None:
    assert unknown_event_type(name) is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("user.session.strat", "did you mean user.session.start?"),
        ("user.sesion.*", "did you mean user.session.*?"),
        ("zzz", "write a name such as user.session.start, or a pattern such as user.session.*"),
    ],
)
def test_a_name_that_fits_nothing_is_reported_with_a_hint(name: str, hint: str) -> None:
    problem = unknown_event_type(name)
    assert problem is not None
    assert name in problem
    assert hint in problem


def test_a_pattern_with_many_stars_is_as_fast_on_any_type() -> None:
    began = time.process_time()
    assert "." * 256 not in EventTypes(["*.*.*.*.*.x"])
    assert "." * 256 + "x" in EventTypes(["*.*.*.*.*.x"])
    assert time.process_time() - began < 0.1
