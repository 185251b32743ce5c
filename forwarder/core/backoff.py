"""How long to wait before the next try: exponential, with full jitter, at least what the server asks for."""

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """The limits of the waits between tries: the first is up to `base` seconds, the longest up to `cap` seconds."""

    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, random: float = 1.0, asked: float | None = None) -> float:
        """Return the seconds to wait after `attempt` failed tries.

        `random` is the jitter, from [0, 1); without it, the result is the longest wait. `asked` is the seconds that
        the server asked for: then the result is `asked`, or ten times `cap` if that is less, plus up to `base`.
        """
        bound = min(self.cap, self.base * 2.0 ** min(attempt - 1, 32))
        if asked is not None:
            return min(asked, 10 * self.cap) + random * self.base
        return bound * random
