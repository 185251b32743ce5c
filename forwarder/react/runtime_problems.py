"""Finds problems of the reactions' configuration that show only at run time. The failure of one action is not a problem
of this kind: the action's row shows it."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from forwarder.core.action import OUTSIDE, Action
from forwarder.core.wording import count, listed
from forwarder.react.guards.directory import Directory, LookUpError


class ReactionFinding(msgspec.Struct, frozen=True):
    """One problem. `runbook` is the heading of the section in docs/runbook.md that explains it."""

    text: str
    hint: str
    runbook: str


async def missing_groups(directory: Directory, orgs: Sequence[str], groups: Sequence[str]) -> list[ReactionFinding]:
    """Return a finding for each of `groups` (ids or names) that does not exist in an org, and so protects no user of
    that org. If the look-up in an org fails, there is no finding about that org: the guards then refuse the actions on
    its users."""
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
