"""A detection rule, as far as its event types go."""

import msgspec

from forwarder.rules.condition import Condition


class Rule(msgspec.Struct, frozen=True):
    """One rule of a file.

    Attributes:
        name: its name; for a filter of the System Log the filter itself.
        language: of its query, as the file calls it.
        conditions: what its query states; several for a sequence, none for a rule without a query.
        id: its own, if it has one.
        okta: is it about Okta? None: only the event types that it names can tell.
    """

    name: str
    language: str
    conditions: tuple[Condition, ...] = ()
    id: str = ""
    okta: bool | None = True


class Fault(msgspec.Struct, frozen=True):
    """A file, or a rule in it, that cannot be read.

    Attributes:
        place: the file, with the line where it is known.
        text: why.
    """

    place: str
    text: str
