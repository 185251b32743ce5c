"""The events of the org, and whether its hooks delivered them."""

import msgspec


class HookLedger(msgspec.Struct, frozen=True):
    """The results of one hook's events.

    Attributes:
        delivered: uuids that the receiver accepted.
        dropped: uuids that Okta never sent or gave up. A receiver that answered too late may have some of
            them.
    """

    delivered: list[str]
    dropped: list[str]


class Ledger(msgspec.Struct, frozen=True):
    """All events, and whether each hook delivered them. Copying a million uuids takes some milliseconds.

    Attributes:
        events: uuids of every event that was emitted.
        own: uuids of the org's events about its own hooks, which no hook carries.
        hooks: the ledgers by hook id, deleted hooks included. An event that still waits is in neither of
            their lists.
    """

    events: list[str]
    own: list[str]
    hooks: dict[str, HookLedger]

    @property
    def dropped(self) -> set[str]:
        """The uuids that any hook dropped."""
        return {uuid for hook in self.hooks.values() for uuid in hook.dropped}
