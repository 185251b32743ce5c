"""How long to wait before the next try: exponential, with full jitter, and the server's own wish honoured."""

from typing import Self

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """A rule, without state.

    Attributes:
        base: seconds, the upper bound of the first wait.
        cap: seconds, the upper bound of any wait.
    """

    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, random: float, asked: float | None = None) -> float:
        """Seconds to wait before try number `attempt + 1`.

        Args:
            attempt: failed tries so far, from 1.
            random: from [0, 1).
            asked: seconds that the server asked for; never undercut, and taken whole up to ten times `cap`.
        """
        bound = min(self.cap, self.base * 2.0 ** min(attempt - 1, 32))
        if asked is not None:
            return min(asked, 10 * self.cap) + random * self.base
        return bound * random

    @classmethod
    def paused(cls) -> Self:
        """The rule for a sink that an operator must mend: look again now and then."""
        return cls(base=5.0, cap=15.0)
