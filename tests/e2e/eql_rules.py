"""EQL rules over documents, with Elastic's own evaluator in Python.

Of a sequence with a missing event (`![…]`), the evaluator sees that it is missing when something else happens to the
same key; Elasticsearch sees it when the time is over.
"""

from collections.abc import Sequence
from typing import Any

import eql
from eql import ast
from eql.parser import allow_negation, allow_runs, elasticsearch_syntax, parse_query

from tests.e2e.planting import ANY, NoPlantError, Wanted

_TICKS = 10_000_000
"""Of the evaluator's clock in a second."""


class Rule:
    """One sequence rule.

    Args:
        query: its text.

    Raises:
        eql.EqlError: the grammar does not allow it.
    """

    def __init__(self, query: str) -> None:
        with elasticsearch_syntax, allow_runs, allow_negation:
            self._parsed = parse_query(query, implied_any=True)

    def steps(self) -> list[Wanted]:
        """What each event of the sequence wants; all agree in the keys that join them.

        For a missing event, one that is another.
        """
        found = []
        for step in self._parsed.first.queries:
            wanted = {} if step.data["is_negated"] else _wanted(step.query.query)
            keys = [_name(key) for key in step.join_values]
            found.append(wanted | dict.fromkeys(keys, "joined"))
        return found

    def fires(self, documents: Sequence[dict[str, Any]]) -> bool:
        """Whether the rule fires on documents, a second apart."""
        fired: list[Any] = []
        engine = eql.PythonEngine({"print": False})
        with elasticsearch_syntax, allow_runs, allow_negation:
            engine.add_query(self._parsed)
        engine.add_output_hook(fired.append)
        engine.stream_events(
            [eql.Event("event", second * _TICKS, _columns(document)) for second, document in enumerate(documents, 1)]
        )
        engine.finalize()
        return bool(fired)


def _wanted(term: Any) -> Wanted:
    match term:
        case ast.And(terms=terms):
            return {name: value for part in terms for name, value in _wanted(part).items()}
        case ast.Or(terms=[first, *_]):
            return _wanted(first)
        case ast.Comparison(left=ast.Field() as field, comparator="==", right=ast.Literal(value=value)):
            return {_name(field): value}
        case ast.InSet(expression=ast.Field() as field, container=[ast.Literal(value=value), *_]):
            return {_name(field): value}
        case ast.FunctionCall(name="wildcard", arguments=[ast.Field() as field, ast.Literal(value=value), *_]):
            return {_name(field): value}
        case ast.IsNotNull(expr=ast.Field() as field) | ast.Comparison(left=ast.Field() as field, comparator="!="):
            return {_name(field): ANY}  # a field that is not there differs from nothing in Elasticsearch
        case ast.Not() | ast.Boolean():
            return {}
    raise NoPlantError(f"a term of kind {type(term).__name__}")


def _name(field: Any) -> str:
    return ".".join([field.base, *field.path])


def _columns(value: Any) -> Any:
    """A document as Elasticsearch reads it: a list of objects is an object of lists, a list of one is its item."""
    if isinstance(value, dict):
        return {key: _columns(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        keys = dict.fromkeys(key for item in value for key in item)
        return {key: _columns([item[key] for item in value if key in item]) for key in keys}
    if isinstance(value, list) and len(value) == 1:
        return _columns(value[0])
    return value
