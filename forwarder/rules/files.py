"""Reads files of detection rules in every supported format."""

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from forwarder.core.errors import RuleFileError
from forwarder.rules.elastic import elastic_rule, rule_objects
from forwarder.rules.okta_filter import read_okta_filter
from forwarder.rules.rule import Fault, Rule
from forwarder.rules.sigma import is_sigma, sigma_rule

_MAX_NAME = 100

Read = Iterator[Rule | Fault]


def read_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Rule | Fault]]:
    """Yield the rules of files and folders, each with its file, and a Fault for what cannot be read. Never raises.

    The suffix decides the format: `.toml`, `.json`, `.ndjson` or `.jsonl`, `.yml` or `.yaml`; any other file has a System
    Log filter on each line. Reads the files of a folder with these suffixes, at any depth, and skips those without rules.
    """
    for path in paths:
        inside = path.is_dir()
        files = (
            sorted(file for file in path.rglob("*") if file.suffix.lower() in _FORMS) if inside else [path]
        )
        for file in files:
            empty = True
            for rule in _read(file):
                empty = False
                yield file, rule
            if empty and not inside:
                yield file, Fault(str(file), "contains no rule")


def _read(path: Path) -> Read:
    form = _FORMS.get(path.suffix.lower(), _filters)
    try:
        yield from form(path, path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        yield Fault(str(path), error.strerror or str(error))
    except UnicodeDecodeError as error:
        yield Fault(str(path), f"is not UTF-8: {error.reason} at byte {error.start}")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield Fault(f"{path}:{mark.line + 1}" if mark else str(path), f"is not YAML: {_first_line(error)}")
    except RecursionError:
        yield Fault(str(path), "is nested too deeply")


def _toml(path: Path, text: str) -> Read:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        yield Fault(str(path), f"is not TOML: {error}")
        return
    yield from _elastic(str(path), found)


def _json(path: Path, text: str) -> Read:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one complete value, and then another one
            yield from _lines(path, text)
        else:
            yield Fault(f"{path}:{error.lineno}", f"is not JSON: {error.msg}")
        return
    yield from _elastic(str(path), found)


def _lines(path: Path, text: str) -> Read:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            yield Fault(f"{path}:{number}", f"is not JSON: {error.msg}")
        else:
            yield from _elastic(f"{path}:{number}", found)


def _yaml(path: Path, text: str) -> Read:
    for found in yaml.safe_load_all(text):
        if is_sigma(found):
            yield from _made(str(path), found.get("title"), partial(sigma_rule, found))
        elif isinstance(found, dict) and "correlation" in found:
            yield Rule(name=str(found.get("title") or "without a title"), language="sigma", okta=None)


def _filters(path: Path, text: str) -> Read:
    for number, line in enumerate(text.splitlines(), 1):
        query = line.strip()
        if query and not query.startswith("#"):
            yield from _made(f"{path}:{number}", None, partial(_filter, query))


def _filter(query: str) -> Rule:
    name = query if len(query) <= _MAX_NAME else query[: _MAX_NAME - 1] + "…"
    return Rule(name=name, language="filter", conditions=(read_okta_filter(query),))


def _elastic(place: str, found: Any) -> Read:
    for item in rule_objects(found):
        yield from _made(place, item.get("name"), partial(elastic_rule, item))


def _made(place: str, name: Any, make: Callable[[], Rule]) -> Read:
    """Yield the rule, or why it cannot be read; its neighbours are read anyway."""
    about = f"rule {name!r}: " if name else ""
    try:
        yield make()
    except RuleFileError as error:
        yield Fault(place, f"{about}{error}")
    except RecursionError:
        yield Fault(place, f"{about}its query is nested too deeply")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


_FORMS: dict[str, Callable[[Path, str], Read]] = {
    ".toml": _toml,
    ".json": _json,
    ".ndjson": _lines,
    ".jsonl": _lines,
    ".yml": _yaml,
    ".yaml": _yaml,
}
