"""Calculates how long to wait before the next try. The wait is an exponential backoff with full jitter, or the time
that the server asks for, up to a limit."""

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """The limits of an exponential backoff. The first wait is at most `base` seconds, and every wait is at most `cap`
    seconds."""

    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, random: float = 1.0, asked: float | None = None) -> float:
        """Return the seconds to wait after `attempt` failed tries.

        `random` is the jitter, a number from 0 to 1; the default makes the longest wait. `asked` is the number of
        seconds that the server asks to wait; None if the server does not ask. If the server asks, the result is
        `asked`, limited to ten times `cap`, plus up to `base` seconds of jitter.
        """
        bound = min(self.cap, self.base * 2.0 ** min(attempt - 1, 32))
        if asked is not None:
            return min(asked, 10 * self.cap) + random * self.base
        return bound * random
