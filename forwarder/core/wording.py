"""Functions that make parts of messages: numbers with nouns, forms of verbs, short lists."""

from collections.abc import Sequence


def count(number: int, noun: str) -> str:
    """Return `number` with `noun` in the singular or the plural, as in "1 event" and "2,000 events"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def agrees(number: int, one: str, many: str) -> str:
    """Return the form of a verb that agrees with `number`: `one` if `number` is 1, else `many`."""
    return one if number == 1 else many


def listed(names: Sequence[str], most: int) -> str:
    """Return the first `most` of `names`, and the number of the other names, as in "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def without_middle(text: str, most: int = 1_000) -> str:
    """Return `text`; if it has more than `most` characters, without its middle."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def days(seconds: float) -> str:
    """Return a duration as a text in days, as in "1 day" and "0.5 days"."""
    number = seconds / 86_400
    return "1 day" if number == 1 else f"{number:g} days"
