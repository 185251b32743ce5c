"""Dead letters (rejected or malformed events): the requests to replay or to discard dead letters, and what an operator
sees of a dead letter."""

from typing import ClassVar

import msgspec

from forwarder.control_socket.messages import ControlRequest
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.time import Micros

RECEIVER = "receiver"
"""The sink name of the dead letters of malformed events. No configured sink may have this name."""


class ReplayRequest(ControlRequest, frozen=True, tag="replay"):
    """A request to the running forwarder to send the selected dead letters again."""

    returns: ClassVar[type] = int

    selection: DeadLetterSelection


class DiscardRequest(ControlRequest, frozen=True, tag="discard"):
    """A request to the running forwarder to delete the selected dead letters. Their events are not sent again."""

    returns: ClassVar[type] = int

    selection: DeadLetterSelection


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a sink rejected, or a malformed event.

    A dead letter can also be unattributed: if a sink rejects some events of a batch, but does not say which events, one
    dead letter stands for all rejected events of the batch, and contains none of them.

    Attributes:
        id: the id of the dead letter. An id is never used again.
        sink: the name of the sink that rejected the event; `receiver` for a malformed event.
        seq: the event's number in the log; None for a malformed event and for an unattributed dead letter.
        state: `dead`; or `replaying` after an operator asked to send the event again, until the sink has answered.
        count: the number of events that the dead letter stands for; 1 unless it is unattributed.
        reason: the reason of the rejection, a value of `core.outcome.RejectReason`.
        detail: the sink's message; for a malformed event, why it is not an event.
        at: when the event was last rejected.
        org: the name of the event's org; empty for an unattributed dead letter.
        uuid: the event's uuid; empty for a malformed event and for an unattributed dead letter.
        event_type: the event's type; empty for a malformed event and for an unattributed dead letter.
        body: the event's JSON as received; None for an unattributed dead letter, and None in a list of dead letters.
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
        """Whether the sink did not say which events it rejected. An unattributed dead letter has no body that can be
        sent again."""
        return not self.org
