"""The lock files hold what pyproject.toml asks for, and nothing else; `make lock` makes them do so."""

import json
import re
import tomllib
from dataclasses import dataclass

import pytest
from packaging.requirements import Requirement

from tests.stack.process import ROOT

_PRODUCT, _DEV, _BUILD = "requirements.lock", "requirements-dev.lock", "requirements-build.lock"
_CLIENT8 = "tests/stack/elasticsearch8.lock"


@dataclass
class _Pin:
    version: str
    hashes: int = 0
    asked: bool = False  # by the project itself, not only by one of its dependencies


def _pins(lock: str) -> dict[str, _Pin]:
    """Give the packages of a lock file. One with several versions, for several platforms, has the last."""
    pins: dict[str, _Pin] = {}
    pin = _Pin("")
    for line in (ROOT / lock).read_text().splitlines():
        if found := re.match(r"([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", line):
            pin = pins[found[1]] = _Pin(found[2])
        pin.hashes += "--hash=sha256:" in line
        pin.asked |= line.lstrip().startswith("#") and "okta-forwarder (pyproject.toml" in line
    return pins


def _asked(*groups: str) -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = list(project["project"]["dependencies"])
    for group in groups:
        texts += project["dependency-groups"][group]
    return {re.sub(r"[-_.]+", "-", Requirement(text).name).lower(): Requirement(text) for text in texts}


@pytest.mark.parametrize(("lock", "groups"), [(_PRODUCT, ()), (_DEV, ("dev",))], ids=["product", "dev"])
def test_a_lock_file_is_in_step_with_the_project(lock: str, groups: tuple[str, ...]) -> None:
    asked, pins = _asked(*groups), _pins(lock)
    assert {name for name, pin in pins.items() if pin.asked} == set(asked), "make lock"
    for name, requirement in asked.items():
        assert requirement.specifier.contains(pins[name].version, prereleases=True), f"{requirement}: make lock"


@pytest.mark.parametrize("lock", [_PRODUCT, _BUILD])
def test_what_is_shipped_is_what_was_tested(lock: str) -> None:
    tested = _pins(_DEV)
    for name, pin in _pins(lock).items():
        assert name not in tested or tested[name].version == pin.version, name
    assert lock == _BUILD or set(_pins(lock)) <= set(tested)


def test_the_older_client_is_of_another_major() -> None:
    older, newer = _pins(_CLIENT8)["elasticsearch"].version, _pins(_DEV)["elasticsearch"].version
    assert (older.partition(".")[0], newer.partition(".")[0]) == ("8", "9")


@pytest.mark.parametrize("lock", [_PRODUCT, _DEV, _BUILD, _CLIENT8])
def test_every_package_has_its_hashes_and_no_address(lock: str) -> None:
    assert all(pin.hashes for pin in _pins(lock).values())
    assert "://" not in (ROOT / lock).read_text()


def test_the_parser_of_kql_has_its_hashes_and_no_address() -> None:
    folder = ROOT / "tests" / "stack" / "kql"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    asked = json.loads((folder / "package.json").read_text())["dependencies"]
    assert packages.pop("")["dependencies"] == asked
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_a_user_gets_no_tools_of_developers() -> None:
    tools = _asked("dev").keys() - _asked().keys()
    assert {"pytest", "mypy", "ruff", "hypothesis"} <= tools
    assert not tools & _pins(_PRODUCT).keys()
    steps = (ROOT / "Makefile").read_text().partition("\n.venv/.complete:")[2].partition("\n\n")[0]
    assert set(re.findall(r"(?:-r |install,)([\w.-]+)", steps)) == {_PRODUCT, _BUILD}
