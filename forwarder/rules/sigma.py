"""Sigma rules: selections of fields and values, joined by a condition.

Not recognised: keywords without a field, placeholders, and correlations, which name other rules and no event types.
"""

import re
from fnmatch import fnmatchcase
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.condition import (
    And,
    Condition,
    Not,
    Or,
    Pattern,
    Unknown,
    compared,
    expression,
    wildcard,
)
from forwarder.rules.reader import Reader, tokenize
from forwarder.rules.rule import Rule

_TOKENS = re.compile(r"(?P<skip>\s+)|(?P<mark>[()])|(?P<word>[^\s()|]+)|(?P<text>\|.*)", re.DOTALL)
_AROUND = {"contains": "*{}*", "startswith": "{}*", "endswith": "*{}"}
_PLAIN = {*_AROUND, "all", "cased", "re", "i", "m", "s", "neq"}


def sigma_rule(found: dict[str, Any]) -> Rule:
    """Read a rule. One about another product keeps no conditions, so that none of them can be wrong.

    Raises:
        RuleFileError: its detection cannot be read.
    """
    okta = _about_okta(found.get("logsource"))
    return Rule(
        name=str(found.get("title") or "without a title"),
        language="sigma",
        conditions=() if okta is False else (_detection(found["detection"]),),
        id=str(found.get("id") or ""),
        okta=okta,
    )


def _about_okta(source: Any) -> bool | None:
    """Whether a log source is Okta; None if it names no product."""
    product = source.get("product") or source.get("service") if isinstance(source, dict) else None
    return None if product is None else "okta" in str(product).lower()


def _detection(detection: dict[str, Any]) -> Condition:
    selections = {
        str(name): _selection(value)
        for name, value in detection.items()
        if name not in ("condition", "timeframe")
    }
    written = detection.get("condition")
    conditions = written if isinstance(written, list) else [written]
    texts = [condition for condition in conditions if isinstance(condition, str)]
    if not texts:
        raise RuleFileError("its detection has no condition")
    return Or(tuple(_joined(text, selections) for text in texts))


def _joined(condition: str, selections: dict[str, Condition]) -> Condition:
    reader = Reader(tokenize(condition, _TOKENS, str))

    def operand() -> Condition:
        if reader.skip("("):
            inner = reader.condition(operand)
            reader.expect(")")
            return inner
        word = reader.take().text
        if not reader.skip("of"):
            return _named(word, selections)
        which = reader.take().text
        # By convention, a selection whose name begins with "_" is not among "them".
        chosen = [
            part
            for name, part in selections.items()
            if (not name.startswith("_") if which == "them" else fnmatchcase(name, which))
        ]
        if not chosen:
            raise RuleFileError(f"its condition names {which!r}, and there is no such selection")
        return And(tuple(chosen)) if word.lower() == "all" else Or(tuple(chosen))

    found = reader.condition(operand)
    rest = reader.next()
    if rest and rest.kind != "text":  # behind "|", older Sigma rules count events
        raise RuleFileError(f"its condition cannot be read from {rest.text!r} on")
    return found


def _named(name: str, selections: dict[str, Condition]) -> Condition:
    if name not in selections:
        raise RuleFileError(f"its condition names {name!r}, and there is no such selection")
    return selections[name]


def _selection(found: Any) -> Condition:
    if isinstance(found, dict):
        return And(tuple(_field(str(name), value) for name, value in found.items()))
    if isinstance(found, list):
        return Or(tuple(_selection(item) for item in found))
    return Unknown()


def _field(name: str, value: Any) -> Condition:
    field, *modifiers = name.split("|")
    if not _PLAIN.issuperset(modifiers):
        return Unknown()
    values = value if isinstance(value, list) else [value]
    parts = tuple(
        compared(field, _pattern(item, modifiers)) if isinstance(item, str) else Unknown() for item in values
    )
    joined = And(parts) if "all" in modifiers else Or(parts)
    return Not(joined) if "neq" in modifiers else joined


def _pattern(value: str, modifiers: list[str]) -> Pattern | None:
    if "re" in modifiers:
        return expression(value, whole=False, any_case="i" in modifiers)
    for modifier in modifiers:
        value = _AROUND.get(modifier, "{}").format(value)
    return wildcard(value, one="?", any_case="cased" not in modifiers)
