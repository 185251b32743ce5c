"""Checks the section `reactions` together with the orgs and the rules, and makes the list of rules that reactions
need."""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from forwarder.config.types import Secret
from forwarder.core.catalogue import EVENT_TYPES
from forwarder.okta.settings import ApiSettings
from forwarder.react.ports import KnownRule
from forwarder.react.prompts.muted import is_factor_event
from forwarder.react.settings.problems import OrgAccess, org_problems, problems, rule_problems
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.warnings import rule_warnings, warnings
from forwarder.rules.evaluation.matched_types import matchable_types
from forwarder.rules.evaluation.ruleset import Ruleset


def known_rules(ruleset: Ruleset) -> list[KnownRule]:
    """Return each rule and correlation of `ruleset`, with only the fields by which reactions select rules."""
    return [
        KnownRule(each.id, each.title, each.level, each.name, each.tags, each.alerts)
        for each in ruleset.rules_and_correlations
    ]


def reaction_problems(
    reactions: ReactionsSettings, apis: Mapping[str, ApiSettings | None] | None, ruleset: Ruleset | None
) -> Iterator[str]:
    """Yield a line with path, problem and hint for each problem of `reactions` itself, or of `reactions` with orgs or
    rules.

    `apis` has the credentials of each org, or is None if the orgs have errors. `ruleset` is None if the rules have
    errors or were not read. If one of the two is None, the checks that need it are left out.
    """
    yield from problems(reactions)
    if apis is not None:
        yield from org_problems(reactions, {name: _access(api) for name, api in apis.items()})
    if ruleset is not None:
        factors: Sequence[str] = [name for name in EVENT_TYPES if is_factor_event(name)]
        yield from rule_problems(reactions, known_rules(ruleset), matchable_types(ruleset, factors))


def _access(api: ApiSettings | None) -> OrgAccess:
    if api is None:
        return OrgAccess(api=False)
    is_app = api.private_key is not None
    return OrgAccess(True, api.scopes if is_app else None, is_app or api.token_id is not None)


def reaction_warnings(
    reactions: ReactionsSettings,
    apis: Mapping[str, ApiSettings | None],
    hooked: Collection[str],
    late: float,
    ruleset: Ruleset,
) -> Iterator[str]:
    """Yield a line with path, reason and hint for each setting of `reactions` that works but is unwise.

    `hooked` has the orgs whose hooks post events to the forwarder. `late` is `rules.late`, in seconds.
    """
    yield from rule_warnings(reactions, known_rules(ruleset))
    yield from warnings(reactions, {name: _access(api) for name, api in apis.items()}, hooked, late)


_UNREAD = Secret.unread({"file": "any"})
_STAND_INS: Mapping[str, Any] = {
    "webhooks": {"url": "https://any.example", "secret": _UNREAD},
    "receivers": {"url": "https://any.example", "audience": "any"},
    "set": {"issuer": "https://any.example", "key": _UNREAD},
    "ciba": {"client_id": "any", "private_key": _UNREAD},
    "protect": {"users": ["any"]},
}
_ANY_ENTRY = {"level": "critical", "mode": "off", "do": ["universal_logout"]}
_ANY_ACTION = "universal_logout"


def without_errors(section: Mapping[Any, Any], places: Iterable[Sequence[Any]]) -> tuple[dict[str, Any], set[str]]:
    """Return a copy of the section `reactions`, with valid stand-ins (made-up values) for the values that have errors.

    With this copy, the other values can still be checked. `places` has the path of each error, relative to the section.
    Also return the paths of the stand-ins whose problems must not be reported.
    """
    tree: Any = copy.deepcopy({"on" if key is True else key: value for key, value in section.items()})
    silent: set[str] = set()
    for first, *rest in (place or ("",) for place in places):
        if first == "on" and rest:
            silent |= _replace_in_entry(tree["on"], rest)
        elif first in {"webhooks", "receivers"} and rest and isinstance(tree.get(first), dict):
            tree[first][rest[0]] = _STAND_INS[first]
        elif first in {"set", "ciba", "protect"}:
            tree[first] = _STAND_INS[first]
        elif first == "mode":
            tree = {"protect": _STAND_INS["protect"]} | tree | {"mode": "enforce"}
        else:
            tree.pop(first, None)
    return tree, silent


def _replace_in_entry(entries: Any, place: Sequence[Any]) -> set[str]:
    """Remove the error at `place` from an entry of `on`. Return the paths of the stand-ins that now replace values.

    If the error is in the key `mode` or `orgs`, remove this key. Otherwise replace the innermost action that contains
    the error. If no action contains the error, replace the whole entry.
    """
    number, *rest = place
    if rest[:1] == ["mode"] or rest[:1] == ["orgs"]:
        entries[number].pop(rest[0], None)
        return set()
    path, holder, innermost = f"reactions.on[{number}]", entries[number], None
    for part in rest:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
        if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            innermost = holder, part, path
        elif not isinstance(holder, dict) or part not in holder:
            break  # the entry is written in a short form, without this key
        holder = holder[part]
    if not innermost:
        entries[number] = _ANY_ENTRY
        return {f"reactions.on[{number}]"}
    holder, part, path = innermost
    holder[part] = _ANY_ACTION
    return {path}
