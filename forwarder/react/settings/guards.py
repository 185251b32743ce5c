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
        groups: ids or names of groups, whose members are protected.
        admins: whether holders of any admin role are protected, including roles that a group gives.
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
        modes: the mode of each rule, by the rule's id. If a rule is not in it, for example because the rule was removed,
            nothing is carried out for it.
        limits: the limits by name: `per_user`, `per_rule`, or a kind of action. A missing name means no limit, except
            `prompt_per_user`, the limit of prompts to one user, which is then one a day.
        prompts_at_once: how many prompts of one org may be out.
        fresh: seconds after which an event is late.
        confirm: kinds of action that wait until the System Log has the event.
        approve_within: seconds in which a human may approve, unless the rule says another time.
        own: by org, the ids that mark the forwarder's own calls: its client id, or the id of its API token.
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
