"""The settings of the guards. At the start and at each reload, `reaction_runner/guard_settings.py` makes these settings
from the configuration."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network

import msgspec

from forwarder.core.action import Action, EffectKind
from forwarder.core.time import SECOND, Micros
from forwarder.react.settings.limits import ProtectSettings
from forwarder.react.settings.types import Mode

Network = IPv4Network | IPv6Network


class Limit(msgspec.Struct, frozen=True):
    """A limit: at most `count` items in any period of `seconds`."""

    count: int
    seconds: float

    @property
    def micros(self) -> Micros:
        """The length of the period in which items are counted, in microseconds."""
        return round(self.seconds * SECOND)


class GuardSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of the guards.

    Attributes:
        mode: the strongest mode that any action may have, a value of `Mode`.
        mode_of: returns the mode that the configuration has for an action; `off` if no entry lists the action any more,
            or if the action's rule was removed.
        limits: the limits by name: `per_user`, `per_rule`, `prompt_per_user`, or a kind of action. If `prompt_per_user`
            is missing, a user gets at most one prompt a day. If another name is missing, there is no such limit.
        prompts_at_once: the largest number of prompts of one org that wait for an answer at the same time.
        fresh: the maximum age of an event, in seconds. Most actions about an older event are refused.
        confirm: kinds of action that wait until the System Log has the events of the alert.
        approve_within: the number of seconds in which a human may approve, unless the entry sets another time.
        own: for each org, the ids by which an event shows that the forwarder caused it: the forwarder's client id, or
            the id of its API token.
        own_ips: the forwarder's own addresses, as Okta sees them.
    """

    mode: str = "off"
    mode_of: Callable[[Action], str] = lambda _: "off"
    protect: ProtectSettings = ProtectSettings(admins=False)
    limits: Mapping[str, Limit] = {}
    prompts_at_once: int = 5
    fresh: float = 600.0
    confirm: frozenset[EffectKind] = frozenset({EffectKind.TIMED, EffectKind.PROMPT})
    approve_within: float = 900.0
    own: Mapping[str, frozenset[str]] = {}
    own_ips: tuple[Network, ...] = ()

    def ceiling(self, action: Action) -> str:
        """Return the mode that applies to `action`: the weakest of the mode of all reactions, the mode that the
        configuration has for the action, and the mode in which the action was planned."""
        modes = (self.mode, self.mode_of(action), action.mode)
        return min(modes, key=lambda mode: Mode(mode).strength)
