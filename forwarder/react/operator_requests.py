"""The requests of an operator to the running forwarder."""

from forwarder.control_socket import ControlRequest


class ApproveRequest(ControlRequest, frozen=True, tag="reactions approve"):
    """Approve (`given`) or refuse an action that waits for a human. `by` is the person who decided."""

    id: str
    by: str
    given: bool


class UndoRequest(ControlRequest, frozen=True, tag="reactions undo"):
    """Undo a live action now, and hold its target for a day."""

    id: str
    by: str
    why: str = ""


class PauseRequest(ControlRequest, frozen=True, tag="reactions pause"):
    """Pause the rule or the action that `scope` names, by the rule's id or the action's name; if `scope` is
    empty, pause everything. Without `seconds`, the pause lasts until `resume`. `title` is the rule's title."""

    scope: str
    why: str
    by: str
    seconds: float | None = None
    title: str = ""


class ResumeRequest(ControlRequest, frozen=True, tag="reactions resume"):
    """End the pause of `scope`; if `scope` is None, end every pause."""

    scope: str | None
    by: str
