"""Reads the parts that EQL and ES|QL have in common: comparisons, functions of fields, and other expressions between
`and` and `or`.

The reader understands only tests of the event type against a text, and tests of a document's source. Everything else
becomes Unknown, a test whose result is not known here, so unknown functions and operators do no harm.

Not recognised: an event type that the query composes (`concat`), a field that it renames (`rename`, `eval kind =
event.action`), and lists in another index (`lookup join`, `enrich`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import takewhile

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import Condition, Not, Or, Unknown, compared
from forwarder.rules.conditions.patterns import Pattern, exactly, expression, wildcard
from forwarder.rules.conditions.query_tokens import QueryToken, TokenReader

TOKENS = re.compile(
    r"""(?P<skip>\s+|//[^\r\n]*)
      | (?P<comment>/\*)
      | (?P<text>[?]?\"{3}.*?\"{3,}|[?]?"(?:\\.|[^"\\\n])*"|[?]?'(?:\\.|[^'\\\n])*')
      | (?P<word>[?]?(?:[\w@]+|`[^`]+`)(?:\.(?:\w+|`[^`]+`))*~?)
      | (?P<mark>==|!=|<=|>=|=~|::|=>|[][()|,;:<>=+\-*%!{}.?~/])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_BETWEEN = (",", ";", "|", "where", "by")
_ENDS = (")", "]", *_BETWEEN)


def unquoted(text: str) -> str:
    """Return the value of the quoted token `text`. Resolve escapes, except in raw strings: those in triple quotes, and
    those with a `?` before the quote."""
    if text.startswith("?"):
        return text[2:-1]
    if text.startswith('"""'):
        return text[3:-3]
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.DOTALL)


Test = Callable[[str], Pattern | None]
"""Makes a Pattern from the text after an operator; returns None if the text cannot be read."""


class Language(msgspec.Struct, frozen=True):
    """The comparisons that a query language has, and how they are written.

    Attributes:
        operators: operators that follow a field, as in `event.action like "user.*"`.
        functions: functions that compare a field, as in `starts_with(event.action, "user.")`.
        wrappers: functions that change a field's value before it is compared, as in `to_lower(event.action)`.
        queries: functions whose first argument is a query in another language.
    """

    operators: Mapping[str, Test]
    functions: Mapping[str, Test]
    wrappers: Mapping[str, Callable[[str], str]] = {}
    queries: Mapping[str, Callable[[str], Condition]] = {}


def starts(text: str) -> Pattern:
    return Pattern(f"{text}*", lambda value: value.startswith(text), literal=False)


def ends(text: str) -> Pattern:
    return Pattern(f"*{text}", lambda value: value.endswith(text), literal=False)


def contains(text: str) -> Pattern:
    return Pattern(f"*{text}*", lambda value: text in value, literal=False)


def in_any_case(test: Callable[[str], Pattern]) -> Test:
    """Return a Test that makes the same patterns as `test`, but ignores case."""

    def folded(text: str) -> Pattern:
        inner = test(text.lower())
        return Pattern(inner.text, lambda value: inner.matches(value.lower()), inner.literal)

    return folded


same = exactly
same_in_any_case = partial(exactly, any_case=True)
like = partial(wildcard, one="?")
"""Makes a pattern with wildcards: `*` stands for any characters, `?` for one."""
like_in_any_case = partial(wildcard, one="?", any_case=True)
regex = expression
"""Makes a pattern that matches the whole value with a regular expression."""
regex_in_any_case = partial(expression, any_case=True)


class _Group(msgspec.Struct, frozen=True):
    """The content of a pair of brackets. Commas separate the parts of the content; each part is kept both as tokens and
    as a condition."""

    parts: tuple[tuple[Sequence[QueryToken], Condition], ...]


_Piece = QueryToken | _Group


class _Field(msgspec.Struct, frozen=True):
    """A field of a comparison. `change` is the function that the query applies to the field's value before the
    comparison."""

    name: str
    change: Callable[[str], str] = str

    def seen_by(self, pattern: Pattern | None) -> Pattern | None:
        if pattern is None or self.change is str:
            return pattern
        matches = pattern.matches
        return Pattern(pattern.text, lambda value: matches(self.change(value)), pattern.literal)


