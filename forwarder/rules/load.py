"""Loads the rules that the forwarder runs. `any_format.py` reads rules only to find out their event types.

`load` is strict, because a rule that is misread would alert on the wrong events or never. `load` returns all rules, or
raises one error that lists each problem with its file and line. `files.py` reads the files, `documents.py` splits them
into documents, and this module decides whether a document is a rule, a correlation or an exception.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.compiler import compiled
from forwarder.rules.conditions.condition import Condition, Or
from forwarder.rules.conditions.okta_filter import check_texts, filter_lines, parse_filter
from forwarder.rules.documents import Document, yaml_documents
from forwarder.rules.evaluation.ruleset import DetectionRule, RuleProblem, Ruleset
from forwarder.rules.files import has_suffix, is_folder, read_text, real_path, walk
from forwarder.rules.rule_objects import collected, okta_filters
from forwarder.rules.sigma.correlation import Correlation, read_correlation
from forwarder.rules.sigma.detections import Report, about_okta, detection_tree, line_of
from forwarder.rules.sigma.metadata import KEYS, Described, description_of, made_id, report_unknown_keys
from forwarder.rules.sigma.modifiers import Lists
from forwarder.rules.sigma.rule_exception import RuleException, read_exception
from forwarder.rules.suggestion import did_you_mean

RULE_SUFFIXES = (".yml", ".yaml", ".txt")
TEST_SUFFIXES = (".tests.yml", ".tests.yaml")
"""Suffixes of files that contain tests of rules."""

EMPTY_LISTS: Lists = {"embargo": ()}
"""The lists that the rules in config/rules use. They are empty until the operator sets them; the rules then match
nothing."""

_SOURCE_KEYS = ("category", "product", "service", "definition")
_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")
_MAX_TITLE = 100


class RulesError(RuleFileError):
    """Some rules cannot be loaded. `problems` has at least one problem for each of these rules."""

    def __init__(self, problems: Sequence[RuleProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def load(paths: Iterable[Path], lists: Lists | None = None, today: date | None = None) -> Ruleset:
    """Load the rules in files and folders.

    Args:
        paths: files and folders. `.yml` files contain Sigma rules, correlations and filters, or Okta's detections;
            `.txt` files contain a System Log filter on each line.
        lists: lists of values, by name. In a rule, the values of the list `name` replace `%name%`.
        today: exceptions whose `until` is before this day do not apply. Default: the current day in UTC.

    Raises:
        RulesError: at least one rule has a problem; the error has all problems.
    """
    found, problems = read_rules(paths, lists, today)
    if problems:
        raise RulesError(problems)
    return found


def read_rules(
    paths: Iterable[Path], lists: Lists | None = None, today: date | None = None
) -> tuple[Ruleset, list[RuleProblem]]:
    """Read rules as `load` does. Return the rules without a problem, and the problems of the other rules."""
    loading = _Loading({**EMPTY_LISTS, **(lists or {})})
    for path in dict.fromkeys(paths):
        loading.read(path)
    ruleset = loading.finished(today or datetime.now(UTC).date())
    return ruleset, sorted(set(loading.problems))


class _Loading:
    """The rules, correlations, exceptions and problems that were found so far."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self.problems: list[RuleProblem] = []
        self.rules: list[DetectionRule] = []
        self.correlations: list[Correlation] = []
        self.exceptions: list[RuleException] = []
        self._files: set[Path] = set()
        self._other_products: set[str] = set()
        self._left_out = 0

    def read(self, path: Path) -> None:
        """Read the file `path`, or all files in the folder `path`, at any depth."""
        if not is_folder(path):
            self._read_file(path)
            return
        files, problems = walk(path)
        self.problems += [RuleProblem(Path(problem.place), 0, problem.text) for problem in problems]
        files = [file for file in files if has_suffix(file, RULE_SUFFIXES) and not has_suffix(file, TEST_SUFFIXES)]
        found = [self._read_file(file, in_folder=True) for file in files]
        if not any(found):
            self.problems.append(RuleProblem(path, 0, "holds no rule; rules are in .yml and .txt files"))

    def _read_file(self, file: Path, *, in_folder: bool = False) -> bool:
        """Read `file`, unless it was read before. Return False if the file was not read before and has no document;
        otherwise return True."""
        real = real_path(file)
        if real in self._files:
            return True
        self._files.add(real)
        if not has_suffix(file, RULE_SUFFIXES):
            text = "is not a .yml or .txt file; write Sigma rules in a .yml file, or System Log filters in a .txt file"
            try:
                file.lstat()
            except (OSError, ValueError) as error:  # the same text as for a file with one of the suffixes
                text = getattr(error, "strerror", None) or str(error)
            self.problems.append(RuleProblem(file, 0, text))
            return True
        try:
            text, problem = read_text(file)
        except RuleFileError as error:
            text, problem = "", str(error)
        if problem:
            self.problems.append(RuleProblem(file, 0, problem))
            return True
        documents = list((filter_lines if has_suffix(file, (".txt",)) else yaml_documents)(text))
        if not documents and not in_folder:  # in a folder, a file may have all its rules commented out
            self.problems.append(RuleProblem(file, 0, "holds no rule"))
        self._read_documents(file, documents)
        return bool(documents)

    def _read_documents(self, file: Path, documents: Sequence[Document]) -> None:
        broken = [document for document in documents if document.problem]
        self.problems += [RuleProblem(file, document.line, document.problem) for document in broken]
        sound = [(document.line, document.value) for document in documents if not document.problem]
        for line, value in collected(sound) if not has_suffix(file, (".txt",)) else sound:
            self._read_document(file, line, value)

    def _read_document(self, file: Path, line: int, value: Any) -> None:
        def report(text: str, at: int) -> None:
            self.problems.append(RuleProblem(file, line + at, text))

        found: Described | None = None
        try:
            if isinstance(value, str):
                found = _filter_rule(value, file, line)
            elif not isinstance(value, dict):
                report("is not a rule; a rule is a mapping with a title, a logsource and a detection", 0)
            elif "correlation" in value:
                found = read_correlation(value, file, line, report)
            elif "filter" in value or "detection" in value:
                found = self._read_rule(value, file, line, report)
            else:
                report("is not a rule that can be run; it has no `detection`, `correlation` or `filter`", 0)
        except RuleFileError as error:
            report(str(error), 0)
        except RecursionError:
            report("is nested too deeply", 0)
        self._keep(found)

    def _keep(self, found: Described | None) -> None:
        if isinstance(found, DetectionRule):
            self.rules.append(found)
        elif isinstance(found, Correlation):
            self.correlations.append(found)
        elif isinstance(found, RuleException):
            self.exceptions.append(found)

    def _read_rule(self, found: dict[str, Any], file: Path, line: int, report: Report) -> Described | None:
        """Read a rule or an exception. Return None in two cases: the rule or exception has a problem, or it is left out
        because it is about another product or in another language."""
        if "detection" in found and "filter" in found:
            report("a document has either `detection` or `filter`; remove one of the two", line_of(found, "filter"))
            return None
        section = found.get("detection", found.get("filter"))
        if not isinstance(section, dict):
            report("`detection` must hold selections and a condition", line_of(found, "detection"))
            return None
        if "detection" in found and "logsource" not in found and "condition" not in section:
            if not (queries := okta_filters(section)):
                self._left_out += 1  # some rules in Okta's catalogue are in other languages only
                return None
            return _okta_detection(found, queries, file, line, report)
        source = found.get("logsource")
        if not isinstance(source, dict) or not any(source.values()):
            report("`logsource` is required, as in {product: okta, service: okta}", line_of(found, "logsource"))
            return None
        if not all(isinstance(source.get(key), str | None) for key in _SOURCE_KEYS):
            report("`logsource` must have strings, as in {product: okta, service: okta}", line_of(found, "logsource"))
            return None
        report_unknown_keys(source, _SOURCE_KEYS, report, "`logsource`")
        if not about_okta(source):
            self._left_out += 1
            self._other_products.update(str(found[key]) for key in ("id", "name") if found.get(key))
            return None
        if "filter" in found:
            return read_exception(found, self._lists, file, line, report)
        return self._sigma_rule(found, file, line, report)

    def _sigma_rule(self, found: dict[str, Any], file: Path, line: int, report: Report) -> DetectionRule | None:
        report_unknown_keys(found, (*KEYS, "logsource", "detection"), report, "a rule")
        described = description_of(found, report)
        before = len(self.problems)
        try:
            condition = detection_tree(found["detection"], self._lists, report)
        except RuleFileError as error:
            report(str(error), line_of(found["detection"], "condition"))
            return None
        if len(self.problems) > before:
            return None
        return DetectionRule(
            **described, file=file, line=line, language="sigma", condition=condition, test=compiled(condition)
        )

    def finished(self, today: date) -> Ruleset:
        """Return the rules, correlations and exceptions without a problem. In correlations and exceptions, IDs replace
        the names of rules."""
        named = self._named()
        correlations = [each for each in (self._resolved(each, named) for each in self.correlations) if each]
        correlations = self._in_order(correlations)
        exceptions = [each for each in (self._about(each, named) for each in self.exceptions) if each]
        fed = {rule for each in correlations if not each.generate for rule in each.rules}
        fed -= {rule for each in correlations if each.generate for rule in each.rules}
        return Ruleset(
            [_silent(rule) if rule.id in fed else rule for rule in self.rules],
            [_silent(each) if each.id in fed else each for each in correlations],
            [each for each in exceptions if each.applies_on(today.isoformat())],
            [each for each in exceptions if not each.applies_on(today.isoformat())],
            self._left_out,
        )

    def _problem(self, about: Described, text: str) -> None:
        self.problems.append(RuleProblem(about.file, about.line, text))

    def _named(self) -> dict[str, str]:
        """Return a mapping from each ID and each name to the ID of its rule or correlation. Report each ID or name that
        is used twice."""
        named: dict[str, Described] = {}
        for each in [*self.rules, *self.correlations, *self.exceptions]:
            for key in dict.fromkeys((each.id, each.name)):
                other = named.setdefault(key, each) if key else each
                if other is not each:
                    text = f"{key!r} is also the id or name of {other.title!r} in {other.file}; give each its own"
                    self._problem(each, text)
        exceptions = {each.id for each in self.exceptions}
        return {key: each.id for key, each in named.items() if each.id not in exceptions}

    def _missing(self, about: Described, rules: Iterable[str], named: Mapping[str, str]) -> bool:
        """Return whether any of `rules` is not loaded; `rules` are the rules that `about` names. Report each missing
        rule, except rules about another product."""
        missing = [rule for rule in rules if rule not in named]
        for rule in missing:
            if rule not in self._other_products:
                hint = did_you_mean(rule, named, "add the file of the rule to `rules.files`")
                self._problem(about, f"unknown rule {rule!r}: no loaded rule has this id or name{hint}")
        return bool(missing)

    def _resolved(self, found: Correlation, named: Mapping[str, str]) -> Correlation | None:
        if self._missing(found, found.rules, named):
            self._left_out += set(found.rules) <= self._other_products
            return None
        aliases = {
            alias: {named.get(rule, rule): field for rule, field in fields.items()}
            for alias, fields in found.aliases.items()
        }
        ids = tuple(named[rule] for rule in found.rules)
        if found.type == "temporal" and (twice := [rule for n, rule in enumerate(ids) if rule in ids[:n]]):
            self._problem(
                found, f"`rules` names {twice[0]!r} twice, and the same event would count for both; name it once"
            )
            return None
        return msgspec.structs.replace(found, rules=ids, aliases=aliases)

    def _about(self, found: RuleException, named: Mapping[str, str]) -> RuleException | None:
        if found.rules is None:
            return found
        correlations = {each.id for each in self.correlations}
        self._missing(found, found.rules, named)
        ids = tuple(named[rule] for rule in found.rules if rule in named)
        for each in ids:
            if each in correlations:
                text = f"an exception must name rules, but {each!r} is a correlation; name the rules that the correlation counts"
                self._problem(found, text)
        return msgspec.structs.replace(found, rules=ids) if ids else None

    def _in_order(self, correlations: Sequence[Correlation]) -> list[Correlation]:
        """Sort the correlations: each comes after the correlations that it names.

        Report and leave out each correlation that names itself, directly or through other correlations. Also report and
        leave out each correlation that names one of those.
        """
        ordered: dict[str, Correlation] = {}
        waiting = list(correlations)
        while waiting:
            left = {each.id for each in waiting}
            ready = [each for each in waiting if left.isdisjoint(each.rules)]
            if not ready:
                for each in waiting:
                    self._problem(
                        each,
                        "the correlations in `rules` name each other in a circle; remove one name from the "
                        "`rules` of one correlation",
                    )
                break
            ordered.update({each.id: each for each in ready})
            waiting = [each for each in waiting if each.id not in ordered]
        return list(ordered.values())


