"""Log lines that a client can cause, at most one of a kind in ten seconds."""

from forwarder import logs
from forwarder.core.ports import Clock

EVERY = 10.0
"""Seconds between two lines of one kind."""


class QuietLog:
    """Says the first line of each kind, then counts the next ones in silence until `EVERY` seconds are over.

    Kinds come from enums and from the configuration, so they are few.
    """

    def __init__(self, logger: logs.Logger, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._last: dict[tuple[str, ...], float] = {}
        self._unsaid: dict[tuple[str, ...], int] = {}

    def warning(self, text: str, *kind: str, action: str, **fields: object) -> None:
        """Something is odd and nothing is lost. Lines with the same `action` and `kind` are of one kind."""
        if (unsaid := self._turn((action, *kind))) is not None:
            self._logger.warning(text, action=action, unsaid=unsaid, **fields)

    def error(self, text: str, *kind: str, action: str, **fields: object) -> None:
        """A human must act."""
        if (unsaid := self._turn((action, *kind))) is not None:
            self._logger.error(text, action=action, unsaid=unsaid, **fields)

    def _turn(self, kind: tuple[str, ...]) -> int | None:
        """How many lines of this kind were swallowed since the last one; None where this one is too."""
        now = self._clock.monotonic()
        last = self._last.get(kind)
        if last is not None and now - last < EVERY:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return None
        self._last[kind] = now
        return self._unsaid.pop(kind, 0)
