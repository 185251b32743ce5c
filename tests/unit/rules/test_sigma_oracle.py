"""Our trees of Sigma's conditions are those of pySigma, which is the reference."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from forwarder.rules.load import load
from tests import shared_data
from tests.unit.rules.oracle import our_tree, their_rules, written

LISTS = {
    "corp": ["corp.example", "*.lab.example", "c:\\\\x"],
    "one": ["1"],
    "legtimate_identifiers": ["a.example", "b"],
}
FIELDS = [
    "eventType",
    "actor.alternateId",
    "target.displayName",
    "debugContext.debugData.risk",
    "outcome.result",
]
TEXTS = [
    "user.session.start", "*admin*", "a?b", r"\*", r"\?x", r"a\b", r"a\\b", r"a\\*", "", "*", "**", "?", "%", "%x y%", "é*",
    "-1", " blank ", "a*b*c", r"trailing\\", "trailing\\",
]  # fmt: skip
PLAIN = [True, False, 0, 5, -3, 2.5, 10.0, None, 404]
EXPRESSIONS = [r"^0oa.*", "a|b", r"[a-z]{2,10}\.", "(?i)x", "", r"\\d", "a*?", "é+"]
NETWORKS = ["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "198.51.100.7/32", "203.0.113.9"]


def rule(detection: dict[str, Any]) -> str:
    source = {"product": "okta", "service": "okta"}
    document = {"title": "generated", "logsource": source, "detection": detection}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@shared_data.needs(shared_data.SIGMA)
def test_our_trees_of_sigmas_rules_for_okta_are_those_of_pysigma() -> None:
    files = sorted(shared_data.SIGMA.glob("*.yml"))
    assert len(files) == 24
    for file in files:
        (found,) = load([file], LISTS).rules
        assert [our_tree(found.condition)] == their_rules(file.read_text(encoding="utf-8"), LISTS)


def value_list(chance: random.Random, values: list[Any]) -> Any:
    chosen = [chance.choice(values) for _ in range(chance.choice([1, 1, 2, 3]))]
    return chosen if len(chosen) > 1 or chance.random() < 0.3 else chosen[0]


def item(chance: random.Random) -> tuple[str, Any]:
    """A field, modifiers and values that belong together."""
    field = chance.choice(FIELDS)
    around = chance.choice(["", "|contains", "|startswith", "|endswith"])
    joined = chance.choice(["", "", "", "|all", "|neq"])
    match chance.randrange(9):
        case 0:
            flags = chance.choice(["", "|i", "|m", "|s", "|i|m", "|s|i"])
            return f"{field}|re{flags}{joined}", value_list(chance, EXPRESSIONS)
        case 1:
            return f"{field}|cidr{joined}", value_list(chance, NETWORKS)
        case 2:
            return f"{field}|{chance.choice(['lt', 'lte', 'gt', 'gte'])}{joined}", value_list(
                chance, [0, -5, 2.5, 10]
            )
        case 3:
            return f"{field}|exists", chance.choice([True, False])
        case 4:
            return f"{field}|fieldref{around}{joined}", value_list(chance, FIELDS)
        case 5:
            expand = chance.choice([f"{around}|expand", f"|expand{around}"])
            return f"{field}{expand}{joined}", value_list(
                chance, ["%corp%", "x%one%y", "%corp%-%one%", "100%", "%none"]
            )
        case 6:
            return f"{field}{joined}", value_list(chance, [*TEXTS, *PLAIN])
    cased = chance.choice(["", "|cased"])
    return f"{field}{chance.choice([cased + around, around + cased])}{joined}", value_list(chance, TEXTS)


def selection(chance: random.Random) -> Any:
    match chance.randrange(6):
        case 0:
            return [
                dict(item(chance) for _ in range(chance.randint(1, 2))) for _ in range(chance.randint(1, 3))
            ]
        case 1:
            return value_list(chance, [text for text in TEXTS if text] + [5, True])
        case 2:
            return {
                f"|{chance.choice(['all', 'contains', 'cased', 're'])}": value_list(
                    chance, ["a*b", "x", "c.d"]
                )
            }
    return dict(item(chance) for _ in range(chance.randint(1, 4)))


def condition(chance: random.Random, names: list[str], depth: int = 0) -> str:
    match chance.randrange(7 if depth < 3 else 3):
        case 0:
            return f"{chance.choice(['1', 'any', 'all'])} of them"
        case 1:
            return f"{chance.choice(['1', 'all'])} of {chance.choice(['selection*', 'filter_*', '*_main', 's*n*'])}"
        case 2:
            return chance.choice(names)
        case 3:
            return f"not {condition(chance, names, depth + 1)}"
        case 4:
            return f"({condition(chance, names, depth + 1)})"
    word = chance.choice([" and ", " or "])
    return word.join(condition(chance, names, depth + 1) for _ in range(chance.randint(2, 3)))


@pytest.mark.parametrize("start", range(0, 500, 50))
def test_our_trees_of_generated_rules_are_those_of_pysigma(start: int, tmp_path: Path) -> None:
    for seed in range(start, start + 50):
        chance = random.Random(seed)
        names = ["selection", "selection_main", "filter_main", "filter_other", "_hidden", "notable"]
        detection = {name: selection(chance) for name in names} | {"condition": condition(chance, names)}
        text = rule(detection)
        (found,) = load([written(tmp_path, text)], LISTS).rules
        assert [our_tree(found.condition)] == their_rules(text, LISTS), text
