"""A limiter that knows Okta's rate limit only from the headers of responses."""

from email.utils import formatdate

import pytest

from forwarder.okta.api.rate_limits import WINDOW, RateLimiter, RateLimits
from tests.fakes.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limiter(clock: ManualClock) -> RateLimiter:
    return RateLimits(0.5, clock).limiter("/api/v1/logs")


def headers(clock: ManualClock, left: int, lasts: float, *, skew: float = 0.0, limit: int = 10) -> dict[str, str]:
    """Return Okta's headers. Okta's clock is `skew` seconds ahead of ours, and the window ends in `lasts` seconds."""
    now = clock.now() / 1e6 + skew
    return {
        "x-rate-limit-limit": str(limit),
        "x-rate-limit-remaining": str(left),
        "x-rate-limit-reset": str(int(now + lasts)),
        "date": formatdate(now, usegmt=True),
    }


def use(limiter: RateLimiter, clock: ManualClock, calls: int, lasts: float = 30.0, skew: float = 0.0) -> None:
    for number in range(calls):
        limiter.record_request()
        limiter.update_from_headers(headers(clock, 9 - number, lasts, skew=skew))


def test_paths_of_one_family_share_a_limit_whatever_their_query_and_id() -> None:
    limits = RateLimits(0.5, ManualClock())
    assert limits.limiter("/api/v1/eventHooks/who1/lifecycle/verify") is limits.limiter("/api/v1/eventHooks")
    assert limits.limiter("/api/v1/logs?after=/x/y/z") is limits.limiter("/api/v1/logs")
    assert limits.limiter("/api/v1/logs") is not limits.limiter("/api/v1/eventHooks")


def test_no_call_waits_before_the_limit_is_known(limiter: RateLimiter) -> None:
    for _ in range(50):
        limiter.record_request()
    assert not limiter.exhausted
    assert limiter.allowance is None


@pytest.mark.parametrize("skew", [0.0, -86_400.0, 86_400.0])
async def test_a_clock_that_is_wrong_does_not_matter(limiter: RateLimiter, clock: ManualClock, skew: float) -> None:
    use(limiter, clock, 5, lasts=30.0, skew=skew)
    assert limiter.exhausted
    await clock.advance(29.0)
    assert limiter.exhausted
    await clock.advance(3.0)
    assert not limiter.exhausted


async def test_an_answer_without_a_date_is_read_by_our_clock(limiter: RateLimiter, clock: ManualClock) -> None:
    for _ in range(5):
        limiter.record_request()
        told = headers(clock, 1, 30.0)
        del told["date"]
        limiter.update_from_headers(told)
    await clock.advance(29.0)
    assert limiter.exhausted
    await clock.advance(3.0)
    assert not limiter.exhausted


async def test_a_window_whose_end_moves_does_not_start_again(limiter: RateLimiter, clock: ManualClock) -> None:
    for _ in range(5):
        use(limiter, clock, 1, lasts=60.0)
        await clock.advance(10.0)
    assert limiter.exhausted
    await clock.advance(60.0)
    assert not limiter.exhausted


async def test_calls_without_a_response_count_too(limiter: RateLimiter, clock: ManualClock) -> None:
    use(limiter, clock, 1, lasts=1.0)
    await clock.advance(5.0)
    for _ in range(5):
        limiter.record_request()
    assert limiter.exhausted
    await clock.advance(WINDOW)
    assert not limiter.exhausted


@pytest.mark.parametrize(
    "odd",
    [
        {"x-rate-limit-reset": "soon"},
        {"x-rate-limit-limit": "-5"},
        {"x-rate-limit-remaining": ""},
        {"x-rate-limit-reset": "1"},
        {"x-rate-limit-limit": "0", "x-rate-limit-remaining": "0"},
    ],
)
def test_invalid_headers_are_ignored(limiter: RateLimiter, clock: ManualClock, odd: dict[str, str]) -> None:
    use(limiter, clock, 1)
    limiter.update_from_headers(headers(clock, 0, 30.0) | odd)
    assert not limiter.exhausted
    assert limiter.allowance == 5


async def test_no_response_can_stop_the_calls_for_long(limiter: RateLimiter, clock: ManualClock) -> None:
    limiter.record_request()
    limiter.update_from_headers(headers(clock, 0, 10 * 365 * 86_400.0))
    assert limiter.exhausted
    await clock.advance(2 * WINDOW + 2)
    assert not limiter.exhausted


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 0001 00:00:00 +9999", "Fri, 31 Dec 9999 23:59:59 -9999", "Thu, 01 Jan 2026 00:00:00 +99999999",
        "Thu, 01 Jan 99999 00:00:00 GMT", "", "now", "\x00",
    ],
)  # fmt: skip
async def test_an_absurd_date_does_not_stop_the_calls(limiter: RateLimiter, clock: ManualClock, date: str) -> None:
    limiter.record_request()
    limiter.update_from_headers(headers(clock, 0, 30.0) | {"date": date})
    await clock.advance(2 * WINDOW + 2)
    assert not limiter.exhausted
