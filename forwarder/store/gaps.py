"""Events of the System Log that our hook should have delivered and did not."""

import msgspec

from forwarder.core.time import Micros, iso


class Gap(msgspec.Struct, frozen=True):
    """A missed event.

    Attributes:
        published: when it happened, by Okta's clock.
        since: when we received it from the System Log, by our clock.
        missed_at: when it was marked as missed.
    """

    org: str
    uuid: str
    event_type: str
    published: Micros
    since: Micros
    missed_at: Micros

    def row(self) -> dict[str, str]:
        """Return what an operator is shown of the event, ready for JSON."""
        return {
            "org": self.org,
            "uuid": self.uuid,
            "event_type": self.event_type,
            "published": iso(self.published, "milliseconds"),
            "read_from_log_at": iso(self.since, "milliseconds"),
        }


class Gaps(msgspec.Struct, frozen=True):
    """Missed and pending events. An event is forgotten `store.dedup_window` after its arrival.

    Attributes:
        missed: by org, how many events of each type are missed; empty for an org without missed events.
        pending: by org, how many events are pending: the hook may still deliver them.
        events: the missed events, newest first, up to the limit of the query.
        read: the orgs whose System Log was read at least once; what others missed is unknown.
    """

    missed: dict[str, dict[str, int]]
    pending: dict[str, int]
    events: list[Gap]
    read: set[str]

    @property
    def count(self) -> int:
        """How many events are missed, including those that `events` does not list."""
        return sum(sum(types.values()) for types in self.missed.values())
