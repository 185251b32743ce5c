"""The requests that an operator's commands send to the running forwarder."""

from typing import ClassVar

from forwarder.control_socket.messages import ControlRequest
from forwarder.core.action import Action


class ApproveRequest(ControlRequest, frozen=True, tag="reactions approve"):
    """Approve an action that waits for a human, if `given` is True; else refuse the action. `by` is the person who
    decided."""

    returns: ClassVar[type] = Action

    id: str
    by: str
    given: bool


class UndoRequest(ControlRequest, frozen=True, tag="reactions undo"):
    """Undo an action whose effect is live now. For a day after that, the guards refuse all actions on the target of
    this action."""

    returns: ClassVar[type] = Action

    id: str
    by: str
    why: str = ""


class PauseRequest(ControlRequest, frozen=True, tag="reactions pause"):
    """Pause reactions. `scope` is the id of a rule or the name of an action; if it is empty, all reactions are paused.
    Without `seconds`, the pause lasts until an operator ends it. `title` is the title of the rule."""

    returns: ClassVar[type] = bool

    scope: str
    why: str
    by: str
    seconds: float | None = None
    title: str = ""


class ResumeRequest(ControlRequest, frozen=True, tag="reactions resume"):
    """End the pause of `scope`; if `scope` is None, end every pause."""

    returns: ClassVar[type] = bool

    scope: str | None
    by: str
