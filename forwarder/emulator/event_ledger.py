"""The events of the org, and whether its hooks delivered them."""

import msgspec


class HookLedger(msgspec.Struct, frozen=True):
    """The events that one hook delivered, and the events that it dropped.

    Attributes:
        delivered: uuids of the events that the receiver accepted.
        dropped: uuids of the events that Okta never sent, or gave up after failed attempts. A receiver that answered
            too late may have stored such an event anyway.
    """

    delivered: list[str]
    dropped: list[str]


class EmulatorLedger(msgspec.Struct, frozen=True):
    """The uuids of all events, and of the events that each hook delivered or dropped, at one moment.

    Attributes:
        events: uuids of all events of the org, except the events in `own`.
        own: uuids of the org's events about its hooks and their quota. No hook carries these events.
        hooks: hook id → ledger of the hook, including deleted hooks. An event is in neither `delivered` nor `dropped`
            while every copy of the event waits or is in flight.
    """

    events: list[str]
    own: list[str]
    hooks: dict[str, HookLedger]

    @property
    def dropped(self) -> set[str]:
        """The uuids of the events that at least one hook dropped."""
        return {uuid for hook in self.hooks.values() for uuid in hook.dropped}
