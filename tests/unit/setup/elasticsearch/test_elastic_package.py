"""Which template makes a data stream, and which ones are in our way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.setup.elasticsearch.elastic_package import Template, conflicts, patterns_overlap

STREAM = "logs-okta.system-default"


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("logs-*-*", "logs-okta.system-*", True),
        ("*", "logs-okta.system-default", True),
        ("logs-okta.system-*", "logs-okta.system-prod", True),
        ("logs-okta.*", "logs-*.system-x", True),
        ("logs-okta.audit-*", "logs-okta.system-*", False),
        ("metrics-*", "logs-*", False),
        ("logs-okta.system", "logs-okta.system-*", False),
        ("a*b", "a*c", False),
        ("", "*", True),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_patterns_overlap_where_a_name_fits_both(one: str, other: str, *, wanted: bool) -> None:
    assert patterns_overlap(one, other) is wanted
    assert patterns_overlap(other, one) is wanted


@pytest.mark.long
@given(st.text("ab-*", max_size=8), st.text("ab-", max_size=8))
def test_a_name_overlaps_a_pattern_exactly_where_it_fits(pattern: str, name: str) -> None:
    import fnmatch  # noqa: PLC0415  # the oracle

    assert patterns_overlap(pattern, name) is fnmatch.fnmatchcase(name, pattern)


def template(name: str, priority: int, pattern: str, meta: dict[str, object] | None = None) -> Template:
    return Template(name, [pattern], priority, meta or {})


def test_only_what_wins_or_ties_is_in_our_way() -> None:
    harmless = [
        template("logs", 100, "logs-*-*"),
        template("elsewhere", 250, "metrics-*"),
        template("of-another-stream", 900, "logs-okta.system-other"),
        template("okta-forwarder", 250, "logs-okta.system-*", {"managed_by": "okta-forwarder", "version": 1}),
    ]
    assert conflicts(harmless, STREAM) == []
    tie = template("tie", 250, "logs-okta.system-other")
    winner = template("winner", 251, "logs-okta.system-default")
    thief = template("okta-forwarder", 250, "x-*")
    lines = conflicts([*harmless[:3], tie, winner, thief], STREAM)
    assert ["index template" in line for line in lines] == [True] * 3
    assert [name in lines[number] for number, name in enumerate(("tie", "winner", "okta-forwarder"))] == [True] * 3


@pytest.mark.long
def test_a_hostile_pattern_takes_no_time_and_no_recursion() -> None:
    assert not patterns_overlap("*a" * 200 + "b", "a*" * 200 + "c")
    assert patterns_overlap("*a" * 200, "a" * 1_200)
