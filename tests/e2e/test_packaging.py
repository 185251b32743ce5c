"""What is shipped works as installed, not only in the source tree."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

from tests.fakes.kibana import FakeKibana
from tests.stack.process import ROOT


def _run(*command: str | Path, cwd: Path) -> str:
    """Run `command` outside of the checkout, and give what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the wheel, built by way of the source distribution, without the network."""
    place = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT, cwd=place)
    (built,) = place.glob("okta_forwarder-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the programs of a fresh environment that holds the wheel; what it depends on is the checkout's."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "venv", with_pip=False, symlinks=True)
    python = place / "venv" / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=place)
    (packages,) = (place / "venv" / "lib").glob("python*/site-packages")
    # A path file of a path file is not read, so the editable install beside the dependencies stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield python.parent
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def slim(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the same with the dependencies that are in the image: without those that its Dockerfile takes out."""
    (unused,) = re.findall(r'^ARG UNUSED="(.*)"$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    left_out = {
        Path(file).parts[0]
        for name in unused.split()
        for file in distribution(name).files or ()
        if ".." not in str(file)
    }
    assert {"faker", "polyfactory", "pygments"} <= left_out
    place = tmp_path_factory.mktemp("slim")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in left_out and entry.suffix != ".pth":
            (place / entry.name).symlink_to(entry)
    (packages,) = (installed.parent / "lib").glob("python*/site-packages")
    dependencies = packages / "dependencies.pth"
    before = dependencies.read_text()
    dependencies.write_text(f"{place}\n")
    yield installed
    dependencies.write_text(before)


_IMPORT_ALL = """
import importlib, importlib.util, pkgutil, forwarder
for name in ("faker", "polyfactory", "pygments", "tzdata"):
    assert importlib.util.find_spec(name) is None, name
for module in pkgutil.walk_packages(forwarder.__path__, "forwarder."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import okta.client
"""


@pytest.mark.timeout(180)  # three programs after each other
def test_the_product_runs_with_what_the_image_holds(slim: Path, tmp_path: Path) -> None:
    _run(slim / "python", "-c", _IMPORT_ALL, cwd=tmp_path)
    _run(slim / "forwarder", "demo", "--events", "50", "--exit", cwd=tmp_path)
    assert "acme" in _run(slim / "forwarder", "check", "-c", _config(tmp_path), cwd=tmp_path)


def _config(folder: Path) -> Path:
    """Write a configuration with a sink of each kind."""
    config = folder / "forwarder.yaml"
    config.write_text(
        f"""
orgs: {{acme: {{secrets: [a-secret-for-this-test-0123456789]}}}}
store: {{path: {folder}/store.db}}
sinks:
  siem: {{kind: elasticsearch, hosts: [http://127.0.0.1:9200]}}
  traces: {{kind: otlp, endpoint: http://127.0.0.1:4318}}
  grpc: {{kind: otlp, endpoint: http://127.0.0.1:4317, protocol: grpc}}
  archive: {{kind: file, path: {folder}/okta.ndjson}}
"""
    )
    return config


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("forwarder/")}
    source = (path for path in (ROOT / "forwarder").rglob("*") if path.is_file() and path.suffix != ".pyc")
    dashboards = [path for path in (ROOT / "dashboards").rglob("*") if path.suffix in {".json", ".ndjson"}]
    shipped = {f"forwarder/{path.relative_to(ROOT)}" for path in dashboards}
    assert in_wheel == {str(path.relative_to(ROOT)) for path in source} | shipped
    assert {"forwarder/py.typed", "forwarder/store/sqlite/schema.sql"} <= in_wheel


def test_the_installed_command_answers_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = _run(installed / "python", "-c", "import forwarder; print(forwarder.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    for command in ([installed / "forwarder"], [installed / "python", "-m", "forwarder"]):
        assert "emulate-okta" in _run(*command, "--help", cwd=tmp_path)
        assert version("okta-forwarder") in _run(*command, "--version", cwd=tmp_path)


def test_the_installed_demo_accounts_for_every_event(installed: Path, tmp_path: Path) -> None:
    _run(installed / "forwarder", "demo", "--events", "50", "--exit", cwd=tmp_path)


def test_the_installed_command_finds_its_dashboards(installed: Path, tmp_path: Path) -> None:
    with FakeKibana() as kibana:
        shown = _run(installed / "forwarder", "setup", "kibana", "--url", kibana.url, cwd=tmp_path)
        assert len(kibana.held()) == shown.count(" created") > 4
