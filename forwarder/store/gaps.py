"""Missed events: events of the System Log that our hook should have delivered, but did not."""

import msgspec

from forwarder.core.time import Micros, iso


class Gap(msgspec.Struct, frozen=True):
    """A missed event.

    Attributes:
        published: when the event happened, by Okta's clock.
        since: when the forwarder read the event from the System Log, by our clock.
        missed_at: when the event was marked as missed, by our clock.
    """

    org: str
    uuid: str
    event_type: str
    published: Micros
    since: Micros
    missed_at: Micros

    def row(self) -> dict[str, str]:
        """Return what an operator sees of the missed event, as values that can be encoded as JSON."""
        return {
            "org": self.org,
            "uuid": self.uuid,
            "event_type": self.event_type,
            "published": iso(self.published, "milliseconds"),
            "read_from_log_at": iso(self.since, "milliseconds"),
        }


class Gaps(msgspec.Struct, frozen=True):
    """The missed events, and the number of pending events. A pending event is an event of the System Log that the hook
    has not delivered yet, but may still deliver.

    When the time `store.dedup_window` has passed since an event was stored, the event is no longer counted as missed or
    pending.

    Attributes:
        missed: by the name of the org, the number of missed events of each event type. An org without missed events has
            an empty mapping.
        pending: by the name of the org, the number of pending events.
        events: the missed events, newest first, up to the limit of the query.
        read: the names of the orgs whose System Log was read at least once. For other orgs, it is not known whether the
            hook missed events.
    """

    missed: dict[str, dict[str, int]]
    pending: dict[str, int]
    events: list[Gap]
    read: set[str]

    @property
    def count(self) -> int:
        """The number of missed events, including those that `events` does not list."""
        return sum(sum(types.values()) for types in self.missed.values())