class Conditions:
    """Reads conditions in one query language."""

    def __init__(self, reader: TokenReader, language: Language) -> None:
        self._reader = reader
        self._language = language

    def read(self) -> Condition:
        """Read one condition, up to the end or to the token that ends it: a bracket, a comma or a pipe."""
        return self._reader.condition(self._operand)

    def _operand(self) -> Condition:
        """Read an operand of `and` or `or`: a condition in brackets, a comparison, or any other expression, which
        becomes Unknown."""
        pieces: list[_Piece] = []
        while self._reader.next() and not self._reader.at(*_ENDS) and not self._reader.at_joint():
            pieces.append(self._group() if self._reader.at("(", "[") else self._reader.take())
        match pieces:
            case [_Group(parts)] if len(parts) == 1:
                return parts[0][1]
        return self._understood(pieces) or Unknown(_within(pieces))

    def _group(self) -> _Group:
        closing = ")" if self._reader.take().text == "(" else "]"
        parts = []
        while not self._reader.skip(closing):
            start = self._reader.place
            condition = self.read()
            parts.append((self._reader.between(start, self._reader.place), condition))
            if not self._reader.skip(*_BETWEEN) and not self._reader.at(closing):
                self._reader.expect(closing)
        return _Group(tuple(parts))

    def _understood(self, pieces: Sequence[_Piece]) -> Condition | None:
        match pieces:
            case [QueryToken(kind="word"), QueryToken(text="="), *rest] if rest:  # a value is assigned to a column
                return self._understood(rest)
            case [QueryToken("word", function), _Group(parts)]:
                return self._call(function.lower(), [written for written, _ in parts])
            case [QueryToken("text") as text, QueryToken("mark", "==" | "!="), *rest]:
                field, more = self._field(rest)
                return self._comparison(field, [pieces[1], text]) if field and not more else None
        field, following = self._field(pieces)
        return self._comparison(field, following) if field else None

    def _field(self, pieces: Sequence[_Piece]) -> "tuple[_Field | None, Sequence[_Piece]]":
        """Return (field, rest): the field at the start of `pieces`, and the pieces after it. Without a field, `field`
        is None."""
        match pieces:
            case [QueryToken("word", function), _Group(parts), *rest]:
                wrapper = self._language.wrappers.get(function.lower())
                inner = self._field(parts[0][0])[0] if parts and wrapper else None
                return (_Field(inner.name, wrapper) if inner and wrapper else None), rest
            case [
                QueryToken("word", name),
                QueryToken("mark", "::"),
                QueryToken("word"),
                *rest,
            ]:  # a cast to another type
                return _Field(_name(name)), rest
            case [QueryToken("word", name), *rest]:
                return _Field(_name(name)), rest
        return None, ()

    def _comparison(self, field: "_Field", rest: Sequence[_Piece]) -> Condition | None:
        match rest:
            case [QueryToken("word", word), *more] if word.lower() == "not":
                inside = self._comparison(field, more)
                return Not(inside) if inside else None
            case [QueryToken("mark", "!="), *more]:
                inside = self._comparison(field, [QueryToken("mark", "==", 0), *more])
                return Not(inside) if inside else None
            case [QueryToken(_, operator, line), _Group(())] if operator.lower() in self._language.operators:
                raise RuleFileError(
                    f"line {line} of the query: the list of values after {operator!r} is empty; write at least one value"
                )
            case [QueryToken(_, operator), value] if operator.lower() in self._language.operators:
                return self._any_of(field, self._language.operators[operator.lower()], _texts(value))
        return None

    def _call(self, function: str, arguments: list[Sequence[QueryToken]]) -> Condition | None:
        match arguments:
            case [[QueryToken("text", query)], *_] if function in self._language.queries:
                return self._language.queries[function](query)
            # After the values there may be options of a full text search: `match(field, "a", {"operator": "AND"})`.
            case [first, *rest] if function in self._language.functions:
                field, more = self._field(first)
                values = takewhile(lambda written: written and written[0].text != "{", rest)
                texts = [text for written in values for text in _texts(*written)]
                test = self._language.functions[function]
                return self._any_of(field, test, texts) if field and not more else None
        return None

    def _any_of(self, field: "_Field", test: Test, texts: Sequence[str]) -> Condition | None:
        parts = tuple(compared(field.name, field.seen_by(test(text))) for text in texts)
        return Or(parts) if parts else None


def _texts(*pieces: _Piece) -> list[str]:
    """Return the quoted texts in `pieces`."""
    found: list[str] = []
    for piece in pieces:
        if isinstance(piece, _Group):
            found += [text for written, _ in piece.parts for text in _texts(*written)]
        elif piece.kind == "text":
            found.append(piece.text)
    return found


def _within(pieces: list[_Piece]) -> tuple[Condition, ...]:
    return tuple(inner for piece in pieces if isinstance(piece, _Group) for _, inner in piece.parts)


def _name(written: str) -> str:
    return written.replace("`", "").removeprefix("?")
