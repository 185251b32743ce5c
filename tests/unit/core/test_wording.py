import pytest

from forwarder.core.wording import agrees, count, days


@pytest.mark.parametrize(("number", "text"), [(0, "0 events were"), (1, "1 event was"), (2_000, "2,000 events were")])
def test_a_number_agrees_with_its_noun_and_its_verb(number: int, text: str) -> None:
    assert f"{count(number, 'event')} {agrees(number, 'was', 'were')}" == text


@pytest.mark.parametrize(("seconds", "text"), [(86_400, "1 day"), (43_200, "0.5 days"), (2_592_000, "30 days")])
def test_a_time_of_one_day_is_one_day(seconds: int, text: str) -> None:
    assert days(seconds) == text
