"""Splits the text of a file of rules into documents, and decodes each as TOML, JSON or YAML.

Limits on size and nesting make sure that no text crashes the process or keeps a decoder busy for more than seconds.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import yaml

from forwarder.core.errors import RuleFileError

_MAX_DEPTH = 100
_MAX_VALUES = 1_000_000
_MAX_YAML_VALUES = 20_000  # in one document; a value that anchors repeat counts each time
_MAX_MERGED = 100_000
_MAX_SLOW_CHARACTERS = 4 << 20  # of YAML and TOML, whose decoders need seconds for so many
_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?m)(?:^|[{{,\[])[ \t]*+{_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{20}}")
"""Matches a key of TOML with more than 20 parts. For n parts, `tomllib` takes time in proportion to n²."""
_NOT_BLANK = re.compile(r"\S")
# Integers become floats: no rule needs the exact value, and Python refuses one with too many digits.
_DECODER = json.JSONDecoder(parse_int=float)


class Document(msgspec.Struct, frozen=True):
    """One document of a file.

    Attributes:
        text: the document before it is decoded.
        line: the number of the document's first line, from 1; 0 if the document is the whole file.
        value: the decoded document; None if there is a problem.
        problem: why the document cannot be decoded; empty if it can.
    """

    text: str
    line: int = 0
    value: Any = None
    problem: str = ""


def toml_documents(text: str) -> Iterator[Document]:
    yield _decoded(text, "TOML", _toml)


def json_documents(text: str) -> Iterator[Document]:
    """Decode one JSON value, or several values one after the other."""
    if not text.strip():
        return
    found = _decoded(text, "JSON", _json)
    if found.problem.endswith("Extra data"):  # one complete value, and then another one
        yield from line_documents(text)
    else:
        yield found


def line_documents(text: str) -> Iterator[Document]:
    """Decode several JSON values, each of which begins on a new line. If one value is broken, the others are still
    decoded."""
    line = 1
    for part in re.split(r"(?m)^(?=[{\[])", text):
        yield from _values(part, line)
        line += part.count("\n")


def _values(text: str, line: int) -> Iterator[Document]:
    """Decode the JSON values in `text` up to the first broken value. `line` is the number of the first line of `text`."""
    at = 0
    while start := _NOT_BLANK.search(text, at):
        line += text.count("\n", at, start.start())
        at = start.start()
        found = _decoded(text, "JSON", partial(_json_at, at=at), line=line)
        if found.problem:
            yield msgspec.structs.replace(found, text=text[at:])
            return
        value, end = found.value
        yield Document(text[at:end], line, value)
        line += text.count("\n", at, end)
        at = end


def yaml_documents(text: str) -> Iterator[Document]:
    """Decode the documents of a YAML file one by one. If one document is broken, the others are still decoded."""
    line, shared, copied = 1, 0, 0
    for part in re.split(r"(?m)^(?=(?:---|\.\.\.)(?:\s|$))", text):
        document = part.removeprefix("...")  # `...` ends the document before
        # Skip a document that has only comments and directives, or only the `---` that begins it.
        if re.search(r"(?m)^(?!%)[^\S\n]*[^\s#]", document.removeprefix("---")):
            found = _decoded(document, "YAML", _yaml, line=line)
            copied += shared
            shared += _shared(found.value)
            if copied > _MAX_MERGED:
                problem = f"`action: global` and `repeat` copy more than {_MAX_MERGED:,} values; write them less often"
                yield Document(text, line, problem=problem)
                return
            yield found
        line += part.count("\n")


def _shared(value: Any) -> int:
    """Return how many values each later document copies from the document `value`. Only documents of Sigma's older
    collections are copied."""
    if not isinstance(value, dict) or value.get("action") not in ("global", "repeat"):
        return 0
    return _count(value)


def _decoded(text: str, kind: str, decode: Callable[[str], Any], line: int = 0) -> Document:
    try:
        value = decode(text)
    except (RecursionError, RuleFileError) as error:
        problem = str(error) if isinstance(error, RuleFileError) else "is nested too deeply"
    except json.JSONDecodeError as error:
        line, problem = (line or error.lineno), f"is not JSON: {error.msg}"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, problem = (line + mark.line if mark else line), f"is not YAML: {error.problem or _first_line(error)}"
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        problem = f"is not {kind}: {_first_line(error)}"
    else:
        return Document(text, line, value)
    return Document(text, line, problem=problem)


def _count(value: Any, most: int = _MAX_VALUES) -> int:
    """Return the number of values in `value`. A value that YAML anchors repeat counts each time.

    Raises:
        RuleFileError: `value` contains more than `most` values, or is nested too deeply.
    """
    found, count = [(value, 0)], 0
    while found:
        inner, depth = found.pop()
        count += 1
        if depth > _MAX_DEPTH:
            raise RuleFileError("is nested too deeply")
        if count > most:
            raise RuleFileError(f"the document holds more than {most:,} values; split it into several documents")
        if isinstance(inner, dict):
            found += [(item, depth + 1) for item in inner.values()]
        elif isinstance(inner, list):
            found += [(item, depth + 1) for item in inner]
    return count


def _toml(text: str) -> Any:
    _check_length(text)
    if _LONG_KEY.search(text):
        raise RuleFileError("is nested too deeply")
    found = tomllib.loads(text)
    _count(found)
    return found


def _json(text: str) -> Any:
    found = _DECODER.decode(text)
    _count(found)
    return found


def _json_at(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value that begins at position `at`, and the position of its end."""
    found, end = _DECODER.raw_decode(text, at)
    _count(found)
    return found, end


