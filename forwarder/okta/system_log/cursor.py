"""The cursor of an org's System Log: how far it was read."""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from forwarder.core.time import Micros
from forwarder.okta.system_log.pages import PATH, RETENTION


class Cursor(msgspec.Struct, frozen=True, rename={"next_link": "next", "polled_until": "polled", "hook_id": "hook"}):
    """How far the System Log was read. The store keeps the cursor as JSON.

    Attributes:
        next_link: address of the next page; empty if reading must start at the time `newest`.
        polled_until: a time by our clock; every event that Okta had stored by this time was read. 0 if the end of the
            log was never reached.
        newest: the latest `published` of the events read; before the first page, the time at which to start.
        hook_id: the last known id of our hook, used after a restart until Okta has answered.
    """

    next_link: str
    polled_until: Micros
    newest: Micros
    hook_id: str = ""

    @property
    def complete_until(self) -> Micros:
        """The store has every event that was published before this time, except events that the log has not shown
        yet."""
        return max(self.polled_until, self.newest)


def cursor_name(org: str) -> str:
    """Return the name under which the store keeps the cursor of an org."""
    return f"log:{org}"


def names_with_cursor(url: str, cursors: Mapping[str, str | None], now: Micros) -> list[str]:
    """Return the names in `cursors` under which the System Log at `url`, the URL of an org, was read, the name that was
    read last at the end. `cursors` has a stored cursor for each name, or None.

    A cursor is ignored if Okta no longer has the events after it.
    """
    found = []
    for name, text in cursors.items():
        with suppress(msgspec.MsgspecError):
            cursor = msgspec.json.decode(text or "", type=Cursor)
            if cursor.next_link.startswith(f"{url.rstrip('/')}{PATH}?") and cursor.complete_until > now - RETENTION:
                found.append((cursor.complete_until, name))
    return [name for _, name in sorted(found)]
