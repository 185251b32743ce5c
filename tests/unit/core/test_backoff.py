import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.backoff import Backoff

ATTEMPTS = st.integers(1, 10_000)
RANDOMS = st.floats(0, 1, exclude_max=True)


@pytest.mark.long
@given(ATTEMPTS, RANDOMS)
def test_a_delay_never_passes_the_cap(attempt: int, random: float) -> None:
    assert 0 <= Backoff(base=0.5, cap=30).delay(attempt, random) <= 30


def test_the_bound_doubles_with_each_attempt_up_to_the_cap() -> None:
    rule = Backoff(base=1, cap=10)
    assert [rule.delay(attempt) for attempt in range(1, 6)] == [1, 2, 4, 8, 10]


@pytest.mark.long
@given(ATTEMPTS, RANDOMS, st.floats(0, 300))
def test_a_delay_is_never_shorter_than_the_server_asks(attempt: int, random: float, asked: float) -> None:
    assert Backoff(base=0.5, cap=30).delay(attempt, random, asked) >= asked


def test_an_absurd_request_of_the_server_is_limited() -> None:
    assert Backoff(base=0.5, cap=30).delay(1, 0.0, 1e9) == 300
