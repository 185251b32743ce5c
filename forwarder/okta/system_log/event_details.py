"""Reads parts of an event whose form Okta does not document. Each part may be missing or of an unexpected type."""

from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.core.lenient_json import decode_leniently


class EventDetails(msgspec.Struct):
    """The parts of an event that say to which hooks Okta meant to deliver the event, and why an operation failed."""

    debug_context: Any = msgspec.field(name="debugContext", default=None)
    outcome: Any = None
    target: Any = None
    display_message: Any = msgspec.field(name="displayMessage", default=None)

    @property
    def debug_data(self) -> Mapping[str, Any]:
        """`debugContext.debugData`; empty if there is none."""
        return _mapping(_mapping(self.debug_context).get("debugData"))

    @property
    def targets_a_hook(self) -> bool:
        """Whether the event has an event hook among its targets. (Okta does not document the type of such a target.)"""
        targets = self.target if isinstance(self.target, list) else []
        return any("hook" in str(_mapping(target).get("type")).lower() for target in targets)

    @property
    def reason(self) -> str:
        """Okta's text about why the operation failed: the reason in the outcome or, without one, the display message.
        Empty if the event has neither."""
        texts = (_mapping(self.outcome).get("reason"), self.display_message)
        return next((text for text in texts if isinstance(text, str) and text), "")


_decode = msgspec.json.Decoder(EventDetails).decode


def read_details(body: bytes) -> EventDetails:
    """Decode the details of an event. If the event cannot be decoded, all details are missing."""
    try:
        return decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return EventDetails()


def targets_any_hook(body: bytes) -> bool:
    """Whether Okta meant to deliver an event to any hook. The JSON text is only searched, not decoded, because a search
    is fast."""
    return b'"targetEventHookIds"' in body


def targets_hook(body: bytes, hook_id: str) -> bool:
    """Whether Okta meant to deliver an event to the hook `hook_id`. The event does not say whether the delivery
    succeeded."""
    if not hook_id or hook_id.encode() not in body:  # most events target no hook and need no decoding
        return False
    ids = read_details(body).debug_data.get("targetEventHookIds")
    if isinstance(ids, str):
        ids = ids.split(",")
    return isinstance(ids, list) and any(isinstance(each, str) and each.strip() == hook_id for each in ids)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
