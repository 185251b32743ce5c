"""Our trees of Sigma's conditions equal those of pySigma, the reference."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from sigma.correlations import SigmaCorrelationCondition

from forwarder.rules.load import RulesError, load
from tests import shared_data
from tests.unit.rules.oracle import our_tree, their_correlations, their_rules, written

LISTS = {
    "corp": ["corp.example", "*.lab.example", "c:\\\\x"],
    "one": ["1"],
    "expr": [r"corp\.example", "[ab]+", "1?", r"a\\\\b"],
    "legtimate_identifiers": ["a.example", "b"],
}
FIELDS = ["eventType", "actor.alternateId", "target.displayName", "debugContext.debugData.risk", "outcome.result"]
TEXTS = [
    "user.session.start", "*admin*", "a?b", r"\*", r"\?x", r"a\b", r"a\\b", r"a\\*", "", "*", "**", "?", "%", "%x y%", "é*",
    "-1", " blank ", "a*b*c", r"trailing\\", "trailing\\",
]  # fmt: skip
PLAIN = [True, False, 0, 5, -3, 2.5, 10.0, None, 404]
EXPRESSIONS = [r"^0oa.*", "a|b", r"[a-z]{2,10}\.", "(?i)x", r"\\d", "a*?", "é+"]
NETWORKS = ["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "198.51.100.7/32", "203.0.113.9"]


def rule(detection: dict[str, Any]) -> str:
    source = {"product": "okta", "service": "okta"}
    document = {"title": "generated", "logsource": source, "detection": detection}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@pytest.mark.long
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
    """Return a field with modifiers and values that fit together."""
    field = chance.choice(FIELDS)
    around = chance.choice(["", "|contains", "|startswith", "|endswith"])
    joined = chance.choice(["", "", "", "|all", "|neq"])
    match chance.randrange(10):
        case 0:
            flags = chance.choice(["", "|i", "|m", "|s", "|i|m", "|s|i"])
            return f"{field}|re{flags}{joined}", value_list(chance, EXPRESSIONS)
        case 1:
            return f"{field}|cidr{joined}", value_list(chance, NETWORKS)
        case 2:
            return f"{field}|{chance.choice(['lt', 'lte', 'gt', 'gte'])}{joined}", value_list(chance, [0, -5, 2.5, 10])
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
        case 7:
            expand = chance.choice(["|re|expand", "|re|i|expand", "|re|expand|s"])
            return f"{field}{expand}{joined}", value_list(
                chance, ["^%expr%$", "%one%|%expr%", r"\d%", "a%none", "x%one%.*", ".%expr%%one%"]
            )
    cased = chance.choice(["", "|cased"])
    return f"{field}{chance.choice([cased + around, around + cased])}{joined}", value_list(
        chance,
        [text for text in TEXTS if text or not around],  # an empty text that every value contains is refused
    )


def selection(chance: random.Random) -> Any:
    match chance.randrange(6):
        case 0:
            return [dict(item(chance) for _ in range(chance.randint(1, 2))) for _ in range(chance.randint(1, 3))]
        case 1:
            return value_list(chance, [text for text in TEXTS if text] + [5, True])
        case 2:
            return {f"|{chance.choice(['all', 'contains', 'cased', 're'])}": value_list(chance, ["a*b", "x", "c.d"])}
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


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 500, 50))
def test_our_trees_of_generated_rules_are_those_of_pysigma(start: int, tmp_path: Path) -> None:
    for seed in range(start, start + 50):
        chance = random.Random(seed)
        names = ["selection", "selection_main", "filter_main", "filter_other", "_hidden", "notable"]
        detection = {name: selection(chance) for name in names} | {"condition": condition(chance, names)}
        text = rule(detection)
        (found,) = load([written(tmp_path, text)], LISTS).rules
        assert [our_tree(found.condition)] == their_rules(text, LISTS), text


BASES = """
title: Single failed login
id: 53ba33fd-3a50-4468-a5ef-c583635cfa92
name: failed_login
logsource: {product: okta, service: okta}
detection:
  selection: {EventID: [529, 4625]}
  condition: selection
