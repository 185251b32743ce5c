import pytest

from forwarder.core.time import SECOND
from forwarder.react.ports import okta_retry_at
from tests.fakes.clock import NOON

DATE = "Thu, 01 Jan 2026 13:00:00 GMT"
"""An hour after NOON: our clock is slow."""

AT = NOON // SECOND + 3600


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"x-rate-limit-reset": str(AT + 20)}, 21),
        (429, {"x-rate-limit-reset": str(AT - 20)}, 0),
        (503, {"x-rate-limit-reset": str(AT + 20)}, None),
        (503, {"retry-after": "7"}, 7),
        (503, {"retry-after": "Thu, 01 Jan 2026 13:00:30 GMT"}, 30),
        (429, {"retry-after": "999999999"}, 3600),
        (429, {"x-rate-limit-reset": str(AT + 86_400)}, 3600),
        (429, {"x-rate-limit-reset": "soon"}, None),
    ],
)
def test_with_a_wrong_clock_a_call_still_waits_as_long_as_okta_asks(
    status: int, headers: dict[str, str], seconds: int | None
) -> None:
    retry_at = okta_retry_at(status, {"date": DATE} | headers, NOON)
    assert retry_at == (None if seconds is None else NOON + seconds * SECOND)
