"""Suggests a known name for an unknown name that is probably misspelled."""

import difflib
from collections.abc import Collection

_CUTOFF = 0.5
"""The minimum similarity of two names, from 0 to 1. `timeframe` and `timespan` have 0.59."""


def did_you_mean(name: str, known: Collection[str], otherwise: str = "") -> str:
    """Return the hint `; did you mean 'X'?`. X is the name in `known` that is most similar to `name`.

    If no name is similar, return `; ` followed by the text `otherwise`; if `otherwise` is also empty, return an empty
    string.
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=_CUTOFF) or difflib.get_close_matches(
        name.lower(), known, n=1, cutoff=_CUTOFF
    )
    hint = f"did you mean {near[0]!r}?" if near else otherwise
    return f"; {hint}" if hint else ""


def known_names(known: Collection[str]) -> str:
    """Return the names as a hint, such as `known: a, b, c`."""
    return f"known: {', '.join(sorted(known))}"
