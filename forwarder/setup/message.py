"""What a setup command reports."""

from collections.abc import Callable
from typing import Literal

Kind = Literal["info", "done", "same", "note", "diff", "fault"]
"""`done` and `same` are results, `note` deserves a look, `diff` shows a change, `fault` must be fixed."""

Reporter = Callable[[Kind, str], None]
"""Takes a kind of message and its text, which may have several lines."""
