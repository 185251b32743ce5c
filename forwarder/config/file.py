"""Reads the configuration as the operator wrote it: a YAML file, and environment variables that override it."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from forwarder.core.errors import SettingsError
from forwarder.safe_files import cannot_read, read_small

ENV_PREFIX = "FORWARDER__"
SOURCES = frozenset({"env", "file"})
"""The keys that name the source of a secret, as in `{env: NAME}` and `{file: path}`."""

_NEARLY = re.compile(
    r"FORWARDER_(?!_)(.+__|(ORGS|RECEIVER|STORE|SINKS|RECONCILE|RULES|REACTIONS|OPS|LOG)_)", re.IGNORECASE
)
"""Matches variables that look like keys of the configuration, but have only one `_` where two are needed."""

_OTHER_VARIABLES = {"FORWARDER_OPS_TOKEN"}
_KUBERNETES = re.compile(r"_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_\w+)?)$")
"""Matches the end of each variable that Kubernetes sets for a Service named `forwarder-…`."""

_QUOTE = "put a value that has such a character into quotes"
_HINTS = {
    r"'\t'": "YAML allows no tabs; indent with spaces",
    "cannot start any token": _QUOTE,
    "expected alphabetic or numeric character": _QUOTE,
    "expected ' '": "put a value that begins with ! into quotes",
    "undefined alias": "put a value that begins with * into quotes",
    "mapping values are not allowed": "put a value that contains `: ` into quotes, check the indentation of the line, and write a "
    "blank after the colon of the key before it",
    "could not find expected ':'": "write a blank after the colon of a key, as in `path: /okta/events`",
    "unknown escape character": "write a path with backslashes in single quotes",
    "constructor for the tag": "YAML tags are not read; write a secret as {env: NAME} or {file: path}",
    "another document": "a configuration is one document; remove the `---`",
    "expected <block end>": "check the indentation of the lines here",
    "expected ',' or '}'": "close the braces, or quote a value with such a character",
    "expected ',' or ']'": "close the brackets, or quote a value with such a character",
    "unexpected end of stream": "a quote is not closed",
    "expected the node content": "put a value that begins with such a character into quotes",
    "expected '<document start>'": "write the configuration as YAML, `key: value` on each line",
}
"""Hints for common mistakes in YAML, by a part of PyYAML's error text."""

_WRITTEN = re.compile(r" '(?![ <,:}\]?-])..+'", re.DOTALL)
"""Matches the part of a PyYAML error that quotes the file, such as the name of an alias. It may contain a secret."""

_CURLY = tuple("“”„‘’‚«»")  # noqa: RUF001  # the odd characters are meant
_ODD_BLANK = re.compile(r"^[ -]*([\u00a0\u2000-\u200f\u202f\u205f\u3000\ufeff])", re.MULTILINE)
"""Matches the beginning of a line with a blank that YAML does not count as indentation."""

_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_NULL = "tag:yaml.org,2002:null"
_KINDS = {
    _BOOL: "true or false",
    _INT: "a number",
    _FLOAT: "a number",
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:str": "a string",
}
"""The kind of a value in words, by the tag that YAML gives to the value."""


