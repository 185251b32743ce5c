"""Ranges of addresses: their spellings, and which ranges cover others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.okta.zones.address_ranges import AddressRange, parse_range, uncovered


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.7", "203.0.113.7-203.0.113.7"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.9/24", "203.0.113.0/24"),
        ("203.0.113.0/24", "203.0.113.0-203.0.113.255"),
        (" 203.0.113.1 - 203.0.113.2 ", "203.0.113.1-203.0.113.2"),
        ("2001:db8::1", "2001:DB8:0::1/128"),
        ("203.0.113.7", "::ffff:203.0.113.7"),
        ("203.0.113.0/24", "::ffff:203.0.113.0/120"),
        ("203.0.113.1-203.0.113.2", "::ffff:203.0.113.1-::ffff:203.0.113.2"),
    ],
)
def test_two_spellings_of_the_same_addresses_are_equal(one: str, other: str) -> None:
    assert parse_range(one) == parse_range(other)


@pytest.mark.parametrize(
    "wrong",
    ["", "nowhere", "203.0.113.300", "203.0.113.9-203.0.113.1", "203.0.113.0/33", "1.2.3.4-::1", "fe80::1%eth0", "-"],
)
def test_what_is_not_an_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):  # several kinds
        parse_range(wrong)


@pytest.mark.parametrize(
    "text", ["203.0.113.7", "203.0.113.0/24", "203.0.113.1-203.0.113.9", "2001:db8::/32", "::1", "0.0.0.0/0"]
)
def test_the_shortest_spelling_is_written(text: str) -> None:
    assert parse_range(text).text == text


@pytest.mark.parametrize(
    ("needed", "covering", "missing"),
    [
        ("203.0.113.0/24", ["203.0.113.0/24"], None),
        ("203.0.113.0/24", ["203.0.113.128/25", "203.0.113.0-203.0.113.127"], None),
        ("203.0.113.0/24", ["203.0.113.0/25"], "203.0.113.128/25"),
        ("203.0.113.0/24", ["203.0.113.0-203.0.113.9", "203.0.113.11-203.0.113.255"], "203.0.113.10"),
        ("203.0.113.7", ["203.0.113.8", "::/0"], "203.0.113.7"),
        ("203.0.113.7", [], "203.0.113.7"),
        ("::5", ["0.0.0.0/0"], "::5"),
    ],
)
def test_the_first_addresses_that_are_not_covered_are_named(
    needed: str, covering: list[str], missing: str | None
) -> None:
    found = uncovered(parse_range(needed), map(parse_range, covering))
    assert (found and found.text) == missing


_SMALL = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ends: AddressRange(4, min(ends), max(ends)))


@pytest.mark.long
@given(_SMALL, st.lists(_SMALL, max_size=5))
def test_an_address_is_uncovered_exactly_if_no_range_has_it(needed: AddressRange, covering: list[AddressRange]) -> None:
    lacking = [
        number
        for number in range(needed.first, needed.last + 1)
        if not any(each.first <= number <= each.last for each in covering)
    ]
    found = uncovered(needed, covering)
    assert (found is None) == (not lacking)
    assert found is None or (found.first == lacking[0] and set(range(found.first, found.last + 1)) <= set(lacking))


@pytest.mark.long
@given(_SMALL)
def test_the_text_of_a_range_is_read_as_the_same_range(each: AddressRange) -> None:
    assert parse_range(each.text) == each
