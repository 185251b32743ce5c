"""The messages that a setup command reports."""

from collections.abc import Callable
from typing import Literal

Kind = Literal["info", "done", "same", "note", "diff", "problem"]
"""The kind of a message.

`done`: something was changed. `same`: something is already as it should be. `note`: the operator should read this.
`problem`: the operator must fix this. `diff`: the old and new text of a change. `info`: any other message.
"""

Reporter = Callable[[Kind, str], None]
"""A function that gets the kind of a message and its text, which may have several lines."""
