"""How long to wait before the next try: exponential with full jitter, or as long as the server asks, up to a limit."""

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """The limits of the waits between tries: the first wait is at most `base` seconds, every wait at most `cap`."""

    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, random: float = 1.0, asked: float | None = None) -> float:
        """Return the seconds to wait after `attempt` failed tries.

        `random` is the jitter, from [0, 1); without it, the result is the longest wait. If the server asked for a
        wait, `asked` is its length in seconds. The result is then the smaller of `asked` and ten times `cap`; up to
        `base` of jitter is added to that.
        """
        bound = min(self.cap, self.base * 2.0 ** min(attempt - 1, 32))
        if asked is not None:
            return min(asked, 10 * self.cap) + random * self.base
        return bound * random