---
title: Successful login
id: 4d0a2c83-c62c-4ed4-b475-c7e23a9269b8
name: successful_login
logsource: {product: okta, service: okta}
detection:
  selection: {EventID: [528, 4624]}
  condition: selection
---
"""
CORRELATIONS = {
    "a chain": """
title: Failed logins followed by a success
correlation:
  type: temporal_ordered
  rules: [many_failed_logins, successful_login]
  group-by: [User]
  timespan: 10m
level: high
---
title: Many failed logins
name: many_failed_logins
correlation:
  type: event_count
  rules: [failed_login]
  group-by: [User]
  timespan: 10m
  condition: {gte: 10}
""",
    "an event count": """
title: Many failed logins
id: 0e95725d-7320-415d-80f7-004da920fc11
correlation:
  type: event_count
  rules: [53ba33fd-3a50-4468-a5ef-c583635cfa92]
  group-by: [ComputerName]
  timespan: 1h
  condition: {gte: 100}
""",
    "a value count": """
title: Failed login
id: 0e95725d-7320-415d-80f7-004da920fc12
correlation:
  type: value_count
  rules: 53ba33fd-3a50-4468-a5ef-c583635cfa92
  group-by: [ComputerName, WorkstationName]
  timespan: 1d
  condition: {field: User, gt: 100}
  generate: true
""",
    "aliases": """
title: Internal error after a connection
correlation:
  type: temporal
  rules: [failed_login, successful_login]
  group-by: [internal_ip, remote_ip]
  timespan: 10s
  aliases:
    internal_ip: {failed_login: destination.ip, successful_login: source.ip}
    remote_ip: {failed_login: source.ip, successful_login: destination.ip}
""",
}


@pytest.mark.parametrize("name", CORRELATIONS)
def test_a_correlation_of_the_specification_is_read_as_pysigma_reads_it(name: str, tmp_path: Path) -> None:
    text = BASES + CORRELATIONS[name]
    found = load([written(tmp_path, text)])
    ids = {rule.name or rule.title: rule.id for rule in (*found.rules, *found.correlations)}
    theirs = {rule.title: rule for rule in their_correlations(text)}
    assert {rule.title for rule in found.correlations} == set(theirs)
    for ours in found.correlations:
        reference = theirs[ours.title]
        condition = reference.condition
        assert isinstance(condition, SigmaCorrelationCondition)
        assert ours.type == str(reference.type)
        assert ours.rules == tuple(ids.get(each.reference, each.reference) for each in reference.rules or ())
        assert ours.group_by == tuple(reference.group_by or ())
        assert ours.timespan == reference.timespan.seconds
        assert ours.generate == reference.generate
        assert (ours.operator, ours.value) == (condition.op.name.lower(), condition.count)
        assert ours.field == condition.fieldref
        aliases = {
            alias.alias: {ids[rule.reference]: field for rule, field in alias.mapping.items()}
            for alias in reference.aliases
        }
        assert ours.aliases == aliases


EXCEPTION = """
title: Filter administrator accounts
description: Their names start with adm_
logsource: {product: okta, service: okta}
filter:
  rules: [53ba33fd-3a50-4468-a5ef-c583635cfa92, successful_login]
  selection: {User|startswith: adm_}
  condition: CONDITION
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "condition", ["not selection", "not 1 of sel*", "not (selection or selection)", "not all of them"]
)
def test_an_exception_joined_to_its_rules_is_what_pysigma_makes_of_them(condition: str, tmp_path: Path) -> None:
    text = BASES + EXCEPTION.replace("CONDITION", condition)
    found = load([written(tmp_path, text)])
    (exception,) = found.exceptions
    joined = [("and", our_tree(rule.condition), our_tree(exception.condition)) for rule in found.rules]
    assert joined == their_rules(text)


@pytest.mark.long
def test_the_specifications_exception_is_refused_because_pysigma_would_make_it_a_trigger(tmp_path: Path) -> None:
    text = BASES + EXCEPTION.replace("CONDITION", "selection")
    with pytest.raises(RulesError, match="write `not selection`"):
        load([written(tmp_path, text)])
    assert all(tree[0] == "and" and tree[2][0] == "test" for tree in their_rules(text))
