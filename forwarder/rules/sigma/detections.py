"""Reads Sigma's detections: selections of fields and values, joined by a condition.

The reader makes a tree of tests. Evaluation compiles the tree, and reports every problem. Coverage only takes the event
types from the tree, and reports no problem: a test that cannot be read becomes Unknown.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.compiler import text_matcher
from forwarder.rules.conditions.condition import And, Condition, Not, Or, Unknown, check_patterns, compared
from forwarder.rules.conditions.patterns import Pattern, expression
from forwarder.rules.conditions.query_tokens import TokenReader, tokenize
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.conditions.sigma_values import KEYWORDS, Expression, FieldTest, Text, Value, Wild, as_written
from forwarder.rules.documents import Mapping as YamlMapping
from forwarder.rules.evaluation.countries import CODES, COUNTRY_FIELD, UNKNOWN, not_a_code
from forwarder.rules.sigma.modifiers import Lists, check_modifiers, modified
from forwarder.rules.suggestion import did_you_mean

_TOKENS = re.compile(r"(?P<skip>\s+)|(?P<mark>[()])|(?P<word>[^\s()|]+)|(?P<text>\|.*)", re.DOTALL)
_MAX_TESTS = 100_000
"""The maximum number of tests that the conditions of a rule may join. A selection counts each time that a condition
names it."""
_SYSTEMS = ("windows", "linux", "macos")
_EMPTY = "a selection is empty; write a field and a value in it, or remove it"
_QUANTIFIERS: dict[str, type[And | Or]] = {"1": Or, "any": Or, "all": And}

Report = Callable[[str, int], None]
"""Takes the text of a problem and the number of its line, from 0 at the start of the document."""


def sigma_rule(found: dict[str, Any]) -> Rule:
    """Return a Sigma rule, reduced to its tests of the event type.

    If the rule is about another product, its condition is not read, so an error in the condition is ignored.

    Raises:
        RuleFileError: the condition cannot be read.
    """
    okta = about_okta(found.get("logsource"))
    conditions = (about_types(detection_tree(found["detection"], {}, _ignored)),) if okta is not False else ()
    return Rule(
        name=str(found.get("title") or "without a title"),
        language="sigma",
        conditions=conditions,
        id=str(found.get("id") or ""),
        okta=okta,
    )


def _ignored(_text: str, _line: int) -> None:
    """Report nothing: for coverage, a test that cannot be read is only a test whose result is not known."""


def line_of(found: Any, key: str | None = None) -> int:
    """Return the number of the first line of the mapping `found`; with `key`, return the line of this key. Lines are
    counted from 0 at the start of the document. If the line is unknown, return 0."""
    if not isinstance(found, YamlMapping):
        return 0
    return found.lines.get(key, found.line) if key is not None else found.line


def report_repeated_keys(found: Any, report: Report, where: str) -> None:
    """Report each key of the mapping `found` that occurs twice, because only the last value would count."""
    for key in getattr(found, "repeated", ()):
        report(f"the key {key!r} occurs twice in {where}; remove one of the two", line_of(found, key))


def about_okta(source: Any) -> bool | None:
    """Whether the log source `source` is Okta; None if `source` names neither a product nor a service.

    If the product is an operating system, the service `okta` means a program of Okta's on that system, so the result
    is False.
    """
    if not isinstance(source, dict):
        return None
    product, service = (str(source.get(key) or "").lower() for key in ("product", "service"))
    if not product or product in _SYSTEMS:
        return "okta" in (product or service) if product or service else None
    return "okta" in product or service == "okta"


def detection_tree(
    detection: Mapping[str, Any], lists: Lists, report: Report, other_keys: Sequence[str] = ("condition", "timeframe")
) -> Condition:
    """Read selections and their condition as a tree.

    Each leaf is a FieldTest. If a test has a problem, the problem is reported, and the leaf is Unknown.

    Raises:
        RuleFileError: the condition cannot be read.
    """
    report_repeated_keys(detection, report, "`detection`")
    selections = _Named(
        {
            str(name): _Selections(lists, report, line_of(detection, name)).read(value)
            for name, value in detection.items()
            if name not in other_keys
        }
    )
    if "timeframe" in detection and "timeframe" in other_keys:
        text = "`timeframe` belongs to Sigma's older rules; write a correlation with a `timespan`"
        report(text, line_of(detection, "timeframe"))
    written = detection.get("condition")
    conditions = written if isinstance(written, list) else [written]
    texts = [condition for condition in conditions if isinstance(condition, str) and condition.strip()]
    if not texts:
        raise RuleFileError("the rule's `detection` has no condition; add one, as in `condition: selection`")
    if len(texts) < len(conditions):
        raise RuleFileError("each item of `condition` must be a string, as in `condition: selection`")
    line = line_of(detection, "condition")
    found = _joined([_condition(text, selections, report, line) for text in texts], Or)
    check_patterns(about_types(found))  # `rules check` looks up the types of each rule
    return found


def _joined(parts: Sequence[Condition], kind: type[And | Or]) -> Condition:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _condition(condition: str, selections: "_Named", report: Report, line: int) -> Condition:
    reader = TokenReader(tokenize(condition, _TOKENS, str))

    def operand() -> Condition:
        if reader.skip("("):
            inner = reader.condition(operand)
            reader.expect(")")
            return inner
        word = reader.take().text
        if not reader.skip("of"):
            return selections.one(word)
        return selections.several(word.lower(), reader.take().text)

    found = reader.condition(operand)
    rest = reader.next()
    if rest and rest.kind != "text":
        raise RuleFileError(f"the condition cannot be read at {rest.text!r}; correct the condition there")
    if rest:  # older Sigma rules count events after a `|`
        report("the condition counts events after a `|`; write a correlation instead", line)
    return found


class _Named:
    """The selections of a rule by name, for the condition that joins them."""

    def __init__(self, parts: dict[str, Condition]) -> None:
        self._parts = parts
        self._sizes = {name: _tests(part) for name, part in parts.items()}
        self._left = _MAX_TESTS

    def one(self, name: str) -> Condition:
        """Return the selection `name`."""
        if name not in self._parts:
            hint = did_you_mean(name, self._parts)
            raise RuleFileError(f"the condition names the unknown selection {name!r}{hint}")
        self._spend(self._sizes[name])
        return self._parts[name]

    def several(self, quantifier: str, which: str) -> Condition:
        """Join the selections whose names match the pattern `which`. `quantifier` is `1`, `any` or `all`.

        A name that begins with `_` matches only a pattern that also begins with `_`.
        """
        if quantifier not in _QUANTIFIERS:
            raise RuleFileError(f"the condition has {quantifier!r} before `of`; write 1, any or all")
        self._spend(len(self._parts))
        pattern = "*" if which.lower() == "them" else which
        chosen = [
            name
            for name in self._parts
            if fnmatchcase(name, pattern) and (pattern.startswith("_") or not name.startswith("_"))
        ]
        if not chosen:
            raise RuleFileError(
                f"the condition names {which!r}, which matches no selection; correct the condition, or add a selection"
            )
        self._spend(sum(self._sizes[name] for name in chosen))
        return _joined([self._parts[name] for name in chosen], _QUANTIFIERS[quantifier])

    def _spend(self, tests: int) -> None:
        self._left -= tests
        if self._left < 0:
            raise RuleFileError(
                f"the condition joins more than {_MAX_TESTS:,} tests, because each mention of a selection adds all of its tests; mention selections less often"
            )


def _tests(condition: Condition) -> int:
    match condition:
        case And(parts) | Or(parts):
            return sum(_tests(part) for part in parts)
        case Not(part):
            return _tests(part)
    return 1


class _Selections:
    """Reads one selection, and reports each problem with its line."""

    def __init__(self, lists: Lists, report: Report, line: int) -> None:
        self._lists = lists
        self._report = report
        self._line = line

    def read(self, found: Any) -> Condition:
        if isinstance(found, dict):
            return self._fields(found)
        if isinstance(found, list) and found:
            if any(isinstance(item, dict | list) for item in found):
                return _joined([self.read(item) for item in found], Or)
            return self._test("", [], found, self._line)
        if found is None or isinstance(found, list):
            return self._unknown(_EMPTY, self._line)
        return self._test("", [], [found], self._line)

    def _fields(self, found: dict[str, Any]) -> Condition:
        if not found:
            return self._unknown(_EMPTY, self._line)
        report_repeated_keys(found, self._report, "a selection")
        parts = []
        for name, value in found.items():
            field, *modifiers = str(name).split("|")
            values = value if isinstance(value, list) else [value]
            parts.append(self._test(field, modifiers, values, line_of(found, str(name)) or self._line))
        return _joined(parts, And)

    def _test(self, field: str, modifiers: list[str], written: list[Any], line: int) -> Condition:
        """Return the condition that `field` matches the values `written`. `modifiers` change the values, and say
        whether one or all of the values must match, or, with `neq`, must not match."""
        try:
            values = _values(field, modifiers, written, self._lists)
        except RuleFileError as error:
            return self._unknown(f"{'|'.join([field, *modifiers])}: {error}" if field else str(error), line)
        tests = [FieldTest(field=field or None, value=value) for value in values]
        # An empty list in `rules.lists` matches nothing, even with the modifier `all`.
        joined = _joined(tests, And if "all" in modifiers and tests else Or)
        return Not(joined) if "neq" in modifiers else joined

    def _unknown(self, text: str, line: int) -> Condition:
        self._report(text, line)
        return Unknown()


def _values(field: str, modifiers: list[str], written: list[Any], lists: Lists) -> list[Value]:
    check_modifiers(field, modifiers)
    if not written:
        raise RuleFileError("the list of values is empty; write at least one value")
    values = [value for each in written for value in _read(field, each, modifiers, lists)]
    if not field and not all(isinstance(value, KEYWORDS) for value in values):
        raise RuleFileError(
            "a keyword must be a string, a number, a boolean or a regular expression; write one of these"
        )
    if not field and Text(()) in values:
        raise RuleFileError("a keyword is empty, so it matches every value; write a text")
    return values


def _read(field: str, written: Any, modifiers: list[str], lists: Lists) -> list[Value]:
    values = modified(written, modifiers, lists)
    if field.lower() != COUNTRY_FIELD:
        return values
    try:
        return [_country(value) for value in values]
    except RuleFileError as error:
        where = f" (in `rules.lists`: {written})" if "expand" in modifiers else ""
        raise RuleFileError(f"{error}{where}") from None


def _country(value: Value) -> Value:
    """Return the value to compare `forwarder.country` with. The text `??` means an unknown country; its question marks
    are not wildcards.

    Raises:
        RuleFileError: no country code matches `value`.
    """
    if not isinstance(value, Text):
        return value
    if value.parts == (Wild.ONE, Wild.ONE):
        return Text((UNKNOWN,), value.cased)
    matches = text_matcher(value)
    if not any(matches(code if value.cased else code.lower()) for code in CODES):
        raise not_a_code(as_written(value.parts))
    return value


def about_types(condition: Condition) -> Condition:
    """Reduce `condition` to its tests of the event type. All other tests become Unknown, because their result is not
    known here."""
    match condition:
        case Or(()):  # a list in `rules.lists` that is empty now, but may be filled later
            return Unknown()
        case And(parts):
            return And(tuple(about_types(part) for part in parts))
        case Or(parts):
            return Or(tuple(about_types(part) for part in parts))
        case Not(part):
            return Not(about_types(part))
        case FieldTest(field=str(field), value=Text() as text):
            return compared(field, _pattern(text))
        case FieldTest(field=str(field), value=Expression(at_start=False, at_end=False) as found):
            any_case = "i" in found.flags
            return compared(field, expression(found.source, whole=False, any_case=any_case))
    return Unknown()


def _pattern(text: Text) -> Pattern:
    matches = text_matcher(text)
    test = matches if text.cased else lambda value: matches(value.lower())
    return Pattern(as_written(text.parts), test, literal=text.literal is not None)
