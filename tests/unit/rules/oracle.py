"""Trees of conditions, as pySigma and as our reader build them, in a common form: nested tuples."""

from pathlib import Path
from typing import Any

from sigma import conditions as theirs
from sigma import types
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import ValueListPlaceholderTransformation
from sigma.rule import SigmaRule

from forwarder.rules.conditions.condition import And, Condition, Not, Or
from forwarder.rules.conditions.sigma_values import (
    Bound,
    Exists,
    Expression,
    FieldReference,
    FieldTest,
    NetworkRange,
    Null,
    Number,
    Text,
    Truth,
    Value,
    Wild,
)
from forwarder.rules.sigma.modifiers import Lists

Tree = tuple[Any, ...]


def our_tree(condition: Condition) -> Tree:
    """Return one of our conditions in the common form."""
    match condition:
        case And(parts):
            return ("and", *map(our_tree, parts))
        case Or(parts):
            return ("or", *map(our_tree, parts))
        case Not(part):
            return ("not", our_tree(part))
        case FieldTest():
            return ("test", condition.field, _our_value(condition.value))
    raise AssertionError(condition)


def _our_value(value: Value) -> Tree:
    match value:
        case Text(parts, cased):
            return ("text", cased, *(part.value if isinstance(part, Wild) else ("part", part) for part in parts))
        case Expression():
            return ("expression", value.source, *sorted(value.flags))
        case NetworkRange(cidr):
            return ("network", cidr)
        case Bound(operator, number):
            return ("bound", operator, number)
        case Number(number):
            return ("number", number)
        case Truth(truth):
            return ("truth", truth)
        case Null():
            return ("null",)
        case Exists(wanted):
            return ("exists", wanted)
        case FieldReference(field, starts, ends):
            return ("field", field, starts, ends)


def their_tree(condition: Any) -> Tree:
    """Return one of pySigma's conditions in the common form."""
    if isinstance(condition, theirs.ConditionAND | theirs.ConditionOR):
        word = "and" if isinstance(condition, theirs.ConditionAND) else "or"
        return (word, *map(their_tree, condition.args))
    if isinstance(condition, theirs.ConditionNOT):
        return ("not", their_tree(condition.args[0]))
    if isinstance(condition, theirs.ConditionFieldEqualsValueExpression):
        return ("test", condition.field, _their_value(condition.value))
    assert isinstance(condition, theirs.ConditionValueExpression)
    return ("test", None, _their_value(condition.value))


_WILD: dict[Any, str] = {types.SpecialChars.WILDCARD_MULTI: "*", types.SpecialChars.WILDCARD_SINGLE: "?"}


def _their_value(value: Any) -> Tree:
    match value:
        case types.SigmaString():
            parts = [("part", part) if isinstance(part, str) else _WILD[part] for part in value.s]
            return ("text", isinstance(value, types.SigmaCasedString), *parts)
        case types.SigmaRegularExpression():
            return ("expression", str(value.regexp), *sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
        case types.SigmaCIDRExpression():
            return ("network", value.cidr)
        case types.SigmaCompareExpression():
            return ("bound", value.op.name.lower(), value.number.number)
        case types.SigmaNumber():
            return ("number", value.number)
        case types.SigmaBool():
            return ("truth", value.boolean)
        case types.SigmaNull():
            return ("null",)
        case types.SigmaExists():
            return ("exists", value.exists)
        case types.SigmaFieldReference():
            return ("field", value.field, value.starts_with, value.ends_with)
    raise AssertionError(value)


def their_rules(text: str, lists: Lists | None = None) -> list[Tree]:
    """Return pySigma's trees for the rules in a YAML text, without correlations; exceptions are applied."""
    collection = SigmaCollection.from_yaml(text)
    collection.resolve_rule_references()
    pipeline = ProcessingPipeline(
        items=[ProcessingItem(ValueListPlaceholderTransformation())],
        vars={name: list(values) for name, values in (lists or {}).items()},
    )
    trees = []
    for rule in collection.rules:
        if isinstance(rule, SigmaRule):
            pipeline.apply(rule)
            found = [their_tree(each.parsed) for each in rule.detection.parsed_condition]
            trees.append(found[0] if len(found) == 1 else ("or", *found))
    return trees


def their_correlations(text: str) -> list[SigmaCorrelationRule]:
    """Return the correlations in a YAML text, as pySigma reads them."""
    found = SigmaCollection.from_yaml(text).rules
    return [rule for rule in found if isinstance(rule, SigmaCorrelationRule)]


def written(folder: Path, text: str) -> Path:
    """Write these rules to a file, and return the file."""
    path = folder / "rules.yml"
    path.write_text(text, encoding="utf-8")
    return path
