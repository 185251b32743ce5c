"""Dead letters as an operator sees them."""

import msgspec

from forwarder.control_socket import ControlRequest
from forwarder.core.time import Micros

RECEIVER = "receiver"
"""The sink name under which malformed events are dead letters. No real sink may have it."""


class DeadLetterSelection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Selects the dead letters that match every given field; all dead letters if no field is given.

    Attributes:
        ids: the ids of dead letters.
        sink: the sink that rejected the event; `receiver` for malformed events.
        reason: a `core.outcome.RejectReason`.
        last: the highest id; leaves out dead letters that came later.
        until: the latest time of rejection; leaves out events that were rejected, or rejected again, later.
    """

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    last: int | None = None
    until: Micros | None = None


class ReplayRequest(ControlRequest, frozen=True, tag="replay"):
    """Asks the running forwarder to send the selected dead letters again."""

    selection: DeadLetterSelection


class DiscardRequest(ControlRequest, frozen=True, tag="discard"):
    """Asks the running forwarder to remove the selected dead letters for good."""

    selection: DeadLetterSelection


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a sink rejected, a malformed event, or a number of unattributed rejections.

    Attributes:
        id: never used twice.
        sink: the sink that rejected it; `receiver` for a malformed event.
        seq: the event's number in the log; None for a malformed event and for unattributed rejections.
        state: `dead`, or `replaying` while it is sent again.
        count: how many events it stands for; more than 1 only if unattributed.
        reason: a `core.outcome.RejectReason`.
        detail: the sink's message.
        at: when it was last rejected.
        org: the org's name; empty if unattributed.
        uuid: the event's uuid; empty if malformed or unattributed, and so is `event_type`.
        body: as received; None if unattributed, and in a list of dead letters.
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
        """Whether the sink did not say which events it rejected. Such a dead letter cannot be sent again."""
        return not self.org
