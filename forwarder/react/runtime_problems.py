"""Problems of the reactions' configuration that show only at run time. Why a single action failed is in its row."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from forwarder.core.action import OUTSIDE, Action
from forwarder.core.wording import count
from forwarder.react.guards.directory import Directory, LookUpError


class ReactionFinding(msgspec.Struct, frozen=True):
    """One problem. `runbook` is the section of docs/runbook.md."""

    text: str
    hint: str
    runbook: str


async def missing_groups(
    directory: Directory, orgs: Sequence[str], groups: Sequence[str]
) -> list[ReactionFinding]:
    """Return a finding for each protected group that an org does not have: such a name protects no user
    there.

    Args:
        directory: looks the groups up. An org that does not answer has no finding: its actions are refused anyway.
        orgs: the orgs in which reactions act.
        groups: ids or names of the protected groups.
    """
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
    """Return a finding for each org without `api` (any more) that has live effects: they cannot be undone."""
    by_org: dict[str, list[Action]] = {}
    for effect in effects:
        if effect.name not in OUTSIDE and not has_api(effect.org):
            by_org.setdefault(effect.org, []).append(effect)
    return [_stranded(org, stranded) for org, stranded in sorted(by_org.items())]


def _stranded(org: str, effects: Sequence[Action]) -> ReactionFinding:
    names = ", ".join(f"{one.name} of {one.target.id} ({one.id})" for one in effects[:3])
    more = f" and {len(effects) - 3} more" if len(effects) > 3 else ""
    return ReactionFinding(
        f"{count(len(effects), 'live effect')} in {org} cannot be undone without `orgs.{org}.api`: {names}{more}",
        f"restore `orgs.{org}.api` and reload, or undo them in Okta by hand",
        "ForwarderUndoOverdue",
    )
