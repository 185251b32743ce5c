"""The settings of the guards. `reaction_runner/guard_settings.py` makes them from the configuration, again at each
reload."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

import msgspec

from forwarder.core.action import EffectKind
from forwarder.core.time import SECOND, Micros

Network = IPv4Network | IPv6Network

MODES = ("off", "shadow", "enforce")
"""The modes, the weakest first."""


class Limit(msgspec.Struct, frozen=True):
    """A limit: at most `count` items in any period of `seconds`."""

    count: int
    seconds: float

    @property
    def micros(self) -> Micros:
        """The length of the period in which items are counted, in microseconds."""
        return round(self.seconds * SECOND)


class Protect(msgspec.Struct, frozen=True, omit_defaults=True):
    """Users and addresses that no action may touch.

    Attributes:
        users: ids or logins.
        groups: ids or names of groups, whose members are protected.
        admins: whether users who have an admin role, directly or through a group, are protected.
        ips: addresses that are never blocked.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    admins: bool = False
    ips: tuple[Network, ...] = ()


class GuardSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of the guards.

    Attributes:
        mode: the strongest mode that any action may have, one of `MODES`.
        modes: the mode of each rule, by the rule's id. A rule that is missing here, for example because the rule was
            removed, has the mode `off`.
        limits: the limits by name: `per_user`, `per_rule`, `prompt_per_user`, or a kind of action. Without the limit
            `prompt_per_user`, a user gets at most one prompt a day. Any other limit that is missing here does not
            apply.
        prompts_at_once: the largest number of prompts of one org that wait for an answer at the same time.
        fresh: the age in seconds after which an event is too old to act on.
        confirm: kinds of action that wait until the System Log has the event.
        approve_within: the number of seconds in which a human may approve, unless the entry sets another time.
        own: by org, the ids that events have if the forwarder caused them: its client id, or the id of its API token.
        own_ips: the forwarder's own addresses, as Okta sees them.
    """

    mode: str = "off"
    modes: Mapping[str, str] = {}
    protect: Protect = Protect()
    limits: Mapping[str, Limit] = {}
    prompts_at_once: int = 5
    fresh: float = 600.0
    confirm: frozenset[EffectKind] = frozenset({EffectKind.TIMED, EffectKind.PROMPT})
    approve_within: float = 900.0
    own: Mapping[str, frozenset[str]] = {}
    own_ips: tuple[Network, ...] = ()

    def ceiling(self, rule: str, planned: str) -> str:
        """Return the mode of an action: the weakest of the global mode, the mode of its rule, and `planned`,
        the mode in which it was planned."""
        return min(self.mode, self.modes.get(rule, MODES[0]), planned, key=MODES.index)
