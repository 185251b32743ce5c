"""Suggests the name that was probably meant."""

import difflib
from collections.abc import Collection

_CUTOFF = 0.5
"""Likeness from 0 to 1: `timeframe` is as like `timespan`."""


def did_you_mean(name: str, known: Collection[str], otherwise: str = "") -> str:
    """Return `; did you mean 'X'?` with the name in `known` that is most like `name`. If none is alike,
    return `; ` and `otherwise`, or an empty text if that is empty."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=_CUTOFF) or difflib.get_close_matches(
        name.lower(), known, n=1, cutoff=_CUTOFF
    )
    hint = f"did you mean {near[0]!r}?" if near else otherwise
    return f"; {hint}" if hint else ""


def known_names(known: Collection[str]) -> str:
    """Return the names as a hint: `known: a, b, c`."""
    return f"known: {', '.join(sorted(known))}"
