"""The unit of deploy/systemd: what systemd itself says of it, offline, and that it fits the product."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from forwarder.app import FLUSH_GRACE
from forwarder.receive.settings import ReceiverSettings
from forwarder.store.settings import StoreSettings
from tests.conftest import require
from tests.stack.process import ROOT

UNIT = ROOT / "deploy" / "systemd" / "okta-forwarder.service"
EXPOSURE = 15
"""Of 100, the highest that is fine; the units of the Collector, Alloy and Vector have 92."""


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)  # keys may come several times
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


def _analyze(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    require(None if shutil.which("systemd-analyze") else "needs systemd-analyze (Debian: apt-get install systemd)")
    return subprocess.run(["systemd-analyze", *command], capture_output=True, text=True, check=False)


def test_the_exposure_of_the_unit_is_low() -> None:
    done = _analyze("security", "--offline=true", f"--threshold={EXPOSURE}", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_unit_with_one_protection_less_is_above_the_threshold(tmp_path: Path) -> None:
    worse = tmp_path / UNIT.name
    worse.write_text(UNIT.read_text().replace("RestrictNamespaces=yes", "RestrictNamespaces=no"))
    assert worse.read_text() != UNIT.read_text()
    assert _analyze("security", "--offline=true", f"--threshold={EXPOSURE}", worse).returncode != 0


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text().replace("/opt/forwarder/bin/forwarder", shutil.which("true") or ""))
    done = _analyze("verify", there)
    assert (done.returncode, done.stderr) == (0, "")


def test_its_times_fit_those_of_the_product(service: configparser.SectionProxy) -> None:
    stop = float(service["TimeoutStopSec"].removesuffix("s"))
    assert stop > ReceiverSettings().grace + FLUSH_GRACE
    assert service["Type"] == "notify"
    assert float(service["WatchdogSec"].removesuffix("s")) >= 10


def test_its_folders_are_those_of_the_product(service: configparser.SectionProxy) -> None:
    state = Path("/var/lib") / service["StateDirectory"]
    assert StoreSettings().path.parent == state
    (config,) = re.findall(r"-c (\S+)", service["ExecStart"])
    assert Path(config).parent == Path("/etc") / service["ConfigurationDirectory"]


def test_it_lets_the_child_process_have_a_lower_priority_and_be_killed(service: configparser.SectionProxy) -> None:
    assert "setpriority" in service["SystemCallFilter"].split()  # the last line, which is added to the others
    assert service["OOMPolicy"] == "continue"
