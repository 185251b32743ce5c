"""What the reader of a file of detection rules returns: rules reduced to their event types, problems, and
rules or files that are left out."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache

import msgspec

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import Condition

_WORD = re.compile(r"[\w.]+")


class Rule(msgspec.Struct, frozen=True):
    """One rule of a file.

    Attributes:
        name: its name; for a System Log filter, the filter itself.
        language: the query language, as the file calls it.
        conditions: the conditions of its query: several for a sequence, none for a rule without a query.
        okta: whether it is about Okta; None if only its event types can show that.
    """

    name: str
    language: str
    conditions: tuple[Condition, ...] = ()
    id: str = ""
    okta: bool | None = True


class UnreadableRule(msgspec.Struct, frozen=True):
    """Why a file, or a rule in it, cannot be read. `place` is its file, and its line if known."""

    place: str
    text: str


class SkipReason(StrEnum):
    """Why a rule or a file is left out."""

    OTHER_PRODUCT = "other_product"
    """A rule about another product."""
    OTHER_LANGUAGE = "other_language"
    """A rule in a query language without a reader."""
    REFERENCE = "reference"
    """A correlation or a filter of other rules; it names no event types."""
    UNREADABLE = "unreadable"
    """A broken file or rule that is not about Okta."""
    NO_RULE = "no_rule"
    """A file of data that holds no rule."""
    OTHER_FORMAT = "other_format"
    """A file in a format without a reader."""
    NO_FILE = "no_file"
    """A FIFO, a device, a broken link, or a file that is too large."""


RULES_LEFT_OUT = (SkipReason.OTHER_PRODUCT, SkipReason.OTHER_LANGUAGE, SkipReason.REFERENCE)
"""The reasons that leave out a rule; the others leave out a file."""


class LeftOut(msgspec.Struct, frozen=True):
    """A rule or a file that is counted, but not read."""

    reason: SkipReason


def refusal(problem: str) -> Callable[[], Rule | LeftOut]:
    """Return a function that raises RuleFileError: `problem` says why a rule cannot be used."""

    def refuse() -> Rule | LeftOut:
        raise RuleFileError(problem)

    return refuse


def mentions_okta(text: str) -> bool:
    """Whether `text` names Okta or one of its event types."""
    folded = text.lower()
    return "okta" in folded or names_event_type(folded)


def names_event_type(text: str) -> bool:
    """Whether a word of `text` is an event type of Okta's catalogue, in upper or lower case. A name of two
    parts, such as `zone.create`, may be another product's."""
    known = _event_types()
    return any(word[0].strip(".") in known for word in _WORD.finditer(text.lower()))


@cache
def _event_types() -> frozenset[str]:
    return frozenset(name.lower() for name in EVENT_TYPES if name.count(".") > 1)
