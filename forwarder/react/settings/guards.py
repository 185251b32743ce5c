"""The settings of the guards. `reactions/guard_settings.py` makes them from the configuration, again at each
reload."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

import msgspec

from forwarder.core.action import Kind
from forwarder.core.time import SECOND, Micros

Network = IPv4Network | IPv6Network

MODES = ("off", "shadow", "enforce")
"""The modes, the weakest first."""


class Limit(msgspec.Struct, frozen=True):
    """A limit: at most `count` in any `seconds`."""

    count: int
    seconds: float

    @property
    def micros(self) -> Micros:
        """The time in which actions are counted, in microseconds."""
        return round(self.seconds * SECOND)


class Protect(msgspec.Struct, frozen=True, omit_defaults=True):
    """Users and addresses that no action may touch.

    Attributes:
        users: ids or logins.
        groups: ids or names; their members.
        admins: holders of any admin role, be it by a group.
        ips: addresses that are never blocked.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    admins: bool = False
    ips: tuple[Network, ...] = ()


class GuardSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of the guards.

    Attributes:
        mode: the ceiling, one of `MODES`.
        modes: by the id of a rule. Of one that is not in it, as after it was taken out, nothing is carried out.
        limits: by `per_user`, `per_rule`, or a kind of action. What has none is not limited. `prompt_per_user` limits the
            prompts to one user; it is once a day unless set.
        prompts_at_once: prompts of one org that may be out.
        fresh: seconds after which an event is late.
        confirm: kinds that wait until the System Log has the event.
        approve_within: seconds in which a human may approve, unless the rule says another time.
        own: by org, what the forwarder's own calls are made by: its client id, or the id of its API token.
        own_ips: the forwarder's own addresses, as Okta sees them.
    """

    mode: str = "off"
    modes: Mapping[str, str] = {}
    protect: Protect = Protect()
    limits: Mapping[str, Limit] = {}
    prompts_at_once: int = 5
    fresh: float = 600.0
    confirm: frozenset[Kind] = frozenset({Kind.TIMED, Kind.PROMPT})
    approve_within: float = 900.0
    own: Mapping[str, frozenset[str]] = {}
    own_ips: tuple[Network, ...] = ()

    def ceiling(self, rule: str, planned: str) -> str:
        """Return the mode of an action: the weakest of the global mode, the mode of its rule, and `planned`,
        the mode in which it was planned."""
        return min(self.mode, self.modes.get(rule, MODES[0]), planned, key=MODES.index)
