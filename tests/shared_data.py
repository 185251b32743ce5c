"""Public data to test against, kept beside the project because of its licences; FORWARDER_SHARED names another place."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.stack.process import ROOT

SHARED = Path(os.environ.get("FORWARDER_SHARED", ROOT.parent / "shared"))
FIXTURES = SHARED / "data" / "elastic" / "fixtures"
CATEGORIES = SHARED / "data" / "elastic" / "event-category-type.json"
FIELDS = SHARED / "data" / "elastic" / "fields.json"
RULES = SHARED / "data" / "elastic" / "rules.json"
PAYLOADS = SHARED / "data" / "okta" / "payloads"
DETECTIONS = SHARED / "data" / "okta" / "detections"
SIGMA = SHARED / "data" / "sigma" / "okta"
EVENT_TYPES = SHARED / "data" / "okta" / "event-types.json"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip a test if `path` does not exist; in CI, fail it (tests/conftest.py does both)."""
    return pytest.mark.needs_data(path)


class Fixture(msgspec.Struct, frozen=True):
    """One event of Elastic's pipeline tests, and the document that it became."""

    folder: str
    number: int
    line: str
    expected: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.folder}-{self.number}"


def fixtures() -> list[Fixture]:
    """All of them; none where the data is absent."""
    found = []
    for folder in sorted(path for path in FIXTURES.glob("*") if path.is_dir()):
        (log,) = folder.glob("*.log")
        lines = log.read_text(encoding="utf-8").splitlines()
        documents = json.loads(Path(f"{log}-expected.json").read_text(encoding="utf-8"))["expected"]
        for number, (line, document) in enumerate(zip(lines, documents, strict=True)):
            found.append(Fixture(folder.name, number, line, document))
    return found


def flat(value: dict[str, Any], path: str = "") -> dict[str, Any]:
    """A document's fields by dotted name; empty objects and lists are values."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            found |= flat(inner, f"{path}{key}.")
        else:
            found[path + key] = inner
    return found
