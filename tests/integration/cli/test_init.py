"""`forwarder init` writes a configuration that `check` accepts, and overwrites nothing."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from tests.stack.process import ROOT


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORWARDER_CONFIG", raising=False)


def run(*words: Any, answers: str | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, words)], input=answers, catch_exceptions=False)


def written(file: str = "config/forwarder.yaml") -> Any:
    return yaml.safe_load(Path(file).read_text(encoding="utf-8"))


def test_five_questions_make_a_configuration_that_check_accepts(tmp_path: Path) -> None:
    store = tmp_path / "state" / "events.db"
    answers = ["acme.okta.com", "hooks.acme.com", "elasticsearch", "https://es.acme.com:9200", "keys", str(store)]
    done = run("init", answers="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    tree = written()
    assert tree["orgs"]["acme"]["url"] == "https://acme.okta.com"
    assert tree["orgs"]["acme"]["path"] == "/okta/events"
    assert tree["sinks"]["siem"]["hosts"] == ["https://es.acme.com:9200"]
    assert tree["store"]["path"] == str(store)
    assert run("check").exit_code == 0
    assert "FORWARDER__SINKS__SIEM__API_KEY=… forwarder setup elasticsearch" in done.output


@pytest.mark.long
def test_a_question_is_aborted_where_stdin_is_closed() -> None:
    command = f"{sys.executable} -m forwarder init <&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("]: Aborted!\n")
    assert not Path("config").exists()


@pytest.mark.parametrize("sink", ["elasticsearch", "otlp", "file"])
def test_without_a_question_every_kind_of_sink_has_defaults_that_check_accepts(sink: str) -> None:
    done = run("init", "--yes", "--sink", sink, "--config", "made/here.yaml")
    assert done.exit_code == 0, done.output
    assert run("check", "--config", "made/here.yaml").exit_code == 0
    assert "forwarder run -c made/here.yaml" in done.output


def test_the_file_of_a_sink_is_found_from_every_folder(tmp_path: Path) -> None:
    run("init", "--yes", "--sink", "file", "--sink-address", "out/events.ndjson")
    assert written()["sinks"]["archive"]["path"] == str(tmp_path / "out" / "events.ndjson")


def test_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    store = tmp_path / "events.db"
    answers = ["https://acme-admin.okta.com", "https://acme.okta.com", "", "syslog", "file", "", "", str(store)]
    done = run("init", answers="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    assert "remove `-admin`" in done.output
    assert "syslog is not a kind of sink; write elasticsearch, otlp or file" in done.output


def test_secrets_are_made_in_files_of_this_user_alone_and_are_never_shown() -> None:
    done = run("init", "--yes", "--sink", "file")
    folder = Path("config/secrets")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    values = []
    for name in ("hook-secret", "ops-token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        values.append((folder / name).read_text().strip())
    assert all(len(value) >= 40 for value in values)
    assert values[0] != values[1]
    assert not any(value in done.output + Path("config/forwarder.yaml").read_text() for value in values)


def test_secrets_that_are_there_are_used(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("hook-secret", "okta-token", "elasticsearch-api-key"):
        (folder / name).write_text(f"{name}-0123456789-abcdefghij\n")
    org, public = "https://acme.okta.com", "https://hooks.acme.com/okta/acme"
    done = run("init", "--yes", "--secrets", folder, "--org-url", org, "--public-url", public)
    assert done.exit_code == 0, done.output
    assert (folder / "hook-secret").read_text() == "hook-secret-0123456789-abcdefghij\n"
    tree = written()
    assert tree["orgs"]["acme"]["api"] == {"token": {"file": str(folder / "okta-token")}}
    assert tree["orgs"]["acme"]["hook"] == {"uri": public}
    assert tree["sinks"]["siem"]["api_key"] == {"file": str(folder / "elasticsearch-api-key")}
    assert run("check").exit_code == 0


def test_what_is_commented_out_is_valid_once_its_file_is_there() -> None:
    run("init", "--yes")
    for name in ("okta-token", "elasticsearch-api-key"):
        Path("config/secrets", name).write_text("0123456789-abcdefghij\n")
    file = Path("config/forwarder.yaml")
    file.write_text(re.sub(r"^( +)# ", r"\1", file.read_text(), flags=re.MULTILINE))
    assert {"api", "hook"} <= written()["orgs"]["your-org"].keys()
    done = run("check")
    assert done.exit_code == 0, done.output


def test_it_overwrites_nothing() -> None:
    Path("config").mkdir()
    Path("config/forwarder.yaml").write_text("precious")
    done = run("init", "--yes")
    assert done.exit_code == 1
    assert "already exists, and `init` never overwrites a file" in done.output
    assert [file.name for file in Path("config").iterdir()] == ["forwarder.yaml"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--org-url", "ftp://acme.okta.com"), "must begin with https://"),
        (("--public-url", "http://hooks.acme.com/x"), "must begin with https://"),
        (("--sink-address", "es internal"), "the URL has a blank"),
        (("--sink", "syslog"), "--sink"),
        (("--store", "/dev/null"), "store.path: /dev/null is not a regular file"),
        (
            ("--sink", "file", "--sink-address", "/dev/full"),
            "path: /dev/full is not a file; name the file to write, as in /var",
        ),
        (("--sink", "file", "--sink-address", "/"), "as in /okta.ndjson"),
    ],
)
def test_a_wrong_option_ends_with_2_and_leaves_nothing(words: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    done = run("init", "--yes", *words)
    assert done.exit_code == 2
    assert problem in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("init", "--yes", "--store", tmp_path / "file" / "store.db")
    assert done.exit_code == 1
    assert "choose another folder or file" in done.output
    assert not Path("config/forwarder.yaml").exists()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a clone")
def test_git_never_commits_what_init_writes_in_a_clone() -> None:
    written = ["config/forwarder.yaml", "config/secrets/hook-secret", "config/data/forwarder.db"]
    ignored = subprocess.run(["git", "check-ignore", *written], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == written
