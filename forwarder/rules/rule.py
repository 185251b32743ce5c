"""A detection rule, reduced to its event types."""

import msgspec

from forwarder.rules.condition import Condition


class Rule(msgspec.Struct, frozen=True):
    """One rule of a file.

    Attributes:
        name: its name; for a System Log filter, the filter itself.
        language: of its query, as the file calls it.
        conditions: of its query; several for a sequence, none for a rule without a query.
        okta: whether it is about Okta; None if only its event types can show that.
    """

    name: str
    language: str
    conditions: tuple[Condition, ...] = ()
    id: str = ""
    okta: bool | None = True


class Fault(msgspec.Struct, frozen=True):
    """A file, or a rule in it, that cannot be read: where (file, and line if known) and why."""

    place: str
    text: str
