"""Reads rules of every supported format, to find out which event types they need. `load.py` loads the rules that run.

The files may be public collections of rules for Elastic, Sigma or Okta, which also contain rules about other products.
So a rule that cannot be read does not stop the reading of the next rules. The steps are:

1. `files.py` finds the files and reads their text.
2. `documents.py` splits the text into documents and decodes them.
3. `rule_objects.py` finds the rules in a document and chooses a reader for each.
4. The reader, in `sigma/`, `elastic/` or `conditions/okta_filter.py`, makes a `Rule`.
"""

import re
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import check_patterns
from forwarder.rules.conditions.okta_filter import filter_lines, filter_rule
from forwarder.rules.conditions.rule import (
    RULES_LEFT_OUT,
    LeftOut,
    Rule,
    SkipReason,
    UnreadableRule,
    mentions_okta,
    names_event_type,
)
from forwarder.rules.documents import Document, json_documents, line_documents, toml_documents, yaml_documents
from forwarder.rules.files import MAX_BYTES, is_folder, mode_and_size, read_text, walk
from forwarder.rules.rule_objects import collected, json_rule, rule_objects, yaml_rule

_MAX_PATTERNS = 20_000
"""The maximum number of patterns in all rules of a file. Each pattern takes about a millisecond. All of Elastic's
public rules together have less than a tenth of this number."""
_LOGSOURCE = re.compile(r"^logsource:(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_KEY_OF_A_RULE = re.compile(
    r"""(?ix) \[ \[? (?:rule|hunt) \b
      | \b (?: query | detection | logsource | correlation | okta_systemlog | rule_id | event_?type | event\.action ) ["']? \s* [:=]"""
)

Found = Rule | UnreadableRule | LeftOut


class _Broken(msgspec.Struct, frozen=True):
    """A document that cannot be decoded (`is_rule` is false), or a rule that cannot be used (`is_rule` is true).

    Attributes:
        text: the whole document or rule.
    """

    problem: UnreadableRule
    text: str
    is_rule: bool = False

    @property
    def is_about_okta(self) -> bool:
        """Whether the text may be a rule about Okta.

        If the text is a Sigma rule with a product, the product decides. In a text without any key of a rule, the word
        "Okta" is not enough: the text must name an event type of Okta, because a folder of rules may also contain
        templates and settings.
        """
        source = _LOGSOURCE.search(self.text)
        if source and "product" in source[1]:
            return "okta" in source[1].lower()
        if self.is_rule or _KEY_OF_A_RULE.search(self.text):
            return mentions_okta(self.text)
        return names_event_type(self.text)


_Counted = tuple[Found | _Broken, int]
"""A rule or problem, and the number of the rule's patterns that must be compared with every event type."""


def read_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Found]]:
    """Yield (file, rule) for each rule in files and folders. For a file or rule that cannot be read, yield an
    UnreadableRule.

    The suffix decides the format: `.toml`, `.json`, `.ndjson` or `.jsonl`, `.yml` or `.yaml`. A file with any other
    suffix must have a System Log filter on each line.

    In a folder, only files with one of the suffixes above are read, at any depth; hidden files and folders are skipped.
    If a file or rule in a folder cannot be read and does not mention Okta, yield a LeftOut instead of an
    UnreadableRule.
    """
    for path in paths:
        if is_folder(path):
            yield from _folder(path)
        else:
            found = [each.problem if isinstance(each, _Broken) else each for each in _read(path)]
            yield from ((path, each) for each in found or [UnreadableRule(str(path), "contains no rule")])


def _folder(folder: Path) -> Iterator[tuple[Path, Found]]:
    rules = False
    files, problems = walk(folder)
    yield from ((folder, problem) for problem in problems)
    for file in files:
        for found in _read_inside(file):
            rules = rules or not isinstance(found, LeftOut) or found.reason in RULES_LEFT_OUT
            yield file, found
    if not rules:
        text = f"contains no rule that can be read; rules are in files with the suffix {', '.join(_FORMATS)}"
        yield folder, UnreadableRule(str(folder), text)


