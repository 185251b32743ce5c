"""What a setup command reports."""

from collections.abc import Callable
from typing import Literal

import msgspec


class Message(msgspec.Struct, frozen=True):
    """A message to the operator: `done` and `same` are results, `note` deserves a look, `diff` shows a change, `fault` must
    be fixed. The text may have several lines."""

    kind: Literal["info", "done", "same", "note", "diff", "fault"]
    text: str


Reporter = Callable[[Message], None]
"""Takes the messages in order."""
