"""The rules of the house that no other tool holds: sizes, circles of imports, pinned actions."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.stack.process import ROOT

MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50
CATALOGUE = ROOT / "forwarder" / "core" / "catalogue.py"
SOURCES = sorted(path for path in (ROOT / "forwarder").rglob("*.py") if path != CATALOGUE)


@pytest.mark.long
def test_no_module_takes_part_in_a_circle_of_imports() -> None:
    graph = grimp.build_graph("forwarder", cache_dir=None)  # lazy and TYPE_CHECKING imports included
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    list(graphlib.TopologicalSorter(imports).static_order())  # raises CycleError and names the circle


def test_a_file_has_at_most_350_lines() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


@pytest.mark.long
def test_a_function_has_at_most_50_lines() -> None:
    assert {name: lines for path in SOURCES for name, lines in _functions(path) if lines > MAX_FUNCTION_LINES} == {}


@pytest.mark.long
def test_a_class_name_stands_for_one_class() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def _functions(path: Path) -> list[tuple[str, int]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_no_test_waits_without_end_for_a_process_that_it_started() -> None:
    """`child` of `tests/child_processes.py` kills the process when a test fails; `with subprocess.Popen` waits."""
    waits = re.compile(r"^\s*with subprocess\.Popen", re.MULTILINE)
    found = [
        path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py") if waits.search(path.read_text())
    ]
    assert found == [Path("child_processes.py")]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").iterdir()), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)@(\S+)", path.read_text())
    assert used
    assert [name for name, ref in used if not re.fullmatch(r"[0-9a-f]{40}", ref)] == []


def test_one_job_of_the_checks_is_required() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.search(r"^  required:$", workflow, re.MULTILINE)


@pytest.mark.long
def test_the_workflows_are_safe() -> None:
    tool = Path(sys.executable).parent / "zizmor"
    done = subprocess.run([tool, "--offline", "--quiet", ROOT / ".github"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
