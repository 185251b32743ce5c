"""`doctor --bundle` writes what a bug report needs, and nothing that must stay here."""

import json
import stat
import tarfile
from pathlib import Path

import pytest

from tests.integration.doctor.scene import SECRET, Scene
from tests.integration.doctor.test_running_forwarder import post

KEY = "planted-id:planted-key-of-the-bundle"


@pytest.mark.long
async def test_a_bundle_has_the_state_and_no_secret_and_no_event(tmp_path: Path) -> None:
    there = Scene(tmp_path, "https://acme.okta.com", {"api": None, "hook": None})
    there.sections["sinks"] = {"siem": {"kind": "elasticsearch", "hosts": ["http://127.0.0.1:9"], "api_key": KEY}}
    bundle = tmp_path / "x.tar.gz"
    async with there.forwarder():
        await post(there, "planted-uuid-1")
        await there.doctor("store", "forwarder", "--bundle", str(bundle))
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    with tarfile.open(bundle) as archive:
        files = {
            Path(each.name).name: archive.extractfile(each).read().decode()  # type: ignore[union-attr]
            for each in archive.getmembers()
        }
    assert set(files) == {
        "README.txt", "doctor.json", "config.json", "versions.txt", "ledger.json", "status.json", "metrics.txt",
    }  # fmt: skip
    whole = "\n".join(files.values())
    assert SECRET not in whole
    assert "planted-key-of-the-bundle" not in whole
    assert "planted-uuid-1" not in whole
    assert json.loads(files["config.json"])["sinks"]["siem"]["api_key"] == "***"
    assert json.loads(files["ledger.json"])["stored"] == 1
    assert "forwarder_build_info" in files["metrics.txt"]
    assert "litestar" in files["versions.txt"].lower()


async def test_a_bundle_replaces_no_file(tmp_path: Path) -> None:
    there = Scene(tmp_path, "https://acme.okta.com", {"api": None, "hook": None})
    taken = tmp_path / "x.tar.gz"
    taken.write_text("mine")
    code, _ = await there.command("doctor", "--offline", "--bundle", str(taken))
    assert (code, taken.read_text()) == (2, "mine")
