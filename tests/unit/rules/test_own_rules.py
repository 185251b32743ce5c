"""The rules in config/rules: each loads, has a description, and passes its tests. pySigma reads them too."""

from pathlib import Path
from typing import Any

import pytest
from sigma.collection import SigmaCollection

from forwarder.rules.documents import yaml_documents
from forwarder.rules.load import TEST_SUFFIXES, load
from forwarder.rules.probable_mistakes import reviewed, warnings
from forwarder.rules.rule_tests import run_tests
from forwarder.rules.sigma.metadata import Described
from tests.stack.process import ROOT

FOLDER = ROOT / "config" / "rules"
FILES = sorted(file for file in FOLDER.glob("*.yml") if not file.name.endswith(TEST_SUFFIXES))


@pytest.mark.long
def test_the_rules_load_without_lists_and_have_no_warning() -> None:
    found = load([FOLDER])
    assert warnings(found, reviewed(found)) == []
    assert len(FILES) == 9


@pytest.mark.long
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_rule_has_tests_that_pass(file: Path) -> None:
    results, problems, untested = run_tests([file], {})
    assert [f"{each.test.name}: {each.failure}" for each in results if each.failure] == []
    assert (problems, untested) == ([], [])
    assert {result.test.expected for result in results} == {True, False}


@pytest.mark.long
def test_every_rule_that_alerts_has_tags_and_false_positives() -> None:
    found = load([FOLDER])
    alerting: list[Described] = [rule for rule in found.rules if rule.alerts]
    alerting += [rule for rule in found.correlations if rule.alerts]
    assert len(alerting) == 10
    documents = [document.value for file in FILES for document in yaml_documents(file.read_text())]
    written = {document["title"]: document for document in documents}
    for each in alerting:
        assert any(tag.startswith("attack.t") for tag in each.tags), each.title
        assert written[each.title]["falsepositives"], each.title
        assert written[each.title]["description"], each.title


@pytest.mark.long
def test_no_country_is_listed_by_default() -> None:
    event: dict[str, Any] = {"eventType": "user.session.start", "outcome": {"result": "SUCCESS"}}
    for country in ("IR", "KP", "??", ""):
        assert "listed country" not in str(
            [m.rule.title for m in load([FOLDER]).matches(event | {"forwarder": {"country": country}})]
        )
    found = load([FOLDER], {"embargo": ["IR"]}).matches(event | {"forwarder": {"country": "IR"}})
    assert "Sign-in from a listed country" in [match.rule.title for match in found]


@pytest.mark.long
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_pysigma_reads_the_rule_without_an_error(file: Path) -> None:
    collection = SigmaCollection.from_yaml(file.read_text(encoding="utf-8"))
    collection.resolve_rule_references()
    assert [error for rule in collection.rules for error in rule.errors] == []
