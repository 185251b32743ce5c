"""The settings of the guards. `reaction_runner/guard_settings.py` makes them from the configuration, again at each
reload."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

import msgspec

from forwarder.core.action import EffectKind
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
    protect: ProtectSettings = ProtectSettings(admins=False)
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
        modes = (self.mode, self.modes.get(rule, "off"), planned)
        return min(modes, key=lambda mode: Mode(mode).strength)
