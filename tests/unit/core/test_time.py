import pytest

from forwarder.core.time import from_http_date
from tests.fakes.clock import NOON


@pytest.mark.parametrize(
    "text", ["Thu, 01 Jan 2026 12:00:00 GMT", "Thu, 01 Jan 2026 13:00:00 +0100", "Thu, 01 Jan 2026 12:00:00 -0000"]
)
def test_a_date_of_a_header_is_read_in_every_zone(text: str) -> None:
    assert from_http_date(text) == NOON


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "soon",
        "Thu, 01 Jan 2026 12:00:00 +9999999999",
        "Thu, 01 Jan 2026 12:00:00 +99999999999999999999",
        "Thu, 01 Jan 2026 12:00:00 -99999999999999999999",
        "Thu, 01 Jan 99999999999999999999 12:00:00 GMT",
        "Thu, 99999999999999999999 Jan 2026 12:00:00 GMT",
        "Thu, 01 Jan 2026 99999999999999999999:00:00 GMT",
        f"Thu, 01 Jan {'9' * 5_000} 12:00:00 GMT",
    ],
)
def test_an_absurd_date_of_a_header_is_none(text: str) -> None:
    assert from_http_date(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Sat, 01 Jan 0001 00:00:00 -0001",
        f"Thu, 01 Jan 2026 12:00:00 +{'9' * 5_000}",
    ],
)
def test_a_date_at_the_end_of_the_calendar_raises_nothing(text: str) -> None:
    from_http_date(text)
