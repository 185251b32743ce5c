"""What a command of setup tells."""

from collections.abc import Callable
from typing import Literal

import msgspec


class Line(msgspec.Struct, frozen=True):
    """Something to tell the operator.

    Attributes:
        kind: `done` and `same` are results, `note` deserves a look, `diff` is what changes, `fault` must be mended.
        text: may have several lines.
    """

    kind: Literal["info", "done", "same", "note", "diff", "fault"]
    text: str


Say = Callable[[Line], None]
"""Takes what there is to tell, in order."""
