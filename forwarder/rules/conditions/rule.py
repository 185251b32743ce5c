"""The possible results of reading a rule: the rule's event types, a problem, or the reason why the rule is left out."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache

import msgspec

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.errors import RuleFileError
from forwarder.core.wording import without_middle
from forwarder.rules.conditions.condition import Condition

_WORD = re.compile(r"[\w.]+")


class Rule(msgspec.Struct, frozen=True):
    """One rule, reduced to its event types.

    Attributes:
        name: the rule's name; for a System Log filter, the filter itself.
        language: the query language, by the name that the file uses.
        conditions: the conditions of the query: several for a sequence, none for a rule without a query.
        okta: whether the rule is about Okta; None if only its event types can show this.
    """

    name: str
    language: str
    conditions: tuple[Condition, ...] = ()
    id: str = ""
    okta: bool | None = True

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", without_middle(self.name))


class UnreadableRule(msgspec.Struct, frozen=True):
    """A file or a rule that cannot be read. `place` is the file, with the line if it is known; `text` says what is
    wrong."""

    place: str
    text: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "text", without_middle(self.text))


class SkipReason(StrEnum):
    """Why a rule or a file is left out."""

    OTHER_PRODUCT = "other_product"
    """The rule is about another product."""
    OTHER_LANGUAGE = "other_language"
    """The rule is in a query language that cannot be read here."""
    REFERENCE = "reference"
    """A correlation or a filter of other rules. It names no event types."""
    UNREADABLE = "unreadable"
    """The file or rule is broken, and is not about Okta."""
    NO_RULE = "no_rule"
    """The file can be decoded, but contains no rule."""
    OTHER_FORMAT = "other_format"
    """The file has a format that cannot be read here."""
    NO_FILE = "no_file"
    """A FIFO, a device, a broken link, or a file that is too large."""


RULES_LEFT_OUT = (SkipReason.OTHER_PRODUCT, SkipReason.OTHER_LANGUAGE, SkipReason.REFERENCE)
"""The reasons to leave out a rule. The other reasons are for a file."""


class LeftOut(msgspec.Struct, frozen=True):
    """A rule or a file that is left out of the results, and only counted by `reason`."""

    reason: SkipReason


def refusal(problem: str) -> Callable[[], Rule | LeftOut]:
    """Return a function that raises RuleFileError. `problem` says why a rule cannot be used."""

    def refuse() -> Rule | LeftOut:
        raise RuleFileError(problem)

    return refuse


def mentions_okta(text: str) -> bool:
    """Whether `text` names Okta or one of its event types."""
    folded = text.lower()
    return "okta" in folded or names_event_type(folded)


def names_event_type(text: str) -> bool:
    """Whether a word in `text` is an event type in Okta's catalogue, in upper or lower case.

    Types with only two parts, such as `zone.create`, are ignored, because other products also use names with two parts.
    """
    known = _event_types()
    return any(word[0].strip(".") in known for word in _WORD.finditer(text.lower()))


@cache
def _event_types() -> frozenset[str]:
    return frozenset(name.lower() for name in EVENT_TYPES if name.count(".") > 1)
