"""What a shell completes: commands, options, and the names of the configuration."""

import json
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from forwarder.cli.main import main


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps({"orgs": {"acme": {}, "calm": {}}, "sinks": {"archive": {}, "siem": {}, "second": {}}}))
    monkeypatch.setenv("FORWARDER_CONFIG", str(file))


@pytest.mark.parametrize("shell", [BashComplete, ZshComplete, FishComplete])
def test_a_shell_completes_commands_options_and_configured_names(shell: type[BashComplete]) -> None:
    def completed(*words: str) -> list[str]:
        completion = shell(main, {}, "forwarder", "_FORWARDER_COMPLETE")
        return [item.value for item in completion.get_completions(list(words[:-1]), words[-1])]

    assert completed("ba") == ["backfill", "backup"]
    assert "--since" in completed("replay", "--s")
    assert completed("replay", "--sink", "s") == ["siem", "second"]
    assert completed("tap", "--org", "") == ["acme", "calm"]
    assert completed("tap", "--format", "e") == ["ecs"]
    assert completed("hooks", "show", "--org", "c") == ["calm"]
    assert "forwarder" in shell(main, {}, "forwarder", "_FORWARDER_COMPLETE").source()


def test_without_a_readable_configuration_no_name_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER_CONFIG", "/nowhere/forwarder.yaml")
    completion = BashComplete(main, {}, "forwarder", "_FORWARDER_COMPLETE")
    assert completion.get_completions(["replay", "--sink"], "s") == []
