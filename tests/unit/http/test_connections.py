from forwarder.http.connections import A_SWEEP, ConnectionLimiter
from forwarder.http.settings import ListenerLimits
from tests.fakes.clock import ManualClock


class Late:
    """A connection whose client has let its deadline pass."""

    deadline = since = -1.0

    def __init__(self, guard: ConnectionLimiter) -> None:
        self.guard = guard
        guard.connections.add(self)  # type: ignore[arg-type]  # what the guard uses of one
        guard.waiting[self] = None  # type: ignore[index]

    def expire(self) -> bool:
        self.guard.left(self)  # type: ignore[arg-type]
        return True


def test_a_crowd_of_late_connections_goes_little_by_little() -> None:
    shed: list[str] = []
    guard = ConnectionLimiter(ListenerLimits(), ManualClock(), shed.append)
    for _ in range(2 * A_SWEEP + 1):
        Late(guard)
    left = []
    for _ in range(3):
        guard.sweep()
        left.append(len(guard.connections))
    assert left == [A_SWEEP + 1, 1, 0]
    assert shed == ["deadline"] * (2 * A_SWEEP + 1)
