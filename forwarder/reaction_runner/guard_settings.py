"""Builds the settings of the guards, and a rehearsal of the reactions, from the configuration and the rules."""

from collections.abc import Callable
from ipaddress import ip_address, summarize_address_range

from forwarder.core.action import Action
from forwarder.react.plan import Plans
from forwarder.react.rehearsal import Rehearsal
from forwarder.react.settings.guards import GuardSettings, Limit, Network
from forwarder.react.settings.types import Mode
from forwarder.reaction_check import known_rules
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.settings import OrgSettings, Settings


def guard_settings(settings: Settings, mode_of: Callable[[Action], str]) -> GuardSettings:
    """Return the settings of the guards. `mode_of` returns the mode of an action (see `Plans.mode_of`)."""
    reactions = settings.reactions
    return GuardSettings(
        mode=str(reactions.mode),
        mode_of=mode_of,
        protect=reactions.protect,
        limits={name: Limit(rate.most, rate.seconds) for name, rate in reactions.limits if name != "prompts_at_once"},
        prompts_at_once=reactions.limits.prompts_at_once,
        fresh=reactions.fresh,
        confirm=frozenset(reactions.confirm),
        approve_within=reactions.approve_within,
        own={name: _own(org) for name, org in settings.orgs.items()},
        own_ips=tuple(network for org in settings.orgs.values() for network in _egress(org)),
    )


def rehearsal(settings: Settings, ruleset: Ruleset) -> Rehearsal:
    """Return a rehearsal, which finds out what the configured reactions would do, but does nothing. In the rehearsal,
    all entries have mode `enforce`, except entries with mode `off`."""
    entries = tuple(
        entry if entry.mode is Mode.OFF else entry.model_copy(update={"mode": None}) for entry in settings.reactions.on
    )
    reactions = settings.reactions.model_copy(update={"mode": Mode.ENFORCE, "on": entries})
    plans = Plans(reactions, known_rules(ruleset))
    return Rehearsal(plans, guard_settings(settings.model_copy(update={"reactions": reactions}), plans.mode_of))


def _own(org: OrgSettings) -> frozenset[str]:
    found = (org.api.client_id, org.api.token_id) if org.api else ()
    return frozenset(each for each in found if each)


def _egress(org: OrgSettings) -> list[Network]:
    found: list[Network] = []
    for each in org.egress_ranges:
        first, last = map(ip_address, each.ends)
        found += summarize_address_range(first, last)
    return found