def _read_inside(file: Path) -> Iterator[Found]:
    if file.suffix.lower() not in _FORMATS:
        yield LeftOut(SkipReason.OTHER_FORMAT)
        return
    mode, size = mode_and_size(file)
    if not stat.S_ISREG(mode) or size > MAX_BYTES:
        yield LeftOut(SkipReason.NO_FILE)
        return
    empty = True
    for found in _read(file):
        empty = False
        if not isinstance(found, _Broken):
            yield found
        else:
            yield found.problem if found.is_about_okta else LeftOut(SkipReason.UNREADABLE)
    if empty:
        yield LeftOut(SkipReason.NO_RULE)


def _read(path: Path) -> Iterator[Found | _Broken]:
    try:
        text, problem = read_text(path)
    except RuleFileError as error:
        yield UnreadableRule(str(path), str(error))
        return
    decode, rules = _FORMATS.get(path.suffix.lower(), (filter_lines, _filters))
    documents = []
    for document in decode(text):
        place = f"{path}:{document.line}" if document.line else str(path)
        if document.problem:
            yield _Broken(UnreadableRule(place, problem or document.problem), document.text)
        else:
            documents.append((place, document.value))
    yield from _bounded(path, rules(documents))


def _bounded(path: Path, found: Iterator[_Counted]) -> Iterator[Found | _Broken]:
    """Yield the rules in `found`. If the rules have more than `_MAX_PATTERNS` patterns in total, yield a problem and
    stop, because comparing more patterns with all event types takes minutes."""
    left = _MAX_PATTERNS
    for each, patterns in found:
        left -= patterns
        if left < 0:
            problem = f"its rules compare event types with more than {_MAX_PATTERNS:,} patterns; split the file"
            yield UnreadableRule(str(path), problem)
            return
        yield each


Documents = Iterable[tuple[str, Any]]
"""Pairs of a place (the file, with the line if it is known) and the decoded document at this place."""


def _elastic(documents: Documents) -> Iterator[_Counted]:
    for place, value in documents:
        for rule in rule_objects(value):
            if make := json_rule(rule):
                yield _made(place, rule, make)


def _yaml(documents: Documents) -> Iterator[_Counted]:
    for place, value in collected(documents):
        for rule in rule_objects(value):
            if make := yaml_rule(rule):
                yield _made(place, rule, make)


def _filters(documents: Documents) -> Iterator[_Counted]:
    for place, query in documents:
        yield _made(place, {"query": query}, partial(filter_rule, query))


def _made(place: str, rule: dict[Any, Any], make: Callable[[], Rule | LeftOut]) -> _Counted:
    """Call `make` to read `rule`. Return the result, and the number of the rule's patterns that must be compared with
    every event type.

    If `make` raises an error, the result is a problem, so that the next rules are still read.
    """
    name = rule.get("title") or rule.get("name")
    about = f"rule {name!r}: " if name else ""
    try:
        found = make()
        conditions = found.conditions if isinstance(found, Rule) else ()
        return found, sum(map(check_patterns, conditions))
    except RuleFileError as error:
        problem = f"{about}{error}"
    except RecursionError:
        problem = f"{about}its query is nested too deeply"
    return _Broken(UnreadableRule(place, problem), str(rule), is_rule=True), 0


_Format = tuple[Callable[[str], Iterator[Document]], Callable[[Documents], Iterator[_Counted]]]

_FORMATS: dict[str, _Format] = {
    ".toml": (toml_documents, _elastic),
    ".json": (json_documents, _elastic),
    ".ndjson": (line_documents, _elastic),
    ".jsonl": (line_documents, _elastic),
    ".yml": (yaml_documents, _yaml),
    ".yaml": (yaml_documents, _yaml),
}
