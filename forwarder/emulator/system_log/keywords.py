"""The keyword search of the System Log API, which is its parameter `q`.

Okta's rules: a search has at most 10 keywords of at most 40 characters, separated by spaces or hyphens. Each
keyword must be one whole word of some value of the event, ignoring case. Okta does not document what a word
is; here, a whole value also counts as a word.
"""

import re
from collections.abc import Iterator
from typing import Any

from forwarder.emulator.http.errors import invalid

_MAX_KEYWORDS = 10
_MAX_LENGTH = 40

_SEPARATORS = re.compile(r"[\s-]+")
_WORDS = (re.compile(r"[^\s\-/:;,?&=(){}\[\]\"']+"), re.compile(r"\w+"))
"""The first pattern takes `203.0.113.9` and `user@example.com` as one word each. The second takes their
parts."""


def read_keywords(text: str) -> frozenset[str]:
    """Return the keywords of a search.

    Raises:
        OktaApiError: Okta would refuse the search.
    """
    found = [word for word in _SEPARATORS.split(text.lower()) if word]
    if len(found) > _MAX_KEYWORDS:
        raise invalid("q", f"q: no more than {_MAX_KEYWORDS} keywords are allowed")
    if any(len(word) > _MAX_LENGTH for word in found):
        raise invalid("q", f"q: a keyword must not have more than {_MAX_LENGTH} characters")
    return frozenset(found)


def contains_keywords(event: Any, keywords: frozenset[str]) -> bool:
    """Whether a decoded event contains every keyword."""
    missing = set(keywords)
    for value in _texts(event):
        folded = value.lower()
        missing.discard(folded)
        for words in _WORDS:
            missing.difference_update(words.findall(folded))
        if not missing:
            return True
    return not missing


def _texts(value: Any) -> Iterator[str]:
    """Yield the values in an event, without its keys."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif value is not None:
        yield str(value)