_MOST_NESTED = 100
"""The maximum depth of nested `[` and `{`. The configuration needs a depth of five."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in the YAML file at `path`; empty for an empty file.

    Raises:
        SettingsError: the file cannot be read, or is not a YAML mapping.
    """
    try:
        text = read_small(path).decode("utf-8-sig")
        if odd := _ODD_BLANK.search(text):
            raise SettingsError([f"{path}: {_odd_character(text, odd.start(1))}; indent with normal blanks"])
        tree = yaml.load(text, _Loader)  # noqa: S506  # `_Loader` is a SafeLoader
    except OSError as error:
        other = "or name another file with --config or FORWARDER_CONFIG"
        if isinstance(error, FileNotFoundError):
            other += ", or write a first one with `forwarder init`"
        raise SettingsError([f"{path}: cannot be read: {cannot_read(error)}, {other}"]) from None
    except RecursionError:
        raise SettingsError([f"{path}: is nested too deeply"]) from None
    except yaml.reader.ReaderError as error:
        raise SettingsError([f"{path}: {_odd_character(text, error.position)}; remove it"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: {_one_line(error)}"]) from None
    if tree is None or isinstance(tree, NoValue):
        tree = {}
    if not isinstance(tree, dict):
        hint = "see docs/configuration.md"
        raise SettingsError([f"{path}: the configuration must be a mapping of sections; {hint}"])
    return tree


def _odd_character(text: str, position: int) -> str:
    """Say that the character at `position` in the YAML `text` is not allowed there."""
    before, char = text[:position], text[position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"line {line}, column {column}: the character U+{ord(char):04X} is not YAML here"


class NoValue:
    """The value of a key that is written without a value, as in `tls:`. No setting accepts this value.

    If it counted as null, an empty `tls` would mean no TLS, and an empty `only` would mean every event. A key that may
    be left out also accepts a written `null`.
    """

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "None"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that is written twice. All its errors have line and column.

    A key without a value gets a `NoValue`.
    """

    def fetch_flow_collection_start(self, token: Any) -> None:
        """Read a `[` or `{`. Refuse deep nesting: PyYAML would need seconds to reach the limit of recursion."""
        if self.flow_level == _MOST_NESTED:
            raise yaml.scanner.ScannerError(
                None, None, "lists or mappings are nested too deeply; use fewer levels", self.get_mark()
            )
        super().fetch_flow_collection_start(token)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # as in the base class
        """Return the value of `node`. Raise an error with line and column for an impossible date or number."""
        if node.tag == _INT and re.fullmatch(r"[-+]?0[0-7_]+", node.value):
            raise _error(
                "YAML reads a number that begins with 0 as an octal number; remove the 0, or, if the value is a "
                "string, put it in quotes",
                node,
            )
        if node.tag in {_INT, _FLOAT} and ":" in node.value:  # YAML 1.1 reads 12:30 as a number in base 60
            node.tag = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value[:1] in _CURLY:
            raise _error(
                "begins with a typographic quote, which YAML takes as a part of the value; write straight quotes", node
            )
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # raises an error if an escape is half of a surrogate pair
        except yaml.YAMLError:
            raise
        except Exception:  # noqa: BLE001  # a constructor may raise any type, and the text may show the value
            kind = _KINDS.get(node.tag, "what its tag says")
            raise _error(f"cannot be read as {kind}", node) from None
        return value


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _error(
                "a key must be a string, not a mapping or a list; if a value begins with `{` or `[`, put the "
                "value in quotes",
                key_node,
            )
        if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *other` may be written several times
            continue
        # Read each key as a text: YAML would read `on` as a boolean, and 123 as a number.
        key_node.tag = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
        key = loader.construct_object(key_node)
        if key in seen:
            raise _error("the key is written twice; write it once, with everything that belongs to it", key_node)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(_NULL, lambda _, node: None if node.value else NoValue())
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        is_key = error.context == "while scanning a simple key"  # PyYAML notices this error only in a later line
        mark = error.context_mark if is_key and error.context_mark else error.problem_mark
        words = str(error.problem)
        hint = next((f"; {hint}" for sign, hint in _HINTS.items() if sign in words), "")
        words = _WRITTEN.sub("", words)
        return f"line {mark.line + 1}, column {mark.column + 1}: {words}{hint}"
    return "the file is not YAML in UTF-8; save the file as UTF-8"


def without_secrets(tree: Any, unread: Callable[[dict[str, str]], Any]) -> Any:
    """Return a copy of `tree` in which `unread(source)` replaces each source of a secret, such as `{env: NAME}`."""
    if isinstance(tree, list):
        return [without_secrets(item, unread) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1 and tree.keys() <= SOURCES and isinstance(next(iter(tree.values())), str):
        return unread(tree)
    return {key: without_secrets(value, unread) for key, value in tree.items()}


_Unread = Callable[[dict[str, str]], Any]
_unread: ContextVar[tuple[_Unread, str | None] | None] = ContextVar("unread", default=None)


@contextlib.contextmanager
def secrets_unread(unread: _Unread, but: str | None = None) -> Iterator[None]:
    """Within the `with` block, let `Environment` replace each source of a secret by `unread(source)`.

    Commands that need no secrets use this. The sources in the section `but` are not replaced.
    """
    token = _unread.set((unread, but))
    try:
        yield
    finally:
        _unread.reset(token)


def unread_variables() -> list[str]:
    """Return the names of environment variables that look like keys of the configuration, but are not read.

    They have only one underscore before the section, as in FORWARDER_STORE__PATH.
    """
    return sorted(
        name
        for name in os.environ
        if _NEARLY.match(name) and name not in _OTHER_VARIABLES and not _KUBERNETES.search(name)
    )


class Environment(EnvSettingsSource):
    """Reads variables such as `FORWARDER__SECTION__KEY`, in upper or lower case. Variables override the file."""

    def __init__(self, settings_cls: type[BaseSettings], written: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._written = written

    def __call__(self) -> dict[str, Any]:
        data = super().__call__()
        sections = {name.upper() for name in self.settings_cls.model_fields}
        for name in os.environ:
            section = name[len(ENV_PREFIX) :].partition("__")[0]
            if name.upper().startswith(ENV_PREFIX) and section.upper() not in sections:
                data[section.lower()] = ""  # reported as an unknown key, as it would be in the file
        data = _with_sources(data)
        if given := _unread.get():
            unread, but = given
            data = {key: item if key == but else without_secrets(item, unread) for key, item in data.items()}
        respelled: dict[str, Any] = _respell(data, self._written)
        return respelled

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Decode JSON. Return other text unchanged, so that validation reports it together with all other problems."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except (ValueError, RecursionError):
            return value


def _with_sources(data: Any) -> Any:
    """Return a copy of `data` in which each text that is JSON for the source of a secret, such as `{"env": "NAME"}`, is
    decoded."""
    if isinstance(data, dict):
        return {key: _with_sources(value) for key, value in data.items()}
    if isinstance(data, str) and data.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            source = json.loads(data)
            if len(source) == 1 and source.keys() <= SOURCES:
                return source
    return data


def _respell(data: Any, written: Any) -> Any:
    """Return a copy of `data`, the values of environment variables. Its keys are spelled as in `written`, the file's
    content.

    The comparison of keys ignores case. A key that `written` does not have keeps its spelling.
    """
    if not isinstance(data, dict):
        return data
    known = {str(key).lower(): key for key in written} if isinstance(written, Mapping) else {}
    keys = {key: known.get(key.lower(), key) for key in data}
    return {
        keys[key]: _respell(value, written.get(keys[key]) if isinstance(written, Mapping) else None)
        for key, value in data.items()
    }
