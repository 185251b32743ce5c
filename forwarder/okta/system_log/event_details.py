"""Parts of an event whose form Okta does not document, so that each may be missing or of another type."""

from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.core.event import decode_leniently


class EventDetails(msgspec.Struct):
    """Which hooks an event was meant for, and why an operation failed."""

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
        """Whether the event has an event hook among its targets. (Okta documents no type for that target.)"""
        targets = self.target if isinstance(self.target, list) else []
        return any("hook" in str(_mapping(target).get("type")).lower() for target in targets)

    @property
    def reason(self) -> str:
        """Okta's text for why the operation failed: the outcome's reason, else the display message; may be
        empty."""
        texts = (_mapping(self.outcome).get("reason"), self.display_message)
        return next((text for text in texts if isinstance(text, str) and text), "")


_decode = msgspec.json.Decoder(EventDetails).decode


def read_details(body: bytes) -> EventDetails:
    """Decode the details of an event; all of them are missing if it cannot be decoded."""
    try:
        return decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return EventDetails()


def targets_any_hook(body: bytes) -> bool:
    """Whether Okta meant to deliver an event to any hook: a fast search in its JSON text, without
    decoding."""
    return b'"targetEventHookIds"' in body


def targets_hook(body: bytes, hook_id: str) -> bool:
    """Whether Okta meant to deliver an event to the hook `hook_id`. The event does not say whether Okta
    did."""
    if not hook_id or hook_id.encode() not in body:  # most events target no hook and need no decoding
        return False
    ids = read_details(body).debug_data.get("targetEventHookIds")
    if isinstance(ids, str):
        ids = ids.split(",")
    return isinstance(ids, list) and any(isinstance(each, str) and each.strip() == hook_id for each in ids)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
