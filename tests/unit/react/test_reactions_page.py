"""docs/reactions.md: each configuration on the page is accepted, and the page names every action, guard and answer."""

import re
from pathlib import Path
from typing import Any

import pytest

from forwarder.config.file import read_yaml
from forwarder.core.action import KINDS, EffectKind, Reason
from forwarder.react.settings.actions import ANSWERS
from forwarder.react.settings.problems import SCOPES
from forwarder.settings import read
from tests.fakes.keys import pem, rsa_key
from tests.stack.process import ROOT

PAGE = (ROOT / "docs" / "reactions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.long
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_each_configuration_of_the_page_is_accepted(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOC_WEBHOOK_SECRET", "planted-secret-of-the-soc")
    (tmp_path / "set.pem").write_text(pem(rsa_key()))
    (tmp_path / "page.yaml").write_text(block)
    scopes = ["okta.logs.read", *sorted(set(SCOPES.values()))]
    api: dict[str, Any] = {"client_id": "0oa1", "private_key": pem(rsa_key()), "scopes": scopes}
    tree = {
        "orgs": {"acme": {"url": "https://acme.okta.com", "api": api}},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "a.ndjson")}},
        "rules": {"files": [str(ROOT / "config" / "rules")]},
    } | read_yaml(tmp_path / "page.yaml")
    assert read(tree).reactions


def test_the_examples_have_entries() -> None:
    assert sum("do:" in block for block in BLOCKS) >= 4


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_has_every_action_with_its_kind_and_its_scope() -> None:
    found = {row[0].strip("`"): row for row in rows("Actions")}
    assert found.keys() == KINDS.keys()
    for name, row in found.items():
        assert row[1].startswith(KINDS[name].value)
        assert SCOPES.get(name, "none") in row[4]
        assert (KINDS[name] is EffectKind.TIMED) == ("`for`" in row[3])


def test_the_page_has_the_guards_in_their_order() -> None:
    found = [row[0].strip("`") for row in rows("The guards")]
    order = [str(reason) for reason in Reason]
    assert found == order[: order.index("shadow") + 1]
    for reason in order[len(found) :]:
        assert f"`{reason}`" in PAGE


def test_the_page_has_every_answer() -> None:
    assert [row[0].strip("`") for row in rows("Ask the user")][-len(ANSWERS) :] == list(ANSWERS)
