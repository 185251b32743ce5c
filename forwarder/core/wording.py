"""Words that messages of several rooms share."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun, as in "1 event" and "2,000 events"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
