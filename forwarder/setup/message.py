"""The messages that a setup command reports."""

from collections.abc import Callable
from typing import Literal

Kind = Literal["info", "done", "same", "note", "diff", "fault"]
"""The kind of a message. `done` and `same` are results: something was changed, or is as it should be. The operator should
read a `note`, and must fix a `fault`. `diff` shows a change, `info` anything else."""

Reporter = Callable[[Kind, str], None]
"""A function that gets the kind of a message and its text, which may have several lines."""
