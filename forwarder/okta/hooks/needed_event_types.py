"""Finds out which event types the operator's detection rules need, and which of them a hook can carry."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from forwarder.okta.hooks.event_type_presets import event_type_problems, resolve
from forwarder.okta.settings import HookSettings
from forwarder.rules.any_format import read_files
from forwarder.rules.conditions.rule import Rule, UnreadableRule
from forwarder.rules.coverage import coverage


class RuleTypes(msgspec.Struct, frozen=True):
    """The event types that the rules in some files need.

    Attributes:
        by_hook: the needed event types that hooks carry.
        only_system_log: the needed event types that only the System Log has.
        problems: a line for each rule that cannot be read, with the reason.
    """

    by_hook: frozenset[str]
    only_system_log: frozenset[str]
    problems: Sequence[str]


def desired_types(hook: HookSettings) -> tuple[RuleTypes, frozenset[str], list[str]]:
    """Read the rule files of `hook.rules`, and return three things: the event types that these rules need, all event
    types that the hook should have, and the problems. Each problem begins with the key of the setting that has the
    problem."""
    rules = read_rule_types(hook.rules)
    types = resolve(hook.events, rules.by_hook)
    problems = [f"rules: {problem}" for problem in rules.problems]
    if not rules.problems or types:
        problems += [f"events: {problem}" for problem in event_type_problems(types, hook.filters or ())]
    return rules, types, problems


def read_rule_types(paths: Sequence[Path]) -> RuleTypes:
    """Return the event types that the rules in `paths` (files or folders) need."""
    by_hook: set[str] = set()
    only_system_log: set[str] = set()
    problems = []
    for _, rule in read_files(paths):
        if isinstance(rule, UnreadableRule):
            problems.append(f"{rule.place}: {rule.text}")
        elif isinstance(rule, Rule) and (needs := coverage(rule)):
            by_hook.update(needs.by_hooks)
            only_system_log.update(needs.only_system_log)
    return RuleTypes(frozenset(by_hook), frozenset(only_system_log), problems)
