"""Which columns an ES|QL query names, by Elasticsearch's own grammar."""

from typing import Any

from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker
from antlr4.error.ErrorListener import ErrorListener
from esql_parser.EsqlBaseLexer import EsqlBaseLexer
from esql_parser.EsqlBaseParser import EsqlBaseParser
from esql_parser.EsqlBaseParserListener import EsqlBaseParserListener


class _Errors(ErrorListener):  # type: ignore[misc]  # the library has no types
    def __init__(self) -> None:
        self.found: list[str] = []

    def syntaxError(self, _: Any, __: Any, line: int, column: int, message: str, ___: Any) -> None:  # noqa: N802  # its name
        self.found.append(f"{line}:{column}: {message}")


class _Names(EsqlBaseParserListener):  # type: ignore[misc]  # the library has no types
    def __init__(self) -> None:
        self.read: set[str] = set()
        self.made: set[str] = set()

    def enterField(self, context: Any) -> None:  # noqa: N802  # its name
        name = context.qualifiedName()
        if name:
            self.made.add(_name(name))

    def enterDereference(self, context: Any) -> None:  # noqa: N802  # its name
        self.read.add(_name(context))

    def enterDissectCommand(self, context: Any) -> None:  # noqa: N802  # its name
        # `dissect column "%{made}"`
        pattern = context.getText()
        self.made |= {part.partition("}")[0].strip("?+&*") for part in pattern.split("%{")[1:]}


def columns(query: str) -> tuple[set[str], list[str]]:
    """The columns that a query takes from its index, and the faults of its grammar."""
    errors, names = _Errors(), _Names()
    lexer = EsqlBaseLexer(InputStream(query))
    parser = EsqlBaseParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(errors)
    ParseTreeWalker().walk(names, parser.singleStatement())
    return {name for name in names.read - names.made if name}, errors.found


def _name(context: Any) -> str:
    text: str = context.getText()
    return text.replace("`", "")
