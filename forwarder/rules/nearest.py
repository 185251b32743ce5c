"""Suggests the name that was probably meant."""

import difflib
from collections.abc import Collection

_CUTOFF = 0.5
"""Likeness from 0 to 1: `timeframe` is as like `timespan`."""


def did_you_mean(name: str, known: Collection[str], otherwise: str = "") -> str:
    """Return a hint to the name in `known` that is most like `name`; `otherwise` if none is like it."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=_CUTOFF) or difflib.get_close_matches(
        name.lower(), known, n=1, cutoff=_CUTOFF
    )
    hint = f"did you mean {near[0]!r}?" if near else otherwise
    return f"; {hint}" if hint else ""


def known_names(known: Collection[str]) -> str:
    """Return the list of names for a hint."""
    return f"known: {', '.join(sorted(known))}"
