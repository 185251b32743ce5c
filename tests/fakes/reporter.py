"""Collects what a setup command reports."""

from typing import NamedTuple

from forwarder.setup.reporter import Kind, Reporter


class Message(NamedTuple):
    """One message."""

    kind: Kind
    text: str


def into(messages: list[Message]) -> Reporter:
    """A reporter that appends to `messages`."""
    return lambda kind, text: messages.append(Message(kind, text))
