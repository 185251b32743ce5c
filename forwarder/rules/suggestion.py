"""Suggests a known name for an unknown name that is probably misspelled."""

import difflib
from collections.abc import Collection

_MAX_NAME = 200  # to compare a name of a million characters takes seconds
_CUTOFF = 0.5
"""The minimum similarity of two names, from 0 to 1. `timeframe` and `timespan` have 0.59."""


def did_you_mean(name: str, known: Collection[str], otherwise: str = "") -> str:
    """Return the hint `; did you mean 'X'?`. X is the name in `known` that is most similar to `name`.

    If no name is similar, return `; ` followed by the text `otherwise`; if `otherwise` is also empty, return an empty
    string.
    """
    spellings = (name, name.lower()) if len(name) <= _MAX_NAME else ()
    near = [each for spelling in spellings for each in difflib.get_close_matches(spelling, known, 1, _CUTOFF)]
    hint = f"did you mean {near[0]!r}?" if near else otherwise
    return f"; {hint}" if hint else ""


def known_names(known: Collection[str]) -> str:
    """Return the names as a hint, such as `known: a, b, c`."""
    return f"known: {', '.join(sorted(known))}"
