"""Texts that messages of several packages share."""


def count(number: int, noun: str) -> str:
    """Return `number` with `noun` in the singular or the plural, as in "1 event" and "2,000 events"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
