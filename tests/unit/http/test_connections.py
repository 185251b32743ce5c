from forwarder.http.connections import SWEEP_BATCH, ConnectionLimiter
from forwarder.http.settings import ListenerLimits
from tests.fakes.clock import ManualClock


class Late:
    """A connection whose client has let its deadline pass."""

    deadline = since = -1.0

    def __init__(self, limiter: ConnectionLimiter) -> None:
        self.limiter = limiter
        limiter.connections.add(self)  # type: ignore[arg-type]  # what the limiter uses of one
        limiter.waiting[self] = None  # type: ignore[index]

    def expire(self) -> bool:
        self.limiter.remove(self)  # type: ignore[arg-type]
        return True


def test_a_crowd_of_late_connections_goes_little_by_little() -> None:
    evicted: list[str] = []
    limiter = ConnectionLimiter(ListenerLimits(), ManualClock(), evicted.append)
    for _ in range(2 * SWEEP_BATCH + 1):
        Late(limiter)
    left = []
    for _ in range(3):
        limiter.sweep()
        left.append(len(limiter.connections))
    assert left == [SWEEP_BATCH + 1, 1, 0]
    assert evicted == ["deadline"] * (2 * SWEEP_BATCH + 1)
