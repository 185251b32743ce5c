"""Reads the keys that rules, correlations and exceptions have in common, such as `id`, `title` and `level`."""

import re
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.wording import without_middle
from forwarder.rules.sigma.detections import Report, line_of, report_repeated_keys
from forwarder.rules.suggestion import did_you_mean, known_names

LEVELS = ("informational", "low", "medium", "high", "critical")
_STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")
_DEFAULT_LEVEL = "medium"
_TEXTS = ("title", "id", "name", "status", "description", "license", "level", "taxonomy")
_LISTS = ("references", "tags", "fields", "falsepositives", "scope", "related")
_OTHERS = ("author", "date", "modified", "action", "regression_tests_path", "simulation")
KEYS = (*_TEXTS, *_LISTS, *_OTHERS)
_MAX_NAME = 1_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_NAMESPACE = uuid.UUID("6f1d3f4e-5d0c-4a55-9d8e-0a4c3f1b7f10")


class Described(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One document in a file of rules: a rule, a correlation or an exception.

    Attributes:
        id: the ID; unique among all loaded documents. If the document has no ID, `id` is its name; without a name, `id`
            is made from the title or filter.
        name: a name that other documents may use for this one; often empty.
        level: one of LEVELS.
        line: the number of the document's first line in the file.
    """

    id: str
    title: str
    file: Path
    line: int
    name: str = ""
    level: str = _DEFAULT_LEVEL
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


def made_id(text: str) -> str:
    """Return an ID made from `text`, the title or the filter of a rule without an ID. Equal texts always have equal
    IDs."""
    return str(uuid.uuid5(_NAMESPACE, text))


def description_of(found: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Return the descriptive keys of a document as arguments for Described, and report their problems."""
    _report_types(found, report)
    title = _text(found, "title")
    if not title:
        report("`title` is required", line_of(found, "title"))
    for key, known in (("level", LEVELS), ("status", _STATUSES)):
        value = _text(found, key)
        if value and value.lower() not in known:
            report(f"`{key}` is {value!r}; write one of {', '.join(known)}", line_of(found, key))
    if (written := _text(found, "id")) and not _ID.fullmatch(written):
        report("`id` must be a UUID, or letters and digits without spaces", line_of(found, "id"))
        written = ""
    name, level = without_middle(_text(found, "name")), _text(found, "level").lower()
    return {
        "id": written or name or made_id(title),
        "name": name,
        "title": without_middle(title),
        "level": level if level in LEVELS else _DEFAULT_LEVEL,
        "tags": _texts(found, "tags"),
        "references": _texts(found, "references"),
    }


def _report_types(found: Mapping[str, Any], report: Report) -> None:
    """Report each descriptive key whose value has the wrong type or is too long."""
    for key in _TEXTS:
        if found.get(key) is not None and not isinstance(found[key], str):
            report(f"`{key}` must be a string; put the value in quotes", line_of(found, key))
    for key in _LISTS:
        if found.get(key) is not None and not isinstance(found[key], list):
            report(f"`{key}` must be a list", line_of(found, key))
    for key in ("tags", "references"):
        if isinstance(found.get(key), list) and not all(isinstance(item, str | None) for item in found[key]):
            report(f"each item of `{key}` must be a string", line_of(found, key))
    for key in ("title", "name"):
        if len(_text(found, key)) > _MAX_NAME:
            report(f"`{key}` has more than {_MAX_NAME:,} characters; shorten it", line_of(found, key))


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return str(value).strip() if isinstance(value, str) else ""


def _texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = found.get(key)
    return tuple(str(item) for item in value if item is not None) if isinstance(value, list) else ()


def report_unknown_keys(found: Mapping[str, Any], known: Collection[str], report: Report, where: str) -> None:
    """Report each key of `found` that occurs twice. Also report each key that is not in `known`, because such a key has
    no effect."""
    report_repeated_keys(found, report, where)
    for key in found:
        if key not in known:
            hint = did_you_mean(str(key), known, known_names(known))
            report(f"unknown key {key!r} in {where}{hint}", line_of(found, str(key)))
