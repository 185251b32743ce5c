"""A document of any shape is read, left out, or a problem; no shape raises an error."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.rules.any_format import read_files
from forwarder.rules.conditions.rule import LeftOut, Rule, UnreadableRule
from forwarder.rules.coverage import coverage
from tests.examples import examples

WORDS = st.sampled_from(
    ["okta", "windows", "s", "1 of s*", "eventtype", "event.action: user.*", 'eventType eq "zone.create"', "select 1",
     "kuery", "ES|QL", "eql", "global", "repeat", "machine_learning", "any where true", "", "|", "not s", "\x1b", "a|re", "(("]
)  # fmt: skip
KEYS = st.sampled_from(
    ["title", "id", "name", "logsource", "product", "service", "detection", "condition", "s", "eventtype|re", "correlation",
     "okta_systemlog", "OIE", "splunk", "action", "filter", "query", "language", "type", "rule", "hunt", "attributes",
     "params", "rules", "data", "metadata", "integration", "index", "tags", "AnalysisType", "search", "uuid"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=3)


@pytest.mark.long
@settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=DOCUMENTS, suffix=st.sampled_from([".yml", ".json", ".ndjson"]))
def test_an_odd_document_is_read_left_out_or_a_problem(documents: list[object], suffix: str, tmp_path: Path) -> None:
    for other in tmp_path.iterdir():
        other.unlink()
    path = tmp_path / f"rules{suffix}"
    lines = [json.dumps(document) for document in documents]
    text = "\n---\n".join(lines) if suffix == ".yml" else "\n".join(lines)
    path.write_text(text)
    for place in (path, tmp_path):
        found = [each for _, each in read_files([place])]
        assert found
        for each in found:
            assert isinstance(each, Rule | LeftOut | UnreadableRule)
            if isinstance(each, Rule):
                coverage(each)
