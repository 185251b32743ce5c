"""What a key without a value means in the file of the configuration."""

import os
from pathlib import Path
from typing import Any

import pytest

from forwarder.core.errors import SettingsError
from forwarder.settings import Settings, load

ORG = "{url: https://acme.okta.com, secrets: [s], api: {token: t}%s}"
SINK = "{kind: file, path: /tmp/x.ndjson%s}"


def loaded(tmp_path: Path, *sections: str, org: str = "", sink: str = "") -> Settings:
    file = tmp_path / "forwarder.yaml"
    lines = [f"orgs: {{acme: {ORG % org}}}", f"sinks: {{archive: {SINK % sink}}}", *sections]
    file.write_text("\n".join(lines))
    return load(file)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"org": ", hook: "}, "orgs.acme.hook"),
        ({"org": ", zones: "}, "orgs.acme.zones"),
        ({"org": ", hook: {uri: https://hooks.acme.com/x, filters: }"}, "orgs.acme.hook.filters"),
        ({"sink": ", only: "}, "sinks.archive.only"),
        ({"sections": "receiver:\n  tls:\n"}, "receiver.tls"),
        ({"sections": "ops: {token: }"}, "ops.token"),
        ({"sections": "ops:\n  proxy:\n"}, "ops.proxy"),
        ({"sections": "rules: {orgs: }"}, "rules.orgs"),
        ({"sections": "reactions:\n  ciba:\n"}, "reactions.ciba"),
        ({"sections": "reconcile:"}, "reconcile"),
        ({"sections": "reactions:"}, "reactions"),
        ({"sections": "rules:"}, "rules"),
    ],
)
def test_a_key_without_a_value_is_refused_and_never_counts_as_left_out(
    tmp_path: Path, written: dict[str, str], path: str
) -> None:
    sections = filter(None, [written.pop("sections", "")])
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, *sections, **written)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")


def test_a_null_counts_as_left_out_as_config_show_writes_it(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "ops: {token: null, proxy: ~}", org=", hook: null")
    assert (settings.ops.token, settings.ops.proxy, settings.orgs["acme"].hook) == (None, None, None)


def test_an_action_needs_no_value(tmp_path: Path) -> None:
    rule = tmp_path / "rule.yml"
    rule.write_text(
        "title: A\nid: 2a0e8f9e-8f1c-4a53-9b5c-5f0f6a1a4e11\nlevel: high\nlogsource: {product: okta, service: okta}\n"
        "detection: {one: {eventType: user.session.start}, condition: one}\n"
    )
    on = "{level: high, do: [{revoke_sessions: }]}"
    (entry,) = loaded(tmp_path, f"rules: {{files: [{rule}]}}", f"reactions: {{on: [{on}]}}").reactions.on
    assert [do.name for do in entry.do] == ["revoke_sessions"]


def test_a_variable_gives_a_key_without_a_value_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__OPS__TOKEN", "from-the-environment")
    token: Any = loaded(tmp_path, "ops: {token: }").ops.token
    assert token.reveal() == os.environ["FORWARDER__OPS__TOKEN"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n# nothing\n"])
def test_a_file_without_content_lacks_its_sections(tmp_path: Path, text: str) -> None:
    file = tmp_path / "forwarder.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert "orgs: is required" in caught.value.problems
