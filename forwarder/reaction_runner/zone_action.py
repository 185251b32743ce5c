"""The action `block_ip`, which adds an address to the forwarder's own network zone in the org."""

from collections.abc import Callable
from typing import Any

from forwarder.core.action import Action, ActionRequest, ActionState
from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.okta.zones.blocklist import Blocklist, ZoneRefusedError
from forwarder.react.actions.okta import NO_API, Act
from forwarder.react.ports import Answer, Seen

_PATH = "/api/v1/zones"


class BlockIp(Act):
    """Adds an address to the zone of one org, and removes it.

    Okta can only replace a zone as a whole. So the stored request has only the address. At the call, the zone is read from
    Okta, and written back with this one change.
    """

    def __init__(self, blocklist: Callable[[str], Blocklist | None]) -> None:
        """Create the action. `blocklist` returns the blocklist of an org; None if the configuration has no `api` for
        the org."""
        self._blocklist = blocklist

    async def look(self, action: Action) -> Seen:
        """Return whether the zone lists the address. The `text` of the result says why an entry blocks nothing, or which
        larger entry contains the address."""
        zone = self._blocklist(action.org)
        if zone is None:
            return Seen(NO_API)
        try:
            found = await zone.look(action.target.id)
        except (OktaError, ValueError) as error:
            return Seen(_answer(error))
        state: dict[str, Any] = {"listed": found.listed}
        text = "" if found.blocks or not found.listed else _INACTIVE
        if found.within:
            state["within"] = found.within
            text = text or f"the zone lists {found.within}, which contains the address"
        return Seen(Answer(200), state, is_so=found.is_done, is_partly_so=found.listed, text=text)

    def request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        return ActionRequest(action.org, "PUT", _PATH, {"add": action.target.id})

    def undo_request(self, action: Action, seen: Seen) -> ActionRequest:  # noqa: ARG002
        return ActionRequest(action.org, "PUT", _PATH, {"remove": action.target.id})

    def is_ours(self, action: Action, seen: Seen) -> bool:
        """Whether the zone has an entry for exactly this address. Such an entry counts as ours, because Okta does not
        say who wrote it. In the state UNDOING, a larger entry counts too, because an earlier call may have removed the
        exact entry."""
        return seen.is_there and (action.state is ActionState.UNDOING or "within" not in seen.state)

    async def call(self, action: Action, request: ActionRequest) -> Answer:
        zone = self._blocklist(action.org)
        if zone is None:
            return NO_API
        try:
            if "add" in request.body:
                await zone.add(action.target.id)
                return Answer(200)
            change = await zone.remove(action.target.id)
        except (OktaError, ValueError) as error:
            return _answer(error)
        still = ", and by ".join(change.still)
        return Answer(200, text=f"Okta still blocks the address, by {still}" if still else "")


_INACTIVE = "the zone is not an ACTIVE blocklist, so its entry blocks nothing yet; run: forwarder zones sync --activate"


def _answer(error: OktaError | ValueError) -> Answer:
    if isinstance(error, OktaRefusedError):
        return Answer(error.status, code=error.code, text=str(error))
    if isinstance(error, ZoneRefusedError | ValueError):
        return Answer(409, code="zone", text=str(error), sent=False)
    return Answer(0, text=str(error))  # no answer, or others write to the zone: the call may succeed later
