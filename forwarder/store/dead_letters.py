"""Dead letters as an operator sees them."""

import msgspec

from forwarder.control import Request
from forwarder.core.time import Micros

RECEIVER = "receiver"
"""The sink name under which malformed events are dead letters. No real sink may have it."""


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Selects the dead letters that match every given field; all of them if none is given.

    The sink `receiver` has the malformed events. `last`: none with a higher id, that is none that came later. `until`: none
    that was rejected later, perhaps again.
    """

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    last: int | None = None
    until: Micros | None = None


class ReplayRequest(Request, frozen=True, tag="replay"):
    """Asks the running forwarder to send these dead letters again."""

    selection: Selection


class DiscardRequest(Request, frozen=True, tag="discard"):
    """Asks the running forwarder to remove these dead letters for good."""

    selection: Selection


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a sink rejected, a malformed event, or a number of unattributed rejections.

    Attributes:
        id: never used twice.
        sink: the sink that rejected it; `receiver` for a malformed event.
        seq: of the event in the log; None for malformed and unattributed ones.
        state: `dead`, or `replaying` while it is sent again.
        count: how many events it stands for; more than 1 only if unattributed.
        reason: a `core.outcome.RejectReason`.
        detail: the sink's message.
        at: when it was last rejected.
        org: name; empty if unattributed.
        uuid: empty if it has none; as well `event_type`.
        body: as received; None if unattributed, and in a list.
    """

    id: int
    sink: str
    seq: int | None
    state: str
    count: int
    reason: str
    detail: str
    at: Micros
    org: str
    uuid: str
    event_type: str
    body: bytes | None = None

    @property
    def unattributed(self) -> bool:
        """Whether the sink did not say which events it rejected. They cannot be sent again."""
        return not self.org
