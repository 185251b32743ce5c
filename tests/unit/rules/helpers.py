"""Helpers: write rules to a file, and read them as `rules coverage` does."""

import json
from collections import Counter
from pathlib import Path

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.rules.any_format import read_files
from forwarder.rules.conditions.rule import LeftOut, Rule, SkipReason, UnreadableRule
from forwarder.rules.coverage import Coverage, coverage


def read(path: Path) -> tuple[list[Rule], list[UnreadableRule]]:
    """Return the rules and the problems of a file or a folder."""
    found = [each for _, each in read_files([path])]
    return [each for each in found if isinstance(each, Rule)], [
        each for each in found if isinstance(each, UnreadableRule)
    ]


def left_out(path: Path) -> dict[SkipReason, int]:
    """Return how many rules and files are left out, by reason, including rules that turn out to be about another product."""
    found = [each for _, each in read_files([path])]
    reasons = [each.reason for each in found if isinstance(each, LeftOut)]
    reasons += [SkipReason.OTHER_PRODUCT for each in found if isinstance(each, Rule) and coverage(each) is None]
    return dict(Counter(reasons))


def judge(folder: Path, language: str, query: str, **more: object) -> Coverage:
    """Return the coverage of an Elastic rule or a System Log filter."""
    path = folder / ("rule.txt" if language == "filter" else "rule.json")
    rule = {"name": "a rule about Okta", "language": language, "query": query, **more}
    path.write_text(query if language == "filter" else json.dumps(rule))
    (found,), problems = read(path)
    assert not problems
    needs = coverage(found)
    assert needs is not None
    return needs


def types(needs: Coverage) -> set[str]:
    """Return the existing event types that a rule names."""
    return {*needs.by_hooks, *needs.only_system_log}


def under(prefix: str) -> set[str]:
    """Return the types in the catalogue that begin with `prefix`."""
    found = {name for name in EVENT_TYPES if name.startswith(prefix)}
    assert len(found) > 2
    return found
