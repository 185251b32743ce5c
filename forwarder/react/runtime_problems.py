"""Finds problems in the configuration of reactions that can be found only at run time. The failure of a single action
is not such a problem: the failure is stored with the action."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from forwarder.core.action import OUTSIDE, Action
from forwarder.core.wording import count, listed
from forwarder.react.guards.directory import Directory, LookUpError


class ReactionFinding(msgspec.Struct, frozen=True):
    """One problem in the configuration of reactions. `runbook` is the heading of the section in docs/runbook.md that
    explains the problem."""

    text: str
    hint: str
    runbook: str


async def missing_groups(directory: Directory, orgs: Sequence[str], groups: Sequence[str]) -> list[ReactionFinding]:
    """Return a finding for each pair of a group and an org, if the group does not exist in the org and so protects no
    user of the org. `groups` are ids or names. If the look-up in an org fails, there is no finding about this org,
    because the guards then refuse all actions on its users."""
    found = []
    for org in orgs if groups else ():
        try:
            unknown = await directory.unknown_groups(org, groups)
        except LookUpError:
            continue
        found += [
            ReactionFinding(
                f"{org} has no group {name!r} of `reactions.protect.groups`, so that entry protects no user there",
                "correct the name, or create the group; name break-glass accounts in `reactions.protect.users` too",
                "Reactions",
            )
            for name in unknown
        ]
    return found


def stranded_effects(effects: Iterable[Action], has_api: Callable[[str], bool]) -> list[ReactionFinding]:
    """Return a finding for each org that has live effects but no `api` in the configuration. Without `api`, the effects
    cannot be undone."""
    by_org: dict[str, list[Action]] = {}
    for effect in effects:
        if effect.name not in OUTSIDE and not has_api(effect.org):
            by_org.setdefault(effect.org, []).append(effect)
    return [_stranded(org, stranded) for org, stranded in sorted(by_org.items())]


def _stranded(org: str, effects: Sequence[Action]) -> ReactionFinding:
    names = listed([f"{one.name} of {one.target.id} ({one.id})" for one in effects], 3)
    return ReactionFinding(
        f"{count(len(effects), 'live effect')} in {org} cannot be undone without `orgs.{org}.api`: {names}",
        f"restore `orgs.{org}.api` and reload, or undo these effects in Okta by hand",
        "ForwarderUndoOverdue",
    )
