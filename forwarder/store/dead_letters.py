"""Dead letters as an operator sees them."""

import msgspec

from forwarder.control_socket import ControlRequest
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.time import Micros

RECEIVER = "receiver"
"""The sink name under which malformed events are dead letters. No real sink may have it."""


class ReplayRequest(ControlRequest, frozen=True, tag="replay"):
    """Asks the running forwarder to send the selected dead letters again."""

    selection: DeadLetterSelection


class DiscardRequest(ControlRequest, frozen=True, tag="discard"):
    """Asks the running forwarder to remove the selected dead letters for good."""

    selection: DeadLetterSelection


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a sink rejected, or a malformed event.

    A dead letter can also be unattributed: then it stands for a number of events of one batch that the sink rejected
    without saying which ones.

    Attributes:
        id: the id of the dead letter. No id is used twice.
        sink: the name of the sink that rejected the event; `receiver` for a malformed event.
        seq: the event's number in the log; None for a malformed event and for an unattributed dead letter.
        state: `dead`, or `replaying` while the event is sent again.
        count: the number of events that the dead letter stands for; 1 unless it is unattributed.
        reason: the reason of the rejection, a `core.outcome.RejectReason`.
        detail: the sink's message; for a malformed event, what is wrong with it.
        at: when the event was last rejected.
        org: the org's name; empty for an unattributed dead letter.
        uuid: the event's uuid; empty for a malformed event and for an unattributed dead letter.
        event_type: the event's type; empty in the same cases as `uuid`.
        body: the event as received. None for an unattributed dead letter, and wherever dead letters are listed.
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
        """Whether the sink did not say which events it rejected. Then the dead letter has no body, and cannot be sent
        again."""
        return not self.org