def _yaml(text: str) -> Any:
    _check_length(text)
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):  # libyaml's composer crashes the process on deep nesting
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise RuleFileError("is nested too deeply")
    found = list(yaml.load_all(text, Loader=_Loader))  # a SafeLoader
    _count(found, _MAX_YAML_VALUES)
    return found[0] if len(found) == 1 else found


def _check_length(text: str) -> None:
    if len(text) > _MAX_SLOW_CHARACTERS:
        raise RuleFileError(f"is larger than {_MAX_SLOW_CHARACTERS >> 20} MiB; split the file")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class Mapping(dict[Any, Any]):
    """A YAML mapping with the line number of each key.

    Attributes:
        line: the first line of the mapping, counted from 0 at the start of the document.
        lines: the line of each key, counted in the same way as `line`.
        repeated: keys that occur more than once; the last value is used.
    """

    __slots__ = ("line", "lines", "repeated")

    def __init__(self, node: yaml.MappingNode) -> None:
        super().__init__()
        self.line: int = node.start_mark.line
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        self.lines: dict[str, int] = {key.value: key.start_mark.line for key in keys}
        self.repeated = sorted(
            {key for key, number in Counter(key.value for key in keys).items() if number > 1} - {"<<"}
        )


class Plain(str):
    """A value without quotes that YAML reads as a number or a boolean, kept as text. `tag` is "int", "float" or "bool"."""

    __slots__ = ("tag",)
    tag: str


_PREFIX = "tag:yaml.org,2002:"
_NULL, _MERGE, _MAP = _PREFIX + "null", _PREFIX + "merge", _PREFIX + "map"
_TYPED = (_PREFIX + "int", _PREFIX + "float", _PREFIX + "bool")
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Loads each YAML scalar except null as text, because a rule may contain impossible dates, huge numbers and YAML
    tags of its own. A number or a boolean becomes a Plain."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in found if tag in (_NULL, _MERGE, *_TYPED)]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (_NULL, _PREFIX + "seq")
    }
    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve the merge key `<<`. Raise RuleFileError if nested anchors make the result too large."""
        for key, value in node.value:
            if key.tag == _MERGE:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.MappingNode):
                        self.flatten_mapping(part)
                        self._merged += len(part.value)
                        if self._merged > _MAX_MERGED:
                            raise RuleFileError(
                                f"the merge keys (`<<`) of this YAML bring in more than {_MAX_MERGED:,} values; use "
                                "fewer merge keys"
                            )
        super().flatten_mapping(node)


def _plain(loader: Any, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


def _mapping(loader: Any, node: yaml.MappingNode) -> Iterator[Mapping]:
    found = Mapping(node)
    yield found  # before it is filled, because a value inside may refer to it
    found.update(loader.construct_mapping(node))


def _typed(loader: Any, node: yaml.ScalarNode) -> Plain:
    found = Plain(loader.construct_scalar(node))
    found.tag = node.tag.removeprefix(_PREFIX)
    return found


_Loader.add_constructor(None, _plain)
_Loader.add_constructor(_MAP, _mapping)
for _tag in _TYPED:
    _Loader.add_constructor(_tag, _typed)