def _silent(found: Any) -> Any:
    return msgspec.structs.replace(found, alerts=False)


def _parsed(query: str) -> Condition:
    condition = parse_filter(query)
    check_texts(condition)
    return condition


def _filter_rule(query: str, file: Path, line: int) -> DetectionRule:
    condition = _parsed(query)
    title = query if len(query) <= _MAX_TITLE else query[: _MAX_TITLE - 1] + "…"
    return DetectionRule(
        id=made_id(query),
        title=title,
        file=file,
        line=line,
        language="filter",
        condition=condition,
        test=compiled(condition),
    )


def _okta_detection(
    found: dict[str, Any], queries: Sequence[str], file: Path, line: int, report: Report
) -> DetectionRule:
    """Return one rule made from `queries`, the System Log filters of the detection `found` in Okta's public
    catalogue."""
    described = description_of(found, report)
    parts: list[Condition] = [_parsed(query) for query in queries]
    condition = parts[0] if len(parts) == 1 else Or(tuple(parts))
    techniques = dict.fromkeys(_TECHNIQUE.findall(str(found.get("threat"))))
    described["tags"] = described["tags"] or tuple(f"attack.{technique.lower()}" for technique in techniques)
    return DetectionRule(
        **described, file=file, line=line, language="filter", condition=condition, test=compiled(condition)
    )
